"""What a client says: its messages as structs, read by the device and written by the reference client.

The specification is docs/protocol.md, section 8.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from edge.wire.faults import Complaint, Fault

PROTOCOL_VERSION = 1
MAX_DEPTH = 32  # of JSON: none of our messages is deeper than 8
MAX_SEQ = 1 << 53  # greater whole numbers are not exact in JavaScript

Topic: TypeAlias = Literal["alerts", "detections", "frames", "health"]
TOPICS: tuple[Topic, ...] = ("alerts", "detections", "frames", "health")
DEFAULT_TOPICS: tuple[Topic, ...] = ("alerts", "detections", "health")

Seq = Annotated[int, Meta(ge=0, le=MAX_SEQ)]
# Not $, which lets a newline at the end pass.
Hex64 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}\Z")]


class Frames(Struct, frozen=True, omit_defaults=True):
    """How a client wants its pictures; what is left out is as the device's settings say."""

    max_fps: Annotated[float, Meta(gt=0.0, le=240.0)] | None = None
    quality: Annotated[int, Meta(ge=10, le=100)] | None = None
    annotated: bool | None = None


class Resume(Struct, frozen=True):
    """The last alert that the client has: number ``after`` of ``stream``."""

    stream: Annotated[str, Meta(max_length=64)]
    after: Seq


class Auth(Struct, frozen=True):
    """A login: see edge.wire.login."""

    key_id: Name
    nonce: Hex64
    mac: Hex64


class Hello(Struct, frozen=True, omit_defaults=True, tag="hello"):
    protocol: int
    client: Annotated[str, Meta(max_length=128)] = ""
    consumer: Name | None = None
    subscribe: tuple[str, ...] = DEFAULT_TOPICS
    frames: Frames = Frames()
    resume: Resume | Literal["last_ack"] | None = None
    auth: Auth | None = None
    heartbeat_s: Annotated[float, Meta(gt=0.0)] | None = None


class Ack(Struct, frozen=True, tag="ack"):
    stream: Annotated[str, Meta(max_length=64)]
    seq: Seq


class Ping(Struct, frozen=True, tag="ping"):
    t: float


class Pong(Struct, frozen=True, tag="pong"):
    t: float


class Subscribe(Struct, frozen=True, omit_defaults=True, tag="subscribe"):
    subscribe: tuple[str, ...]
    frames: Frames | None = None


class Unsubscribe(Struct, frozen=True, tag="unsubscribe"):
    subscribe: tuple[str, ...]


class Command(Struct, frozen=True, omit_defaults=True, tag="command"):
    id: Annotated[str, Meta(min_length=1, max_length=64)]
    cmd: Annotated[str, Meta(max_length=64)]
    args: dict[str, Any] = {}


Request: TypeAlias = Hello | Ack | Ping | Pong | Subscribe | Unsubscribe | Command
_KINDS: dict[str, type[Request]] = {
    "hello": Hello,
    "ack": Ack,
    "ping": Ping,
    "pong": Pong,
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "command": Command,
}


def encode_request(request: Request) -> bytes:
    """The JSON of one message of a client, not yet framed."""
    return msgspec.json.encode(request)


def decode_request(message: bytes) -> Request:
    """Read one message; Fault when it is no JSON object with a type, Complaint when its type or fields are wrong.

    Unknown fields are ignored.
    """
    try:
        fields = msgspec.json.decode(message)
    except (ValueError, RecursionError) as error:
        raise Fault("bad_json", f"a message is not JSON: {error}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
        raise Fault("bad_json", "a message is not a JSON object with a text in `type`")
    if _deeper(fields, MAX_DEPTH):
        raise Fault("bad_json", f"a message is nested deeper than {MAX_DEPTH}")
    kind = _KINDS.get(fields["type"])
    if kind is None:
        raise Complaint("unknown_type", f"there is no message of the type {fields['type'][:64]!r}")
    if kind is Hello and fields.get("protocol") != PROTOCOL_VERSION:
        raise Fault("unsupported_version", f"this device speaks protocol {PROTOCOL_VERSION}")
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise Complaint("bad_message", f"{fields['type']}: {error}", fields["type"]) from error


def topics(names: tuple[str, ...]) -> frozenset[Topic]:
    """Those of ``names`` that are topics of this version."""
    return frozenset(topic for topic in TOPICS if topic in names)


def _deeper(value: Any, depth: int) -> bool:
    """Whether objects and lists are nested more than ``depth`` deep in ``value``."""
    level = [value]
    for _ in range(depth):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return False
    return any(isinstance(each, (dict, list)) for each in level)


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
