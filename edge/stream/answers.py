"""Commands: each is done once, however often it is asked for, and away from the stream thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from edge.errors import ConfigError, EdgeError
from edge.stream.desk import Desk
from edge.wire import replies
from edge.wire.framing import MAX_JSON
from edge.wire.requests import Command

REMEMBERED_S = 600.0
REMEMBERED = 256  # answers; full: the oldest is forgotten
REMEMBERED_BYTES = 8 << 20  # of them together, so that pictures do not fill the memory; the same then

Handler: TypeAlias = Callable[[dict[str, Any]], Any]
Say: TypeAlias = Callable[[bytes], None]


class _Asked:
    """One command: its answer, or who waits for it."""

    def __init__(self, at: float) -> None:
        self.at = at
        self.answer: bytes | None = None
        self.waiting: list[Say] = []


class Answers:
    """Gives each command to its handler at the desk, and the same answer to the same id of the same client again.

    Handlers raise ConfigError for arguments that are wrong, another EdgeError for what did not work.

    Synchronization: the stream thread alone; handlers run at the desk.
    """

    def __init__(
        self, handlers: Mapping[str, Handler], desk: Desk, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._handlers = handlers
        self._desk = desk
        self._clock = clock
        self._asked: dict[tuple[str, str], _Asked] = {}  # by client and id, the oldest first

    def give(self, principal: str, command: Command, say: Say) -> None:
        """Have ``say`` called with the answer, now or later."""
        self._forget()
        known = self._asked.get((principal, command.id))
        if known is not None:
            if known.answer is not None:
                say(known.answer)
            elif say not in known.waiting:
                known.waiting.append(say)
            return
        handler = self._handlers.get(command.cmd)
        if handler is None:
            text = f"there is no command {command.cmd!r}; there are: {', '.join(sorted(self._handlers)) or 'none'}"
            say(replies.command_failed(command.id, "unknown_command", text))
            return
        asked = _Asked(self._clock())
        asked.waiting.append(say)
        if not self._desk.ask(lambda: _answer(handler, command), lambda answer: self._done(asked, command, answer)):
            say(replies.command_failed(command.id, "busy", "too many commands are waiting; ask again later"))
            return
        self._asked[principal, command.id] = asked

    def _done(self, asked: _Asked, command: Command, answer: bytes | EdgeError) -> None:
        if isinstance(answer, EdgeError):
            code = "bad_args" if isinstance(answer, ConfigError) else "failed"
            answer = replies.command_failed(command.id, code, str(answer))
        if len(answer) > MAX_JSON:
            answer = replies.command_failed(command.id, "failed", f"the answer would be {len(answer)} bytes long")
        asked.answer = answer
        self._forget()
        waiting, asked.waiting = asked.waiting, []
        for say in waiting:
            say(answer)

    def _forget(self) -> None:
        now, size = self._clock(), sum(len(asked.answer or b"") for asked in self._asked.values())
        while self._asked:
            first = next(iter(self._asked))
            asked = self._asked[first]
            room = len(self._asked) < REMEMBERED and size <= REMEMBERED_BYTES and now - asked.at < REMEMBERED_S
            if room or asked.answer is None:  # what is still being done must not be begun again
                return
            size -= len(asked.answer)
            del self._asked[first]


def _answer(handler: Handler, command: Command) -> bytes:
    return replies.command_done(command.id, handler(command.args))
