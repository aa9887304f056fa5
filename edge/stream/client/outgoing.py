"""What a client's other threads want said to the device: commands, and the newest ack."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from edge.errors import StreamError
from edge.stream.client.cursor import Cursor
from edge.stream.client.messages import CommandResult
from edge.wire.inbound import LIMIT_AFTER
from edge.wire.requests import Command, encode_request

ACK_S = 0.2  # acks are sent at most so often, the newest alone
MAX_COMMANDS = 64  # that wait for their answers; one more is refused


@dataclass(slots=True)
class Pending:
    """A command and, once ``done``, its answer; without one the client was closed."""

    message: bytes
    done: threading.Event = field(default_factory=threading.Event)
    answer: CommandResult | None = None
    sent: bool = False


class Outgoing:
    """Commands wait for their answers, and are sent again on a new connection; of acks the newest counts.

    Synchronization: any thread may ask, forget and acknowledge; the client's I/O thread calls the rest.
    """

    def __init__(self) -> None:
        # Guards everything below.
        self._lock = threading.Lock()
        self._commands: dict[str, Pending] = {}
        self._closed = False
        self._ack: Cursor | None = None
        self._next_ack_at = 0.0

    def ask(self, command: Command) -> Pending:
        """Have a command sent; StreamError where that cannot be."""
        try:
            pending = Pending(encode_request(command))
        except (TypeError, ValueError) as error:
            raise StreamError(f"the command {command.cmd} cannot be written as JSON: {error}") from error
        if len(pending.message) > LIMIT_AFTER:
            raise StreamError(f"the command {command.cmd} is too long: at most {LIMIT_AFTER} bytes are allowed")
        with self._lock:
            if len(self._commands) >= MAX_COMMANDS:
                raise StreamError(f"{MAX_COMMANDS} commands wait for their answers already")
            if self._closed:
                pending.done.set()
            else:
                self._commands[command.id] = pending
        return pending

    @property
    def asking(self) -> bool:
        """Whether a command waits for its answer."""
        with self._lock:
            return bool(self._commands)

    def forget(self, command: Command) -> None:
        """Wait for the answer no longer."""
        with self._lock:
            self._commands.pop(command.id, None)

    def acknowledge(self, cursor: Cursor) -> bool:
        """Have this ack sent; True where the I/O thread does not know yet that there is one."""
        with self._lock:
            idle, self._ack = self._ack is None, cursor
        return idle

    def answer(self, result: CommandResult) -> None:
        with self._lock:
            pending = self._commands.pop(result.id, None)
        if pending is not None:
            pending.answer = result
            pending.done.set()

    def commands(self) -> list[bytes]:
        """What was not sent yet on this connection."""
        with self._lock:
            fresh = [pending for pending in self._commands.values() if not pending.sent]
            for pending in fresh:
                pending.sent = True
        return [pending.message for pending in fresh]

    def ack(self, now: float) -> Cursor | None:
        """The ack to send, where there is one and it is time."""
        with self._lock:
            if self._ack is None or now < self._next_ack_at:
                return None
            ack, self._ack, self._next_ack_at = self._ack, None, now + ACK_S
        return ack

    @property
    def ack_due(self) -> float:
        with self._lock:
            return float("inf") if self._ack is None else self._next_ack_at

    def lose(self) -> None:
        """The connection is gone: whatever waits for an answer is to be sent again."""
        with self._lock:
            for pending in self._commands.values():
                pending.sent = False

    def close(self) -> None:
        """Nothing is answered any more."""
        with self._lock:
            self._closed = True
            commands, self._commands = list(self._commands.values()), {}
        for pending in commands:
            pending.done.set()
