"""From a connection to a session: encryption, certificates, limits."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

from edge.config import Backend, Listener, Security
from edge.errors import ConfigError, EdgeError, SecurityError
from edge.security.keys import LoginKeys
from edge.security.peers import Peer as Owner
from edge.security.tls import TlsContexts
from edge.stream.address import show
from edge.stream.dialogue import Dialogue, Services
from edge.stream.door import Door, Full
from edge.stream.greeting import Peer
from edge.stream.mailbox import Form
from edge.stream.quiet import Quiet
from edge.stream.session import Session
from edge.stream.transport import Encrypted, Plain, Transport
from edge.wire.faults import Fault
from edge.wire.messages import Terms

logger = logging.getLogger(__name__)

WARN_EVERY_S = 86400.0


class Trust:
    """What the device proves itself by, and knows others by; without either there are plain listeners alone.

    Synchronization: as TlsContexts and LoginKeys.
    """

    def __init__(self, contexts: TlsContexts | None = None, keys: LoginKeys | None = None, device_id: str = "") -> None:
        self.contexts = contexts
        self.keys = keys
        self._device_id = device_id
        self._warned_at = float("-inf")

    @classmethod
    def open(cls, security: Security, listeners: Sequence[Listener], backends: Sequence[Backend]) -> Trust:
        """Read what these listeners and backends need; raises SecurityError."""
        encrypted = any(listener.tls for listener in listeners) or any(backend.tls for backend in backends)
        logins = any(listener.auth == "hmac" for listener in listeners)
        return cls(TlsContexts(security) if encrypted else None, LoginKeys(security.login_keys) if logins else None)

    def warn(self, device_id: str) -> None:
        """Log, once a day, what will not do for long."""
        if self.contexts is None or time.monotonic() - self._warned_at < WARN_EVERY_S:
            return
        self._warned_at = time.monotonic()
        for warning in self.contexts.warnings(device_id):
            logger.warning("security: %s", warning)

    @property
    def any(self) -> bool:
        """Whether there is anything to be read again."""
        return self.contexts is not None or self.keys is not None

    def check(self, doors: Iterable[Door], backends: Iterable[Backend]) -> None:
        """Raise SecurityError unless there is all that these need, ConfigError where two doors have one name."""
        names: set[str] = set()
        for door in doors:
            if door.terms.listener in names:  # a login could be passed on from one to the other
                raise ConfigError(f"listeners: two have the name {door.terms.listener}; give each one of its own")
            names.add(door.terms.listener)
            if door.listener.tls:
                self.server(door.terms)
            if door.terms.auth == "hmac" and self.keys is None:
                raise SecurityError(
                    f'security.login_keys: must be set; listener {door.terms.listener} has auth = "hmac"'
                )
        if any(backend.tls for backend in backends):
            self.client()

    def server(self, terms: Terms) -> ssl.SSLContext:
        """The context of a listener."""
        return self._contexts().server(terms.auth)

    def client(self) -> ssl.SSLContext:
        """The context for dialling out."""
        return self._contexts().client()

    def peer(self, certificate: dict[str, Any]) -> Owner:
        """Who has this certificate; raises SecurityError."""
        return self._contexts().peer(certificate)

    def reload(self) -> bool:
        """Take up changed files, and say whether there were any; one that is wrong is logged, and the old one stays."""
        changed = False
        for part in (self.contexts, self.keys):
            try:
                changed = (part is not None and part.reload()) or changed
            except EdgeError as error:
                logger.error("%s; going on with what was there before", error)
        if changed:
            logger.info("security: changed files were read again")
        return changed

    def _contexts(self) -> TlsContexts:
        if self.contexts is None:
            raise SecurityError("security.certificate: must be set; TLS needs it")
        return self.contexts


class Gate(Protocol):
    """Where a connection comes from: a listener's door, or a backend that was dialled."""

    terms: Terms
    form: Form
    tls: bool
    dialled: bool

    def enter(self, session: Session, host: str) -> None: ...


class Reception:
    """Makes a session of each connection.

    Synchronization: the stream thread alone.
    """

    def __init__(self, services: Services, trust: Trust, wake: Callable[[], None]) -> None:
        self._services = services
        self._trust = trust
        self._wake = wake
        self._log = Quiet(logger).log

    def receive(self, gate: Gate, connection: socket.socket, address: tuple[Any, ...], now: float) -> Session:
        """The session of a new connection; raises SecurityError where TLS cannot even begin."""
        transport = self._transport(gate, connection)
        introduce = partial(self._introduce, gate, str(address[0]))
        return Session(transport, show(address), self._services.hub, introduce, now)

    def _transport(self, gate: Gate, connection: socket.socket) -> Transport:
        if not gate.tls:
            return Plain(connection)
        context = self._trust.client() if gate.dialled else self._trust.server(gate.terms)
        return Encrypted(connection, context, server_side=not gate.dialled)

    def _introduce(self, gate: Gate, host: str, session: Session) -> Dialogue:
        """The connection is ready (TLS's handshake is done): see who it is and begin to talk."""
        name, role = "", None
        if gate.terms.auth == "mtls":
            who = self._trust.peer(session.transport.certificate())
            name, role = who.name, who.role
            if gate.dialled and role is None:
                raise SecurityError(f"the certificate of {name} gives no role: it is no backend's")
        open_to_all = gate.terms.auth == "none"
        if open_to_all:
            gate.enter(session, host)
        self._log(logging.INFO, "client %s connected%s", session.peer, f" as {name}" if name else "")
        return Dialogue(
            self._services,
            gate.terms,
            self._services.hub.join(gate.form, self._wake, "plain" if open_to_all else "pending"),
            Peer(session.peer, gate.tls, name, role),
            self._trust.keys,
            partial(_enter, gate, session, host),
            time.monotonic(),
        )


def _enter(gate: Gate, session: Session, host: str) -> None:
    """Let in one that has logged in; raises Fault."""
    try:
        gate.enter(session, host)
    except Full as error:
        raise Fault("too_many_clients", str(error)) from error
