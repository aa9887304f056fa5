"""What a client and the device say beside the stream: hello and login, resuming, acks, pings, commands."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edge.config import Video
from edge.errors import EdgeError
from edge.security.keys import LoginKeys
from edge.stream.allowance import Allowance
from edge.stream.answers import Answers
from edge.stream.desk import Desk
from edge.stream.hub import Hub
from edge.stream.mailbox import Mailbox
from edge.types import Look, StoredAlert, StreamBounds
from edge.wire import replies, requests
from edge.wire.faults import Complaint, Fault, MildCode
from edge.wire.inbound import LIMIT_AFTER, InboundReader
from edge.wire.login import NONCE_BYTES, Challenge, is_proof, prove
from edge.wire.messages import Terms, welcome
from edge.wire.replies import Agreed, Resumption, Role
from edge.wire.requests import Topic

logger = logging.getLogger(__name__)

HEARTBEAT_S = 10.0  # quiet after which the peer is pinged; a client may ask for less
HEARTBEAT_MIN_S = 1.0
DEAD_AFTER = 2.5  # heartbeats without a sign of life
PAGE = 64  # alerts read from the disk at a time
PAGE_BELOW = 16  # alerts still waiting when the next page is asked for
RETRY_READ_S = 1.0  # after a page that could not be read
COMMANDS_BURST = 20
COMMANDS_RATE = 20.0  # a second


class AlertLog(Protocol):
    """What a dialogue needs of the outbox; nothing of it blocks but ``read``."""

    @property
    def bounds(self) -> StreamBounds | None: ...

    def register(self, consumer: str, start: int | None = None) -> int | None: ...

    def acknowledge(self, consumer: str, seq: int) -> bool: ...

    def read(self, after: int, limit: int) -> tuple[StoredAlert, ...]: ...


@dataclass(frozen=True, slots=True)
class Services:
    """What all dialogues of a server share."""

    hub: Hub
    video: Callable[[], Video]
    outbox: AlertLog | None
    health: Callable[[], Mapping[str, Any]]
    answers: Answers
    reader: Desk  # pages of the outbox


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as far as the connection itself tells; ``role`` is that of a certificate."""

    name: str
    encrypted: bool
    role: Role | None


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
        self.principal = ""
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
        self._heard_at = self._pinged_at = now
        self._replaying = self._reading = False
        self._read_at = 0.0
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
            logger.info("client %s: plain from now on: %s", self.peer.name, fault)

    @property
    def speaks(self) -> bool:
        """Whether the client understands more than the plain stream."""
        return self.greeted or self.login

    def check(self, now: float) -> None:
        """Ping a quiet client, give up a dead one (Fault), go on with a replay whose reading failed."""
        if not self.greeted:
            return
        if now - self._heard_at > DEAD_AFTER * self._heartbeat_s:
            raise Fault("idle_timeout", f"nothing came for {DEAD_AFTER * self._heartbeat_s:g} s")
        if now - max(self._heard_at, self._pinged_at) >= self._heartbeat_s:
            self._pinged_at = now
            self._say(replies.ping(round(now, 3)))
        self.replay(now)

    def replay(self, now: float) -> None:
        """Ask for the next page of alerts, if one is due; sets the mailbox ``stale`` where it is gone from the disk."""
        if not self._replaying or self._reading or now < self._read_at or self.mailbox.alerts_waiting > PAGE_BELOW:
            return
        outbox, after, bounds = self._services.outbox, self.mailbox.cursor, self._bounds
        if outbox is None or bounds is None:
            return
        if bounds.stream == self.mailbox.stream and after + 1 >= bounds.next_seq and self._hub.go_live(self.mailbox):
            self._replaying = False
            return
        if bounds.stream != self.mailbox.stream or bounds.oldest_seq > after + 1:
            self.mailbox.stale = True
            return
        self._reading = self._services.reader.ask(lambda: outbox.read(after, PAGE), self._on_page)
        self._read_at = now if self._reading else now + RETRY_READ_S

    def _on_page(self, page: Sequence[StoredAlert] | EdgeError) -> None:
        self._reading = False
        if isinstance(page, EdgeError):
            self._read_at = time.monotonic() + RETRY_READ_S
            logger.warning("client %s: its missed alerts cannot be read now: %s", self.peer.name, page)
            return
        if not self._hub.replay(self.mailbox, page, time.time()):
            self.mailbox.stale = True
        self.mailbox.wake()

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
        proof = self._log_in(hello)
        if self.login:
            self._enter()
        self.greeted, self.login = True, False
        self._reader.limit = LIMIT_AFTER
        self._heartbeat_s = min(max(hello.heartbeat_s or HEARTBEAT_S, HEARTBEAT_MIN_S), HEARTBEAT_S)
        topics, bounds = requests.topics(hello.subscribe), self._bounds
        unsent = self._hub.greet(self.mailbox, topics)
        complaints = self._know_consumer(hello, bounds)
        resume = self._resume(hello, bounds, unsent) if bounds is not None else None
        if bounds is not None and resume is not None:
            self._hub.place(self.mailbox, bounds.stream, resume.start)
        self._set_frames(hello.frames)
        agreed = Agreed(
            session=secrets.token_hex(8),
            role=self.role,
            subscribed=self._offered(topics),
            heartbeat_s=self._heartbeat_s,
            resume=resume,
            proof=proof,
        )
        self._say(replies.hello_ok(self._hub.identity, agreed, bounds))
        for code, text in complaints:
            self._say(replies.error(code, text, fatal=False))
        self._begin(topics)

    def _log_in(self, hello: requests.Hello) -> str:
        """See who it is; the device's own proof, where there is one. Raises Fault."""
        if self._terms.auth == "mtls":
            if self.peer.role is None:
                raise Fault("auth_failed", "the certificate gives no role: it needs viewer or control")
            self.role, self.principal = self.peer.role, self.peer.name
            return ""
        if self._terms.auth == "none":
            return ""
        if hello.auth is None:
            raise Fault("auth_required", "this listener asks for a login: hello needs auth {key_id, nonce, mac}")
        challenge = Challenge(
            key_id=hello.auth.key_id,
            device_id=self._hub.identity.device_id,
            listener=f"{'tls' if self.peer.encrypted else 'tcp'}:{self._terms.listener}",
            server_nonce=self._nonce,
            client_nonce=hello.auth.nonce,
        )
        if self._keys is None:
            raise Fault("auth_failed", "this device has no login keys")
        secret, key = self._keys.secret(hello.auth.key_id), self._keys.get(hello.auth.key_id)
        if not is_proof(hello.auth.mac, secret, "client", challenge) or key is None:
            raise Fault("auth_failed", "the login is wrong: check key_id, secret, device_id and listener")
        self.principal = key.key_id
        self.role = key.role if self.peer.encrypted else "viewer"  # what follows a plain login could be anybody's
        return prove(secret, "server", challenge)

    def _know_consumer(self, hello: requests.Hello, bounds: StreamBounds | None) -> list[tuple[MildCode, str]]:
        """Register the consumer's name; what there is to complain of."""
        outbox = self._services.outbox
        if hello.consumer is None:
            wrong = hello.resume == "last_ack"
            return [("bad_message", "hello: last_ack needs the consumer's name; starting at now")] if wrong else []
        if outbox is None:
            return []
        start = None
        if isinstance(hello.resume, requests.Resume) and bounds is not None and hello.resume.stream == bounds.stream:
            start = min(hello.resume.after, bounds.next_seq - 1)
        if outbox.register(hello.consumer, start) is None:
            text = f"no place for the consumer {hello.consumer}: this session goes on without the name"
            return [("too_many_consumers", text)]
        self._consumer = hello.consumer
        return []

    def _resume(self, hello: requests.Hello, bounds: StreamBounds, unsent: int) -> Resumption:
        """Where the alerts begin."""
        if isinstance(hello.resume, requests.Resume):
            return replies.resumption(bounds, hello.resume.stream, hello.resume.after)
        if hello.resume == "last_ack" and self._consumer and self._services.outbox is not None:
            acked = self._services.outbox.register(self._consumer)
            if acked is not None:
                return replies.resumption(bounds, bounds.stream, acked)
        return Resumption("ok", unsent or bounds.next_seq)

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
        self._hub.subscribe(self.mailbox, topics)
        self._begin(fresh)

    def _begin(self, fresh: frozenset[Topic]) -> None:
        """Start what the client has just subscribed to: alerts from its cursor on, the present health."""
        if "alerts" in fresh:
            self._hub.hold(self.mailbox)
            self._replaying = True
            self.replay(self._heard_at)
        if "health" in fresh:
            self._hub.tell_health(self.mailbox, replies.health(self._services.health(), time.time()))

    def _set_frames(self, frames: requests.Frames) -> None:
        settings = self._services.video()
        quality = frames.quality if frames.quality is not None else settings.quality
        annotated = frames.annotated if frames.annotated is not None else settings.annotated
        plain = (quality, annotated) == (settings.quality, settings.annotated)
        self._hub.show(self.mailbox, None if plain else Look(quality, annotated), frames.max_fps)

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
            self._services.answers.give(self.principal, command, self._say_later)

    def _say_later(self, message: bytes) -> None:
        self._say(message)
        self.mailbox.wake()

    def _say(self, message: bytes) -> None:
        self._hub.tell(self.mailbox, message)

    @property
    def _bounds(self) -> StreamBounds | None:
        return self._services.outbox.bounds if self._services.outbox is not None else None
