"""What a client and the device say beside the stream: hello and login, resuming, acks, pings, commands."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edge.config import Video
from edge.security.keys import LoginKeys
from edge.stream.allowance import Allowance
from edge.stream.answers import Answers, Asker
from edge.stream.desk import Desk
from edge.stream.greeting import Peer, find_start, log_in
from edge.stream.hub import Hub
from edge.stream.mailbox import Mailbox
from edge.stream.replay import AlertLog, Replay
from edge.types import Look, StreamBounds
from edge.wire import replies, requests
from edge.wire.faults import Complaint, Fault
from edge.wire.inbound import LIMIT_AFTER, InboundReader
from edge.wire.login import NONCE_BYTES
from edge.wire.messages import Terms, welcome
from edge.wire.replies import Agreed, Role
from edge.wire.requests import Topic

logger = logging.getLogger(__name__)

HEARTBEAT_S = 10.0  # quiet after which the peer is pinged; a client may ask for less
HEARTBEAT_MIN_S = 1.0
DEAD_AFTER = 2.5  # heartbeats without a sign of life
REGISTER_S = 3600.0  # how often the outbox is told that a consumer is still there: one unseen is forgotten
COMMANDS_BURST = 20
COMMANDS_RATE = 20.0  # a second


@dataclass(frozen=True, slots=True)
class Services:
    """What all dialogues of a server share."""

    hub: Hub
    video: Callable[[], Video]
    outbox: AlertLog | None
    health: Callable[[], Mapping[str, Any]]
    answers: Answers
    reader: Desk  # pages of the outbox
    log: Callable[..., None] = logger.log


class Dialogue:
    """One client's, from the welcome on. It knows no socket: what it says goes into the mailbox.

    ``greeted`` is set once the client has said hello and proved who it is; ``login`` while it has yet to. ``enter`` is
    called when it has logged in, and raises Fault where there is no place for it.

    Synchronization: the stream thread alone.
    """

    def __init__(
        self,
        services: Services,
        terms: Terms,
        mailbox: Mailbox,
        peer: Peer,
        keys: LoginKeys | None,
        enter: Callable[[], None],
        now: float,
    ) -> None:
        self.mailbox = mailbox
        self.peer = peer
        self.greeted = False
        self.login = terms.auth != "none"
        self.role: Role = "viewer"
        self._asker = Asker("", peer.address)
        self._services = services
        self._hub = services.hub
        self._terms = terms
        self._keys = keys
        self._enter = enter
        self._reader = InboundReader(mailbox.form.framing, mailbox.form.byteorder)
        self._deaf = False
        self._nonce = secrets.token_hex(NONCE_BYTES) if terms.auth == "hmac" else ""
        self._consumer = ""
        self._heartbeat_s = HEARTBEAT_S
        self._heard_at = self._pinged_at = self._registered_at = now
        self._replay = Replay(services.hub, services.outbox, services.reader, mailbox)
        self._commands = Allowance(COMMANDS_BURST, COMMANDS_RATE, now)

    def open(self) -> None:
        """Say welcome."""
        self._say(welcome(self._hub.identity, time.time(), self._terms, self._bounds, self._nonce))

    def receive(self, data: bytes, now: float) -> Iterator[None]:
        """Take in what came, one message a step; raises Fault.

        A client that has not said hello, where nobody must, may send anything: it is thrown away.
        """
        self._heard_at = now
        if self._deaf:
            return
        try:
            for message in self._reader.feed(data):
                self._hear(message, now)
                yield
        except Fault as fault:
            if self.speaks or fault.code == "unsupported_version":
                raise
            self._deaf = True
            logger.info("client %s: plain from now on: %s", self.peer.address, fault)

    def excuse(self, now: float) -> None:
        """Nobody listened until now: the client's silence does not count."""
        self._heard_at = now

    def refill(self, now: float) -> None:
        """There may be place for more of what the client missed."""
        self._replay.step(now)

    @property
    def speaks(self) -> bool:
        """Whether the client understands more than the plain stream."""
        return self.greeted or self.login

    def check(self, now: float) -> None:
        """Ping a quiet client, give up a dead one: Fault."""
        if not self.greeted:
            return
        if self._consumer and self._services.outbox is not None and now - self._registered_at >= REGISTER_S:
            self._registered_at = now
            self._services.outbox.register(self._consumer)
        if now - self._heard_at > DEAD_AFTER * self._heartbeat_s:
            raise Fault("idle_timeout", f"nothing came for {DEAD_AFTER * self._heartbeat_s:g} s")
        if now - max(self._heard_at, self._pinged_at) >= self._heartbeat_s:
            self._pinged_at = now
            self._say(replies.ping(round(now, 3)))

    def _hear(self, message: bytes, now: float) -> None:
        try:
            request = requests.decode_request(message)
            if isinstance(request, requests.Hello):
                self._on_hello(request)
            elif self.greeted:
                self._on_request(request, now)
            elif self.login:
                raise Fault("auth_required", "the first message must be a hello with a login")
        except Complaint as complaint:
            if self.speaks or complaint.about == "hello":
                self._say(replies.error(complaint.code, str(complaint), fatal=False))

    def _on_request(self, request: requests.Request, now: float) -> None:
        if isinstance(request, requests.Ack):
            self._on_ack(request)
        elif isinstance(request, requests.Ping):
            self._say(replies.pong(request.t))
        elif isinstance(request, requests.Subscribe):
            self._subscribe(self.mailbox.topics | requests.topics(request.subscribe), request.frames)
        elif isinstance(request, requests.Unsubscribe):
            self._subscribe(self.mailbox.topics - requests.topics(request.subscribe), None)
        elif isinstance(request, requests.Command):
            self._on_command(request, now)

    # Hello

    def _on_hello(self, hello: requests.Hello) -> None:
        if self.greeted:
            raise Complaint("bad_message", "hello was said already", "hello")
        login = log_in(hello, self._terms, self.peer, self._keys, self._hub.identity.device_id, self._nonce)
        if self.login:
            self._enter()
        self.role = login.role
        self.greeted, self.login = True, False
        self._reader.limit = LIMIT_AFTER
        self._heartbeat_s = min(max(hello.heartbeat_s or HEARTBEAT_S, HEARTBEAT_MIN_S), HEARTBEAT_S)
        topics = requests.topics(hello.subscribe)
        stream, unsent = self._hub.greet(self.mailbox, topics)
        bounds = self._bounds  # looked at later, it has all that was published
        at_hand = bounds is not None and stream == bounds.stream
        start = find_start(hello, login.principal, self._services.outbox, bounds, unsent if at_hand else 0)
        self._consumer = start.consumer
        if bounds is not None and start.resume is not None:
            self._hub.place(self.mailbox, bounds.stream, start.resume.start)
        self._set_frames(hello.frames)
        agreed = Agreed(
            session=secrets.token_hex(8),
            role=self.role,
            subscribed=self._offered(topics),
            heartbeat_s=self._heartbeat_s,
            resume=start.resume,
            proof=login.proof,
        )
        self._say(replies.hello_ok(self._hub.identity, agreed, bounds))
        for code, text in start.complaints:
            self._say(replies.error(code, text, fatal=False))
        self._asker = Asker(login.principal, f"session {agreed.session}, {self.peer.address}")
        self._log_hello(hello, agreed.session)
        self._begin(topics)

    def _log_hello(self, hello: requests.Hello, session: str) -> None:
        consumer = f", consumer {self._consumer}" if self._consumer else ""
        software = f", {hello.client!a}" if hello.client else ""  # !a: it must not steer a terminal
        text = "client %s: session %s as %s%s%s"
        self._services.log(logging.INFO, text, self.peer.address, session, self.role, consumer, software)

    # After hello

    def _on_ack(self, ack: requests.Ack) -> None:
        outbox, bounds = self._services.outbox, self._bounds
        known = bounds is not None and ack.stream == bounds.stream and ack.seq < bounds.next_seq
        if not self._consumer or outbox is None or not known or not outbox.acknowledge(self._consumer, ack.seq):
            raise Complaint("bad_message", "ack: it needs a consumer's name, this stream, and an alert that there is")

    def _subscribe(self, topics: frozenset[Topic], frames: requests.Frames | None) -> None:
        fresh = topics - self.mailbox.topics
        if frames is not None:
            self._set_frames(frames)
        if "alerts" not in topics:
            self._replay.end()
        self._hub.subscribe(self.mailbox, topics)
        self._begin(fresh)

    def _begin(self, fresh: frozenset[Topic]) -> None:
        """Start what the client has just subscribed to: alerts from its cursor on, the present health."""
        if "alerts" in fresh:
            self._replay.begin(self._heard_at)
        if "health" in fresh:
            self._hub.tell_health(self.mailbox, replies.health(self._services.health(), time.time()))

    def _set_frames(self, frames: requests.Frames) -> None:
        settings, look = self._services.video(), None
        if frames.quality is not None or frames.annotated is not None:
            look = Look(
                quality=frames.quality if frames.quality is not None else settings.quality,
                annotated=frames.annotated if frames.annotated is not None else settings.annotated,
            )
        self._hub.show(self.mailbox, look, frames.max_fps)

    def _offered(self, topics: frozenset[Topic]) -> tuple[str, ...]:
        """Of what was asked for, what this listener gives."""
        return tuple(t for t in requests.TOPICS if t in topics and (t != "frames" or self.mailbox.form.video))

    def _on_command(self, command: requests.Command, now: float) -> None:
        if not self._commands.allows(1, now):
            self._say(
                replies.command_failed(command.id, "rate_limited", f"at most {COMMANDS_RATE:g} commands a second")
            )
        elif self.role != "control":
            self._say(replies.command_failed(command.id, "forbidden", "commands need the role control"))
        else:
            self._services.answers.give(self._asker, command, self._say_later)

    def _say_later(self, message: bytes) -> None:
        self._say(message)
        self.mailbox.wake()

    def _say(self, message: bytes) -> None:
        self._hub.tell(self.mailbox, message)

    @property
    def _bounds(self) -> StreamBounds | None:
        return self._services.outbox.bounds if self._services.outbox is not None else None
