"""Commands: each is done once, however often it is asked for, and away from the stream thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias

import msgspec

from edge.errors import ConfigError, EdgeError
from edge.stream.desk import Desk
from edge.stream.quiet import Quiet
from edge.wire import replies
from edge.wire.framing import MAX_JSON
from edge.wire.requests import Command

logger = logging.getLogger(__name__)

REMEMBERED_S = 600.0
REMEMBERED = 256  # answers; full: the oldest is forgotten
REMEMBERED_BYTES = 8 << 20  # of them together, so that pictures do not fill the memory; the same then

LOGGED_NAMES = 200  # characters of a command's arguments' names in the log: a client may send 64 KiB of them

ASKING = ("get_status", "get_config", "get_alerts", "snapshot", "explain")  # they change nothing

Handler: TypeAlias = Callable[[dict[str, Any]], Any]
Say: TypeAlias = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Asker:
    """Who gives a command: the ``principal``, whose ids are remembered, and ``where`` it speaks from, for the log."""

    principal: str
    where: str


class _Asked:
    """One command: what it was, in short, and its answer, or who waits for it."""

    def __init__(self, digest: bytes, at: float) -> None:
        self.digest = digest
        self.at = at
        self.answer: bytes | None = None
        self.waiting: list[Say] = []


class Answers:
    """Gives each command to its handler at the desk, and the same answer to the same id of the same principal again.

    Handlers raise ConfigError for arguments that are wrong, another EdgeError for what did not work. What was tried is
    logged, with who asked for it and the names of its arguments, never their values.

    Synchronization: the stream thread alone; handlers run at the desk.
    """

    def __init__(
        self, handlers: Mapping[str, Handler], desk: Desk, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._handlers = handlers
        self._desk = desk
        self._clock = clock
        self._asked: dict[tuple[str, str], _Asked] = {}  # by principal and id, the oldest first
        # Who asks again and again fills no log, and hides nothing: what changes something is always there.
        self._logs = {name: Quiet(logger, clock).log for name in ASKING}

    def give(self, asker: Asker, command: Command, say: Say) -> None:
        """Have ``say`` called with the answer, now or later."""
        self._forget()
        asked, digest = self._asked.get((asker.principal, command.id)), _digest(command)
        if asked is None:
            self._begin(asker, command, _Asked(digest, self._clock()), say)
        elif asked.digest != digest:
            text = "the id was used for another command; use a new one"
            say(replies.command_failed(command.id, "duplicate_id", text))
        elif asked.answer is not None:
            say(asked.answer)
        elif say not in asked.waiting:
            asked.waiting.append(say)

    def _begin(self, asker: Asker, command: Command, asked: _Asked, say: Say) -> None:
        handler = self._handlers.get(command.cmd)
        if handler is None:
            text = f"there is no command {command.cmd!r}; there are: {', '.join(sorted(self._handlers)) or 'none'}"
            say(replies.command_failed(command.id, "unknown_command", text))
            return
        asked.waiting.append(say)
        if not self._desk.ask(
            lambda: _answer(handler, command), lambda answer: self._done(asker, command, asked, answer)
        ):
            say(replies.command_failed(command.id, "busy", "too many commands are waiting; ask again later"))
            return
        self._asked[asker.principal, command.id] = asked

    def _done(self, asker: Asker, command: Command, asked: _Asked, answer: bytes | EdgeError) -> None:
        outcome = "done"
        if isinstance(answer, EdgeError):
            outcome = "bad_args" if isinstance(answer, ConfigError) else "failed"
            answer = replies.command_failed(command.id, outcome, str(answer))
        if len(answer) > MAX_JSON:
            answer = replies.command_failed(command.id, "failed", f"the answer would be {len(answer)} bytes long")
        text = "command %s%s by %s (%s): %s"
        log = self._logs.get(command.cmd, logger.log)
        log(logging.INFO, text, command.cmd, _names(command.args), asker.principal, asker.where, outcome)
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


def _digest(command: Command) -> bytes:
    """Equal for equal commands, and short: arguments of 64 KiB are not kept for ten minutes."""
    return sha256(msgspec.json.encode((command.cmd, command.args), order="deterministic")).digest()


def _names(args: Mapping[str, Any]) -> str:
    """The arguments' names, for the log: of an object the names in it, as in ``values.video.quality``."""
    names: list[str] = []
    for key, value in args.items():
        names += [f"{key}.{inner}" for inner in value] if isinstance(value, dict) else [key]
    # ascii(): what a client calls its arguments must not steer a terminal.
    return f" {ascii(', '.join(names)[:LOGGED_NAMES])[1:-1]}" if names else ""
