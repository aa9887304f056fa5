"""Settings of the way from the alert to the backend."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from edge.config.base import Settings

Port = Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0 takes a free one, which the log names.")]
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
        int,
        Meta(
            ge=1,
            le=1024,
            description="Clients of one listener that have not logged in yet; beyond it an older one goes, by lot. Set "
            "64 or more where strangers reach the port and clients come over slow links.",
        ),
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
