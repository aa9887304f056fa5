"""What a device says, as typed values: the messages of the protocol and what happens to the connection.

The specification of the messages is docs/protocol.md, section 4. Fields that this version does not know are
ignored and stay in ``raw``; a type that it does not know is given as the ``Message`` that came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct, field
from msgspec.structs import force_setattr

from edge.errors import ProtocolError, StreamError
from edge.wire.framing import Message
from edge.wire.requests import MAX_SEQ, Seq


class FromDevice(Struct, frozen=True, kw_only=True):
    """The root of the device's messages; ``raw`` is the message as it came."""

    raw: Message = field(default_factory=Message, name=" raw")


class Protocol(Struct, frozen=True, kw_only=True):
    """The terms of a listener. Without ``features`` the device is of version 0.1: it only talks, and never listens.

    Without ``events`` among them no alert of this device is ever resolved.
    """

    version: int = 0
    features: tuple[str, ...] = ()
    auth: str = "none"
    listener: str = ""
    nonce: str = ""
    stream: str = ""
    boot_id: str = ""
    oldest_seq: int = 0
    next_seq: int = 0
    heartbeat_s: float = 0.0
    max_inbound: int = 0


class Welcome(FromDevice, frozen=True):
    device_id: str = ""
    camera_id: str = ""  # empty until login where there is one
    timestamp: float = 0.0
    protocol: Protocol = Protocol()


class Resumed(Struct, frozen=True, kw_only=True):
    """From which alert on the session is complete: ``start`` is the number of the first one that follows."""

    status: Literal["ok", "gap", "reset"]
    start: Annotated[int, Meta(ge=1, le=MAX_SEQ)] = field(name="from")
    missed: int = 0


class HelloOk(FromDevice, frozen=True):
    """The session stands. ``stream`` is empty and ``resume`` None while the device cannot number its alerts."""

    session: str = ""
    role: str = ""
    subscribed: tuple[str, ...] = ()
    camera_id: str = ""
    stream: str = ""
    boot_id: str = ""
    oldest_seq: int = 0
    next_seq: int = 0
    resume: Resumed | None = None
    proof: str = ""
    heartbeat_s: float = 10.0
    max_inbound: int = 0


class Detected(Struct, frozen=True, kw_only=True):
    """One object: ``bbox`` is xmin, ymin, xmax, ymax in pixels of the full frame, ``confidence`` 0 to 1.

    ``track_id`` is the object's number over frames, ``age_s`` the seconds since it was first seen and ``speed`` in
    pixels a second; None where it is not followed, or the device is of version 0.2. ``zones`` names those it is in.
    """

    class_name: str = ""
    class_id: int = 0
    confidence: float = 0.0
    bbox: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    is_crime_relevant: bool = False
    track_id: int | None = None
    age_s: float | None = None
    speed: float | None = None
    zones: tuple[str, ...] = ()


class Snapshot(Struct, frozen=True, kw_only=True):
    """What the ``snapshot`` command calls the picture of an alert: ``command("snapshot", alert=alert.snapshot.id)``."""

    id: str


class Alert(FromDevice, frozen=True):
    """What is told of an event: that it began, that it grew worse, or that it is over.

    ``event_uid`` names the event. ``state`` is firing, once more with a higher ``threat_level``, and at last resolved.
    (device_id, stream, seq) names a stored alert, (event_uid, state, threat_level) any. ``durable`` is False for a copy
    that was sent before it was on the device's disk: it has no ``seq`` yet. ``snapshot`` is None where no picture of
    the event is kept.
    """

    alert_id: str = ""
    event_uid: str = ""
    device_id: str = ""
    camera_id: str = ""
    timestamp: float = 0.0
    threat_level: str = ""
    confidence: float = 0.0
    threat_types: tuple[str, ...] = ()
    location: dict[str, float] = {}  # x and y, pixels
    detection_count: int = 0
    message: str = ""
    rule: str = ""
    state: str = "firing"
    frame_id: int = 0
    tracks: tuple[int, ...] = ()
    durable: bool = False
    replay: bool = False
    age_s: float = 0.0
    stream: str = ""
    seq: Seq | None = None
    snapshot: Snapshot | None = None


class LatencyMs(Struct, frozen=True, kw_only=True):
    capture: float = 0.0
    inference: float = 0.0
    total: float = 0.0


class FrameInfo(Struct, frozen=True, kw_only=True):
    width: int = 0
    height: int = 0
    channels: int = 0


class DetectionResult(FromDevice, frozen=True):
    """One look at the camera; without ``frame_id`` there was no frame to look at, and ``reason`` says why."""

    timestamp: float = 0.0
    detection_count: int = 0
    detections: tuple[Detected, ...] = ()
    frame_info: FrameInfo = FrameInfo()
    camera_id: str = ""
    status: str = ""
    reason: str = ""
    model: str = ""
    dropped: int = 0
    frame_id: int | None = None
    captured_at: float | None = None
    latency_ms: LatencyMs | None = None
    alerts: tuple[Alert, ...] = ()


class VideoFrame(FromDevice, frozen=True):
    """A picture; ``jpeg`` is its bytes."""

    frame_id: int
    timestamp: float = 0.0
    camera_id: str = ""
    width: int = 0
    height: int = 0
    annotated: bool = False
    dropped: int = 0
    jpeg: bytes = field(default=b"", name=" jpeg")


class Component(Struct, frozen=True, kw_only=True):
    """``state`` is ok, degraded, failed or off."""

    state: str = ""
    reason: str = ""


class Health(FromDevice, frozen=True):
    components: dict[str, Component] = {}
    timestamp: float = 0.0


class CommandError(Struct, frozen=True, kw_only=True):
    code: str = "failed"
    message: str = ""


class CommandResult(FromDevice, frozen=True):
    id: str
    ok: bool = False
    result: Any = None
    error: CommandError = CommandError()


class ErrorMessage(FromDevice, frozen=True):
    """A complaint of the device; after a fatal one it closes the connection."""

    code: str = ""
    message: str = ""
    fatal: bool = False


class Goodbye(FromDevice, frozen=True):
    reason: str = ""
    retry_after_ms: float = 0.0


KINDS: dict[str, type[FromDevice]] = {
    "welcome": Welcome,
    "hello_ok": HelloOk,
    "detection_result": DetectionResult,
    "alert": Alert,
    "video_frame": VideoFrame,
    "health": Health,
    "command_result": CommandResult,
    "error": ErrorMessage,
    "goodbye": Goodbye,
}


def decode(message: Message) -> FromDevice | Message:
    """The typed value of a message; the message itself where its type is unknown; ProtocolError on wrong fields."""
    kind = KINDS.get(message.type)
    if kind is None:
        return message
    try:
        typed = msgspec.convert(message, kind)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"the device sent a message with wrong fields: {message.type}: {error}") from error
    force_setattr(typed, "raw", message)
    if message.jpeg is not None and isinstance(typed, VideoFrame):
        force_setattr(typed, "jpeg", message.jpeg)
    return typed


@dataclass(frozen=True, slots=True)
class Connected:
    """The connection stands; the welcome follows. ``encryption`` is "TLSv1.3", or empty for none."""

    host: str
    port: int
    encryption: str = ""


@dataclass(frozen=True, slots=True)
class Lost:
    """There is no connection, for the reason given; the next attempt comes in ``retry_s`` seconds.

    ``error`` is what broke it, None where the device closed it.
    """

    reason: str
    retry_s: float
    error: StreamError | None = None

    def __str__(self) -> str:
        return f"{self.reason}; trying again in {self.retry_s:.1f} s"


@dataclass(frozen=True, slots=True)
class FramesLost:
    """No pictures for now: their own connection is lost. ``retry_s`` is None where this device sends none."""

    reason: str
    retry_s: float | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """``missed`` alerts were given up by the device before this client could have them."""

    missed: int


@dataclass(frozen=True, slots=True)
class Reset:
    """The device numbers its alerts anew, as ``stream``: what the old numbering had left is not to be had."""

    stream: str


Event: TypeAlias = FromDevice | Connected | Lost | FramesLost | Gap | Reset | Message
