"""What the device says after a hello, beside the plain messages; the specification is docs/protocol.md, section 4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from edge.types import StreamBounds
from edge.wire.inbound import LIMIT_AFTER
from edge.wire.messages import Identity, to_json, where

Role: TypeAlias = Literal["viewer", "control"]


@dataclass(frozen=True, slots=True)
class Resumption:
    """Where the numbered alerts begin for a client: at ``start``; ``missed`` of those it asked for are gone."""

    status: Literal["ok", "gap", "reset"]
    start: int
    missed: int = 0


def resumption(bounds: StreamBounds, stream: str, after: int) -> Resumption:
    """What follows for a client that has number ``after`` of ``stream`` and all before it."""
    if stream != bounds.stream or after >= bounds.next_seq:
        return Resumption("reset", bounds.oldest_seq)
    if after + 1 < bounds.oldest_seq:
        return Resumption("gap", bounds.oldest_seq, bounds.oldest_seq - after - 1)
    return Resumption("ok", after + 1)


@dataclass(frozen=True, slots=True)
class Agreed:
    """What hello_ok says of one session."""

    session: str
    role: Role
    subscribed: tuple[str, ...]
    heartbeat_s: float
    resume: Resumption | None = None
    proof: str = ""


def hello_ok(identity: Identity, agreed: Agreed, bounds: StreamBounds | None) -> bytes:
    fields: dict[str, Any] = {
        "type": "hello_ok",
        "session": agreed.session,
        "role": agreed.role,
        "camera_id": identity.camera_id,
        "boot_id": identity.boot_id,
        **where(bounds),
        "subscribed": agreed.subscribed,
        "heartbeat_s": agreed.heartbeat_s,
        "max_inbound": LIMIT_AFTER,
    }
    if agreed.resume is not None:
        fields["resume"] = {
            "status": agreed.resume.status,
            "from": agreed.resume.start,
            "missed": agreed.resume.missed,
        }
    if agreed.proof:
        fields["proof"] = agreed.proof
    return to_json(fields)


def ping(t: float) -> bytes:
    return to_json({"type": "ping", "t": t})


def pong(t: float) -> bytes:
    return to_json({"type": "pong", "t": t})


def error(code: str, message: str, *, fatal: bool) -> bytes:
    return to_json({"type": "error", "code": code, "message": message, "fatal": fatal})


def goodbye(reason: Literal["shutdown", "gap", "login"], retry_after_ms: int) -> bytes:
    return to_json({"type": "goodbye", "reason": reason, "retry_after_ms": retry_after_ms})


def health(components: Mapping[str, Any], now: float) -> bytes:
    """``components``: name to {"state": ..., "reason": ...}; ``now`` is Unix time."""
    return to_json({"type": "health", "timestamp": round(now, 3), "components": components})


def command_done(command_id: str, result: Any) -> bytes:
    return to_json({"type": "command_result", "id": command_id, "ok": True, "result": result})


def command_failed(command_id: str, code: str, message: str) -> bytes:
    failure = {"code": code, "message": message}
    return to_json({"type": "command_result", "id": command_id, "ok": False, "error": failure})
