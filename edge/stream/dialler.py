"""Client mode: the device itself connects to a backend, and connects again whenever the connection is lost."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import random
import socket
from collections.abc import Sequence
from typing import Any, TypeAlias

from edge.config import Backend
from edge.errors import ConfigError, EdgeError, StreamError
from edge.stream.address import show
from edge.stream.mailbox import Form
from edge.stream.quiet import Quiet
from edge.stream.session import Session
from edge.stream.transport import prepare
from edge.wire.messages import Terms

logger = logging.getLogger(__name__)

CONNECT_S = 10.0
RETRY_MIN_S = 0.25
RETRY_MAX_S = 30.0
SETTLED_S = 10.0  # a plain connection that lasted so long was a good one
REMIND_S = 600.0  # what stays wrong is said again so often
MOST_REASONS = 16  # more are not remembered; the log may hear of one twice then

Address: TypeAlias = tuple[socket.AddressFamily, tuple[Any, ...]]


class Dialler:
    """One backend: where it is, when it is to be tried next. The server asks it and tells it what became of it.

    The waits have full jitter: each is drawn between RETRY_MIN_S and a bound that doubles up to RETRY_MAX_S, so that
    many devices do not come back at one moment.

    Synchronization: the stream thread alone; ``resolve`` belongs to another one.
    """

    def __init__(self, backend: Backend, heartbeat_s: float, now: float) -> None:
        self.backend = backend
        self.name = show((backend.host, backend.port))
        self.terms = Terms(f"backend-{backend.host}:{backend.port}", "mtls" if backend.tls else "none", heartbeat_s)
        self.form = Form(backend.framing, backend.byteorder, backend.video)
        self.tls = backend.tls
        self.dialled = True
        self.session: Session | None = None
        self.literal: list[Address] = []  # where ``host`` is an address: there is no name to be looked up
        self.busy = False  # being resolved, connected to, or talked to
        self.due = now
        self._failures = 0
        self._retired = False
        self._warned = False
        self._said: set[str] = set()  # what the log was told to be wrong
        self._silent_since = now
        self._log = Quiet(logger).log

    def check(self) -> None:
        """Before the start: raises ConfigError for an address that must not be dialled. A name is seen to later."""
        with contextlib.suppress(StreamError):
            self.literal = self.resolve(socket.AI_NUMERICHOST)

    def resolve(self, flags: int = 0) -> list[Address]:
        """Look the name up, which may take long; raises StreamError, or ConfigError for one that must not be."""
        try:
            found = socket.getaddrinfo(self.backend.host, self.backend.port, type=socket.SOCK_STREAM, flags=flags)
        except (socket.gaierror, UnicodeError) as error:
            raise StreamError(f"the name is not known ({error})") from error
        addresses: list[Address] = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
        if not self.backend.tls and not all(map(_is_loopback, addresses)):
            self._allow()
        return addresses

    def _allow(self) -> None:
        """See whether a backend on another machine may be dialled without TLS."""
        if not self.backend.allow_insecure:
            raise ConfigError(
                f"backend {self.name}: without TLS anybody could answer there; set tls = true, or allow_insecure = true"
            )
        if not self._warned:
            self._warned = True
            logger.warning("backend %s is dialled without TLS: whoever answers there sees the stream", self.name)

    def connect(self, addresses: Sequence[Address]) -> socket.socket:
        """Begin to connect to one of these, another one at each try; raises StreamError."""
        family, address = addresses[self._failures % len(addresses)]
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            prepare(sock)
            sock.connect(address)
        except BlockingIOError:
            pass
        except OSError as error:
            sock.close()
            raise StreamError(error.strerror or str(error)) from error
        return sock

    def failed(self, error: EdgeError | str, now: float, losses: str = "") -> None:
        """It did not work; it is due again after a wait. The log is told of each reason once, and now and then."""
        bound = min(RETRY_MAX_S, RETRY_MIN_S * 2 ** (self._failures + 1))
        self._failures = min(self._failures + 1, 16)
        wait = random.uniform(RETRY_MIN_S, bound)  # noqa: S311 (spreads load, guards no secret)
        self.busy, self.due = False, now + wait
        if now - self._silent_since >= REMIND_S or len(self._said) >= MOST_REASONS:
            self._said.clear()
        if not self._said:
            self._silent_since = now
        if str(error) not in self._said:
            self._said.add(str(error))
            self._log(logging.WARNING, "backend %s: %s%s; trying again, next in %.1f s", self.name, error, losses, wait)

    def await_login(self, session: Session, _: str) -> None:
        """A connection stands; what it has to prove is the session's concern."""
        self.session = session

    def enter(self, session: Session, host: str) -> None:
        """There is always a place for the one that was asked to come."""

    def leave(self, session: Session, now: float) -> None:
        """The connection is over: take it up again later."""
        self.session = None
        greeted = session.dialogue is not None and session.dialogue.greeted
        if greeted or (self.terms.auth == "none" and now - session.began_at > SETTLED_S):
            self._failures = 0
            self._said.clear()
        if self._retired:
            self._log(logging.INFO, "backend %s: %s%s", self.name, session.ended, session.losses)
        else:
            self.failed(session.ended, now, session.losses)

    def retire(self) -> None:
        """It is not tried again: the device itself ends."""
        self._retired = True


def connected(sock: socket.socket) -> None:
    """See what became of a ``connect``, once the socket can be written to; raises StreamError."""
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise StreamError(os.strerror(code))


def _is_loopback(address: Address) -> bool:
    return ipaddress.ip_address(str(address[1][0]).partition("%")[0]).is_loopback
