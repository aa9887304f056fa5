"""What can be wrong with what a client sends."""

from __future__ import annotations

from typing import Literal, TypeAlias

from edge.errors import ProtocolError

FatalCode: TypeAlias = Literal[
    "bad_frame",
    "too_large",
    "bad_json",
    "auth_required",
    "auth_failed",
    "auth_timeout",
    "too_many_clients",
    "slow_consumer",
    "idle_timeout",
    "unsupported_version",
]
MildCode: TypeAlias = Literal["unknown_type", "bad_message", "rate_limited", "too_many_consumers"]


class Fault(ProtocolError):
    """Ends the connection: its place in the stream, or the trust in its peer, is lost."""

    def __init__(self, code: FatalCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Complaint(ProtocolError):
    """Is told to the client; the connection goes on."""

    def __init__(self, code: MildCode, message: str, about: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.about = about  # the type of the message that it is about
