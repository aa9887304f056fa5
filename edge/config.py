"""Settings: a TOML file, then PREACT_EDGE_* variables, then ``--set``, into frozen structs.

docs/configuration.md is made from these structs by ``python -m edge.commands.document``; a test keeps it so.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from edge.types import ThreatLevel

Port = Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0 takes a free one, which the log names.")]
Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The root of every group of settings: frozen, and an unknown key is an error."""


class Device(Settings, frozen=True):
    """Who this device is."""

    id: Annotated[str, Meta(description="Name of the device in every message; empty: one is made once and kept.")] = ""
    camera_id: Annotated[str, Meta(min_length=1, description="Name of its camera in every message.")] = "main"


class Camera(Settings, frozen=True):
    """Where the pictures come from."""

    source: Annotated[
        str,
        Meta(
            min_length=1,
            description="`scene` (drawn, built in), a video file, a folder of pictures, `/dev/video0` or `0`, "
            "`rtsp://...`, `picamera`, or `gst:PIPELINE` (needs an OpenCV with GStreamer).",
        ),
    ] = "scene"
    width: Annotated[int, Meta(ge=64, le=7680, description="Width asked of a camera or the scene, pixels.")] = 1280
    height: Annotated[int, Meta(ge=64, le=4320, description="Height asked of a camera or the scene, pixels.")] = 720
    fps: Annotated[
        float, Meta(gt=0.0, le=240.0, description="Frames a second asked of a camera or the scene, and of pictures.")
    ] = 15.0
    loop: Annotated[bool, Meta(description="Start a file or a folder again when it ends.")] = True
    unpaced: Annotated[
        bool, Meta(description="Play files and the scene as fast as they go, every frame looked at, none dropped.")
    ] = False
    stall_s: Annotated[
        float, Meta(ge=0.5, le=60.0, description="A camera with no frame for this many seconds is said to be lost.")
    ] = 3.0
    retry_min_s: Annotated[
        float, Meta(gt=0.0, le=60.0, description="First wait before a lost camera is opened again; it doubles.")
    ] = 0.5
    retry_max_s: Annotated[float, Meta(gt=0.0, le=600.0, description="Longest wait between two attempts.")] = 15.0

    def __post_init__(self) -> None:
        if self.retry_min_s > self.retry_max_s:
            raise ValueError(f"retry_min_s is {self.retry_min_s:g}, more than retry_max_s, {self.retry_max_s:g}")


class Detector(Settings, frozen=True):
    """The model and what runs it."""

    model: Annotated[
        str, Meta(min_length=1, description="`bundled`, a name of `preact-edge models list`, or a .tflite file.")
    ] = "bundled"
    labels: Annotated[str, Meta(description="Labels file; empty: the model's own.")] = ""
    decoder: Annotated[
        Literal["auto", "ssd", "yolo"], Meta(description="How the outputs are read; `auto` looks at them.")
    ] = "auto"
    resize: Annotated[
        Literal["auto", "letterbox", "stretch"],
        Meta(description="How a frame is fitted to the input; `auto`: letterbox for YOLO, stretch for SSD."),
    ] = "auto"
    runtime: Annotated[
        Literal["auto", "litert", "tflite-runtime"],
        Meta(description="`auto`: LiteRT (ai-edge-litert) if it is there, else tflite-runtime."),
    ] = "auto"
    num_threads: Annotated[int, Meta(ge=1, le=64, description="Threads of the CPU inference.")] = 2
    delegate: Annotated[
        str, Meta(description="Accelerator: empty for the CPU, `edgetpu`, `vx`, `armnn`, or a delegate library's path.")
    ] = ""
    delegate_options: Annotated[dict[str, str], Meta(description="Options handed to the delegate, as text.")] = {}
    score_threshold: Annotated[float, Meta(gt=0.0, le=1.0, description="Detections below this score are left out.")] = (
        0.4
    )
    iou_threshold: Annotated[
        Fraction, Meta(description="Boxes of one class that overlap more than this are one object (YOLO).")
    ] = 0.5
    max_detections: Annotated[int, Meta(ge=1, le=1000, description="At most so many a frame, best first.")] = 100


class Rule(Settings, frozen=True):
    """One rule. It matches a frame that has every class of `all`, one of `any` (if given) and none of `none`."""

    name: Annotated[str, Meta(min_length=1, description="Name of the rule, unique.")]
    level: Annotated[ThreatLevel, Meta(description="Threat level of its alerts.")]
    any: Annotated[tuple[str, ...], Meta(description="Class names, one of which must be seen.")] = ()
    all: Annotated[tuple[str, ...], Meta(description="Class names, each of which must be seen.")] = ()
    none: Annotated[tuple[str, ...], Meta(description="Class names, none of which may be seen.")] = ()
    min_confidence: Annotated[Fraction, Meta(description="Detections below this do not count, for `none` neither.")] = (
        0.5
    )
    hold_hits: Annotated[int, Meta(ge=1, le=1000, description="The rule fires when so many ...")] = 3
    hold_frames: Annotated[int, Meta(ge=1, le=1000, description="... of the last so many frames matched.")] = 5
    cooldown_s: Annotated[float, Meta(ge=0.0, le=86400.0, description="After firing, quiet for this many seconds.")] = (
        15.0
    )


WEAPONS = ("knife", "gun", "pistol", "rifle", "firearm", "weapon")
DEFAULT_RULES = (
    Rule(name="armed person", level="critical", any=WEAPONS, all=("person",)),
    Rule(name="weapon", level="high", any=WEAPONS, none=("person",), hold_hits=5, hold_frames=8),
    Rule(name="possible weapon", level="medium", any=("scissors", "baseball bat"), all=("person",)),
)


class Alerts(Settings, frozen=True):
    """What is worth an alert."""

    crime_relevant: Annotated[
        tuple[str, ...], Meta(description="Class names whose detections carry `is_crime_relevant: true`.")
    ] = ("person", *WEAPONS, "scissors", "baseball bat")
    rules: Annotated[
        tuple[Rule, ...], Meta(description="The rules; a list given here replaces all the built-in ones.")
    ] = DEFAULT_RULES


Framing = Annotated[
    Literal["length", "newline"],
    Meta(description="`length`: 4-byte size before each JSON message; `newline`: one JSON message a line."),
]
ByteOrder = Annotated[Literal["big", "little"], Meta(description="Byte order of every binary size.")]


class Listener(Settings, frozen=True):
    """One address that backends connect to, and how they are spoken to there."""

    name: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9._-]{0,64}\\Z",
            description="Name of the listener in logs and logins; empty: `listener-1` for the first, and so on.",
        ),
    ] = ""
    host: Annotated[
        str, Meta(min_length=1, description="Name or address to bind; a name binds every address that it has.")
    ] = "localhost"
    port: Port = 8080
    framing: Framing = "length"
    byteorder: ByteOrder = "big"
    video: Annotated[bool, Meta(description="Send video frames to clients of this listener.")] = False
    tls: Annotated[bool, Meta(description="TLS 1.3 with `security.certificate`.")] = False
    auth: Annotated[
        Literal["none", "hmac", "mtls"],
        Meta(
            description="Who may see the stream: `none`, everybody; `hmac`, who knows a key of `security.login_keys`; "
            "`mtls`, who has a certificate of `security.ca` (needs `tls`)."
        ),
    ] = "none"
    allow_insecure: Annotated[
        bool,
        Meta(
            description="Allow a listener without login that other machines can reach: anybody there sees the stream."
        ),
    ] = False

    def __post_init__(self) -> None:
        if self.auth == "mtls" and not self.tls:
            raise ValueError('auth = "mtls" needs tls = true')


class Backend(Settings, frozen=True):
    """A backend that the device itself connects to, for a device that nobody can connect to."""

    host: Annotated[str, Meta(min_length=1, description="Name or address of the backend.")]
    port: Annotated[int, Meta(ge=1, le=65535, description="Its TCP port.")]
    framing: Framing = "length"
    byteorder: ByteOrder = "big"
    video: Annotated[bool, Meta(description="Send video frames to it.")] = False
    tls: Annotated[
        bool, Meta(description="TLS 1.3 with both certificates checked: the backend's must be of `security.ca`.")
    ] = True
    allow_insecure: Annotated[
        bool, Meta(description="Allow `tls = false` to another machine: whoever answers there sees the stream.")
    ] = False


class Security(Settings, frozen=True):
    """Files with what the device proves itself by and knows others by; `${NAME}` in a path is a variable's value."""

    certificate: Annotated[str, Meta(description="The device's certificate (PEM), followed by its chain.")] = ""
    private_key: Annotated[str, Meta(description="Its private key (PEM, not encrypted).")] = ""
    ca: Annotated[str, Meta(description="Certificates (PEM) of the authority that backends' ones are of.")] = ""
    revocation_list: Annotated[str, Meta(description="The authority's list of revoked certificates (PEM).")] = ""
    login_keys: Annotated[str, Meta(description='Keys for `auth = "hmac"` (TOML, see SECURITY.md).')] = ""


class Stream(Settings, frozen=True):
    """What all listeners share."""

    alerts: Annotated[
        Literal["separate", "batch", "both"],
        Meta(
            description="For clients that never said hello: alerts as messages of their own, as a list inside "
            "detection_result, or both."
        ),
    ] = "separate"
    max_clients: Annotated[int, Meta(ge=1, le=1024, description="Clients of one listener.")] = 32
    max_clients_per_address: Annotated[int, Meta(ge=1, le=1024, description="Clients of one listener and address.")] = (
        16
    )
    max_pending: Annotated[
        int, Meta(ge=1, le=1024, description="Clients of one listener that have not logged in yet; the oldest goes.")
    ] = 16
    login_s: Annotated[float, Meta(ge=0.5, le=60.0, description="Time for TLS and login, seconds.")] = 5.0
    heartbeat_s: Annotated[
        float, Meta(ge=0.5, le=4.9, description="Longest quiet: with no frame to report, a result says so this often.")
    ] = 4.0


class Outbox(Settings, frozen=True):
    """Alerts on disk, for backends that were away."""

    max_alerts: Annotated[int, Meta(ge=10, le=1_000_000, description="At most so many are kept, the newest.")] = 10_000
    max_mb: Annotated[int, Meta(ge=1, le=4096, description="At most so many MB of them.")] = 64
    max_age_days: Annotated[
        float, Meta(gt=0.0, le=3650.0, description="Older ones go once every known consumer has acknowledged them.")
    ] = 30.0
    slow_commit_s: Annotated[
        float, Meta(ge=0.01, le=10.0, description="An alert that is not on disk after this is sent all the same.")
    ] = 0.25


class Video(Settings, frozen=True):
    """The pictures of the stream, for listeners with `video = true`."""

    max_fps: Annotated[float, Meta(gt=0.0, le=60.0, description="Most pictures a second.")] = 10.0
    quality: Annotated[int, Meta(ge=10, le=100, description="JPEG quality.")] = 80
    max_width: Annotated[int, Meta(ge=64, le=7680, description="Wider frames are scaled down to this, pixels.")] = 1280
    annotated: Annotated[bool, Meta(description="Draw boxes, names and scores on them.")] = True


class Pattern(Settings, frozen=True):
    """How the buzzer sounds."""

    on_s: Annotated[float, Meta(gt=0.0, le=60.0, description="Seconds on.")] = 0.5
    off_s: Annotated[float, Meta(ge=0.0, le=60.0, description="Seconds off after it.")] = 0.25
    repeats: Annotated[int, Meta(ge=0, le=1000, description="How many times; 0 is silence.")] = 0


class CriticalPattern(Pattern, frozen=True):
    """How the buzzer sounds on a critical alert."""

    repeats: Annotated[int, Meta(ge=0, le=1000, description="How many times; 0 is silence.")] = 12


class Patterns(Settings, frozen=True):
    """The buzzer's pattern for each threat level."""

    low: Pattern = Pattern()
    medium: Pattern = Pattern()
    high: Pattern = Pattern()
    critical: CriticalPattern = CriticalPattern()


class Gpio(Settings, frozen=True):
    """The buzzer."""

    factory: Annotated[
        Literal["auto", "lgpio", "simulated", "none"],
        Meta(description="What drives the pins; `auto`: lgpio on a Raspberry Pi, nothing elsewhere."),
    ] = "auto"
    required: Annotated[bool, Meta(description="Without a working buzzer pin, do not start.")] = False
    buzzer_pin: Annotated[int, Meta(ge=0, le=53, description="BCM number of the buzzer's pin.")] = 17
    active_high: Annotated[bool, Meta(description="The buzzer sounds when the pin is high.")] = True
    longest_on_s: Annotated[
        float, Meta(gt=0.0, le=600.0, description="No sounding lasts longer than this, pauses included.")
    ] = 30.0
    cooldown_s: Annotated[
        float, Meta(ge=0.0, le=3600.0, description="Quiet after a sounding; a higher level breaks it.")
    ] = 5.0
    patterns: Patterns = Patterns()


class Storage(Settings, frozen=True):
    """Where the device keeps what it must remember."""

    state_dir: Annotated[
        str, Meta(description="Empty: systemd's STATE_DIRECTORY, else `~/.local/state/preact-edge`.")
    ] = ""
    models_dir: Annotated[str, Meta(description="Where pulled models lie; empty: `models` in the state folder.")] = ""


class Config(Settings, frozen=True):
    """Everything."""

    device: Device = Device()
    camera: Camera = Camera()
    detector: Detector = Detector()
    alerts: Alerts = Alerts()
    listeners: Annotated[
        tuple[Listener, ...], Meta(min_length=1, description="The addresses to listen on, one table each.")
    ] = (Listener(),)
    backends: Annotated[tuple[Backend, ...], Meta(description="The backends to connect to, one table each.")] = ()
    security: Security = Security()
    stream: Stream = Stream()
    outbox: Outbox = Outbox()
    video: Video = Video()
    gpio: Gpio = Gpio()
    storage: Storage = Storage()
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="How much is logged.")] = "info"
