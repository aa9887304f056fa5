"""Whole dialogues as targets: what a device answers is read as a client would, and must follow the page's rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, Literal, TypeVar

from edge.config import Video
from edge.errors import ConfigError, EdgeError
from edge.stream.answers import Answers
from edge.stream.desk import Desk
from edge.stream.dialogue import Dialogue, Services
from edge.stream.greeting import Peer
from edge.stream.hub import Hub
from edge.stream.mailbox import Form as MailboxForm
from edge.types import StoredAlert, StreamBounds
from edge.wire.framing import Message, MessageReader
from edge.wire.messages import Copy, Identity, Terms
from tests.fuzz.targets import FORMS, Connection, Form, Target
from tests.streaming import make_alert, make_result, make_video

T = TypeVar("T")
Auth = Literal["none", "hmac", "mtls"]
STREAM = "5f0c2a9be1d74c38"  # that of the vectors
PLAIN = {"welcome", "detection_result", "alert", "video_frame"}
STEP_S = 0.02  # of the clock, a piece
PUBLISH_EVERY = 4  # pieces
RESULT = make_result().without_pixels()
VIDEO = make_video(size=100)


class Here(Desk):
    """A desk that does each job at once."""

    def __init__(self) -> None:
        super().__init__("here", lambda job: job())

    def ask(self, job: Callable[[], T], done: Callable[[T | EdgeError], None]) -> bool:
        try:
            answer: T | EdgeError = job()
        except EdgeError as error:
            answer = error
        done(answer)
        return True


class Log:
    """An outbox in memory: alerts 11 to 50, and those that are added."""

    def __init__(self) -> None:
        self.alerts = [self._stored(seq) for seq in range(11, 51)]
        self.consumers: dict[str, int] = {}

    @property
    def bounds(self) -> StreamBounds:
        return StreamBounds(STREAM, self.alerts[0].seq, self.alerts[-1].seq + 1)

    def add(self) -> StoredAlert:
        self.alerts.append(self._stored(self.bounds.next_seq))
        return self.alerts[-1]

    def register(self, consumer: str, start: int | None = None) -> int | None:
        return self.consumers.setdefault(consumer, self.bounds.next_seq - 1 if start is None else start)

    def acknowledge(self, consumer: str, seq: int) -> bool:
        self.consumers[consumer] = max(seq, self.consumers[consumer])
        return True

    def read(self, after: int, limit: int) -> tuple[StoredAlert, ...]:
        return tuple(stored for stored in self.alerts if stored.seq > after)[:limit]

    def _stored(self, seq: int) -> StoredAlert:
        return StoredAlert(STREAM, seq, make_alert(seq))


def refuse(args: dict[str, Any]) -> dict[str, Any]:
    raise ConfigError(f"no such argument: {next(iter(args), '')}")


class Conversation:
    """A device and one client of its; the client believes nothing."""

    def __init__(self, form: Form, auth: Auth) -> None:
        self.log, self.hub, desk = Log(), Hub(Identity("edge-01", "main", "b")), Here()
        handlers = {"set_config": lambda args: args, "get_status": refuse}
        health = {"camera": {"state": "ok", "reason": ""}}
        services = Services(self.hub, Video, self.log, lambda: health, Answers(handlers, desk), desk)
        self.mailbox = self.hub.join(MailboxForm(*form, True), lambda: None, "plain" if auth == "none" else "pending")
        peer = Peer("an address", False, "a client", "control" if auth == "mtls" else None)
        terms = Terms("listener-1", auth, 4.0)
        self.dialogue = Dialogue(services, terms, self.mailbox, peer, None, lambda: None, 0.0)
        self.dialogue.open()
        self._auth = auth
        self._reader = MessageReader()
        self._next_seq: int | None = None
        self._pieces = count(1)

    def take(self, piece: bytes) -> Iterator[str]:
        number = next(self._pieces)
        if number % PUBLISH_EVERY == 0:
            stored = self.log.add()
            self.hub.publish_result(replace(RESULT, alerts=(stored.alert,)), [Copy(stored.alert, stored)])
            self.hub.publish_video(VIDEO)
        yield from self._hear()
        for _ in self.dialogue.receive(piece, number * STEP_S):
            yield from self._hear()
        self.dialogue.check(number * STEP_S)
        yield from self._hear()
        assert not self.mailbox.overflow
        assert not self.mailbox.stale

    def _hear(self) -> Iterator[str]:
        """Read all that waits for the client."""
        while True:
            unit = self.hub.take(self.mailbox)
            if unit is None:
                self.dialogue.refill(0.0)
                unit = self.hub.take(self.mailbox)
            if unit is None:
                return
            for message in self._reader.feed(b"".join(unit)):
                self._judge(message)
                if message.type != "video_frame":  # how many of them depends on the time
                    yield message.get("code", message.type)
            assert self._reader.between_messages

    def _judge(self, message: Message) -> None:
        if message.type == "hello_ok":
            self._next_seq = message["resume"]["from"]
        elif self._next_seq is None:
            assert message.type in ({"welcome"} if self._auth != "none" else PLAIN) | {"error"}
        elif message.type == "alert":
            assert message["seq"] == self._next_seq
            self._next_seq += 1


def session(auth: Auth, form: Form) -> Target:
    """A client of a listener with this login; with ``mtls`` its certificate's role is control."""

    def connect() -> Connection:
        return Conversation(form, auth).take

    return Target(f"session, {auth}, {' '.join(form)}", "client", form, connect)


AUTHS: tuple[Auth, ...] = ("none", "hmac", "mtls")
SESSIONS: tuple[Target, ...] = tuple(target for auth in AUTHS for target in map(partial(session, auth), FORMS))
