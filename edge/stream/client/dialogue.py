"""The client's side of a conversation: welcome, login, hello, heartbeats. It does no I/O; time comes as an argument."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from edge.errors import ProtocolError, StreamError
from edge.stream.client.login import Login
from edge.stream.client.messages import (
    ErrorMessage,
    FromDevice,
    Goodbye,
    HelloOk,
    Welcome,
    decode,
)
from edge.stream.client.refusals import NoWelcome, Refused, Untrusted
from edge.wire.framing import Message
from edge.wire.login import NONCE_BYTES, Challenge, is_proof, prove
from edge.wire.requests import DEFAULT_TOPICS, PROTOCOL_VERSION, Auth, Frames, Hello, Ping, Pong, Request, Resume

ANSWER_S = 10.0  # a device that is there says welcome and answers hello at once; a refused login takes 1 s
IDLE_S = 25.0  # a plain stream says something every 5 s; one that is quiet for so long is dead
DEAD_BEATS = 2.5  # a session that is quiet for so many heartbeats is dead
HelloMode: TypeAlias = Literal["required", "offered", "never"]
Resumption: TypeAlias = Resume | Literal["last_ack"] | None


@dataclass(frozen=True, slots=True)
class Wish:
    """What a connection is to be; ``resume`` tells, once the welcome is there, where the alerts shall begin."""

    client: str
    login: Login | None = None
    heartbeat_s: float = 10.0
    idle_s: float = IDLE_S
    hello: HelloMode = "required"
    topics: tuple[str, ...] = DEFAULT_TOPICS
    consumer: str | None = None
    frames: Frames = field(default_factory=Frames)
    resume: Callable[[Welcome], Resumption] = lambda _: None


class Dialogue:
    """One connection's conversation.

    ``hear`` takes each message and returns what is for the application, ``outgoing`` collects what is to be said.
    ``plain`` is set once it is known that no hello will be said, ``session`` is the device's answer to the hello and
    ``goodbye`` its farewell. ``due`` is when ``check`` must be called at the latest.

    Synchronization: one thread.
    """

    def __init__(self, wish: Wish, now: float, *, encrypted: bool) -> None:
        self.outgoing: list[Request] = []
        self.plain = False
        self.session: HelloOk | None = None
        self.goodbye: Goodbye | None = None
        self._wish = wish
        self._prefix = "tls" if encrypted else "tcp"
        self._welcome: Welcome | None = None
        self._challenge: Challenge | None = None
        self._heard_at = now
        self._pinged_at = now

    @property
    def greeted(self) -> bool:
        """Whether the welcome has come."""
        return self._welcome is not None

    @property
    def due(self) -> float:
        if self.session is None:
            return self._heard_at + self._patience
        return min(max(self._heard_at, self._pinged_at) + self.session.heartbeat_s, self._heard_at + self._patience)

    def hear(self, message: Message, now: float) -> FromDevice | Message | None:
        """Raises Refused, Untrusted or ProtocolError where the connection must end."""
        if self._welcome is None or self.plain or self.session is not None:
            self._heard_at = now  # while hello waits for its answer, the plain stream is none
        if self._welcome is None:
            return self._greeted(message)
        if self.plain:
            return _lenient(message)
        return self._told(message) if self.session is not None else self._answered(message, now)

    def check(self, now: float, *, deaf: bool = False) -> None:
        """Ping where it is quiet; StreamError when it was for too long.

        One that is ``deaf``, because it does not read for now, hears no ping: it says by its own that it is there.
        """
        if deaf:
            self._heard_at = now
        elif now - self._heard_at >= self._patience:
            raise self._given_up()
        quiet_since = self._pinged_at if deaf else max(self._heard_at, self._pinged_at)
        if self.session is not None and now >= quiet_since + self.session.heartbeat_s:
            self._pinged_at = now
            self.outgoing.append(Ping(t=round(now, 3)))

    def _given_up(self) -> StreamError:
        if self._welcome is None:
            return NoWelcome(f"connected, and no welcome came within {self._patience:g} s")
        waiting = not self.plain and self.session is None
        return StreamError("no answer to hello" if waiting else f"nothing came for {self._patience:g} s")

    @property
    def _patience(self) -> float:
        if self.session is not None:
            return DEAD_BEATS * self.session.heartbeat_s
        return self._wish.idle_s if self.plain else min(ANSWER_S, self._wish.idle_s)

    def _greeted(self, message: Message) -> Welcome:
        typed = decode(message)
        _refuse(typed)
        if not isinstance(typed, Welcome):
            raise ProtocolError(f"the device began with a {message.type!r}, not with a welcome")
        self._welcome = typed
        terms, mode = typed.protocol, self._wish.hello
        if mode == "never" or (mode == "offered" and not terms.features and self._wish.login is None):
            self.plain = True
        elif not terms.features:
            raise ProtocolError("the device only talks: it is too old for hello; follow it as a plain client")
        elif terms.version != PROTOCOL_VERSION:
            raise ProtocolError(f"the device speaks protocol {terms.version}, this client {PROTOCOL_VERSION}")
        else:
            self.outgoing.append(self._hello(typed))
        return typed

    def _hello(self, welcome: Welcome) -> Hello:
        wish = self._wish
        return Hello(
            protocol=PROTOCOL_VERSION,
            client=wish.client,
            consumer=wish.consumer,
            subscribe=wish.topics,
            frames=wish.frames,
            resume=wish.resume(welcome),
            auth=self._log_in(welcome),
            heartbeat_s=wish.heartbeat_s,
        )

    def _log_in(self, welcome: Welcome) -> Auth | None:
        login, terms = self._wish.login, welcome.protocol
        if login is None:
            if terms.auth == "hmac":
                raise Untrusted("login_wanted", "the device wants a login", "give the key that it knows this client by")
            return None
        if terms.auth != "hmac":
            what = "a login was given, and what answers asks for none: it could not prove that it is the device"
            raise Untrusted("login_unasked", what)
        if self._prefix == "tcp" and not login.allow_plain:
            what = "no login without TLS: it would protect nothing that follows"
            raise Untrusted("login_plain", what, "use TLS, or allow it")
        if not re.fullmatch("[0-9a-f]{64}", terms.nonce):
            raise ProtocolError("the welcome of a device with logins has no nonce")
        self._challenge = Challenge(
            key_id=login.key_id,
            device_id=welcome.device_id,
            listener=f"{self._prefix}:{terms.listener}",
            server_nonce=terms.nonce,
            client_nonce=secrets.token_hex(NONCE_BYTES),
        )
        mac = prove(login.secret, "client", self._challenge)
        return Auth(key_id=login.key_id, nonce=self._challenge.client_nonce, mac=mac)

    def _answered(self, message: Message, now: float) -> HelloOk | None:
        """What comes before hello_ok belongs to no session: a resume brings the alerts again."""
        if message.type not in ("hello_ok", "error"):
            return None
        typed = decode(message)
        _refuse(typed)
        if not isinstance(typed, HelloOk):
            return None
        login = self._wish.login
        asked = self._challenge
        if login is not None and asked is not None and not is_proof(typed.proof, login.secret, "server", asked):
            raise Untrusted("proof", "what answered does not know the login key: it is not the device")
        if not typed.heartbeat_s > 0:
            raise ProtocolError(f"hello_ok has the heartbeat_s {typed.heartbeat_s:g}")
        self.session = typed
        self._heard_at = self._pinged_at = now
        return typed

    def _told(self, message: Message) -> FromDevice | Message | None:
        if message.type == "pong":
            return None
        if message.type == "ping":
            self._pong(message.get("t"))
            return None
        typed = _lenient(message)
        _refuse(typed)
        if isinstance(typed, Goodbye):
            self.goodbye = typed
        return typed

    def _pong(self, t: object) -> None:
        if isinstance(t, (int, float)):
            self.outgoing.append(Pong(t=t))


def _refuse(typed: FromDevice | Message) -> None:
    if isinstance(typed, ErrorMessage) and typed.fatal:
        raise Refused(typed.code, typed.message)


def _lenient(message: Message) -> FromDevice | Message:
    """One message with wrong fields is the application's to judge; it does not end the stream."""
    try:
        return decode(message)
    except ProtocolError:
        return message
