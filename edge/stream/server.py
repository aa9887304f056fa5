"""The TCP server: one thread that owns every listening socket and every connection, dialled ones too."""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

from edge.config import Backend, Listener, Stream, Video
from edge.errors import EdgeError
from edge.stream.address import show
from edge.stream.answers import Answers, Handler
from edge.stream.arrivals import Arrivals
from edge.stream.binding import check_apart
from edge.stream.calls import Calls
from edge.stream.desk import Desk
from edge.stream.dialler import Dialler
from edge.stream.dialogue import Services
from edge.stream.door import Door
from edge.stream.hub import Hub
from edge.stream.publisher import Publisher
from edge.stream.quiet import Quiet
from edge.stream.reception import Reception, Trust
from edge.stream.replay import AlertLog
from edge.stream.session import Session
from edge.stream.waker import Waker
from edge.wire import replies
from edge.workers import Worker

logger = logging.getLogger(__name__)

CLOSE_S = 1.5  # at the end: for sending what waits and for the clients' own goodbye
CHECK_S = 1.0  # how often connections are looked at for progress
RELOAD_S = 10.0  # how often certificates and keys are looked at for a change
RELOGIN_MS = 100
RETRY_AFTER_MS = 1000  # told to clients when the device stops: systemd starts it again in about a second

Gate: TypeAlias = Door | Dialler


class StreamServer:
    """Serves what the hub is given to every client that connects, and to every backend that it connects to.

    ``start`` binds every listener and raises ConfigError or StreamError where that fails; ``addresses`` then lists
    the (host, port) pairs really bound. ``stop`` asks for the end: no new clients, what waits is sent, and the
    connections are closed politely, within CLOSE_S; ``close`` waits for that and frees everything. ``on_death`` is
    told when a thread died.

    ``publisher`` and ``outbox`` make alerts durable, ``trust`` lets clients log in, ``handlers`` are the commands by
    name, ``video`` gives the settings of pictures, ``health`` the components' states as a health message has them.

    Synchronization: any thread may call any method.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        stream: Stream,
        hub: Hub,
        *,
        backends: Sequence[Backend] = (),
        publisher: Publisher | None = None,
        outbox: AlertLog | None = None,
        trust: Trust | None = None,
        video: Callable[[], Video] = Video,
        handlers: Mapping[str, Handler] | None = None,
        health: Callable[[], Mapping[str, Any]] = dict,
        on_death: Callable[[Worker], None] | None = None,
    ) -> None:
        self.addresses: list[tuple[str, int]] = []
        self._listeners = listeners
        self._backends = backends
        self._settings = stream
        self._hub = hub
        self._publisher = publisher if publisher is not None else Publisher(hub)
        self._outbox = outbox
        self._trust = trust if trust is not None else Trust()
        self._waker = Waker()
        self._publisher.notify = self._waker.wake
        self._posted: SimpleQueue[Callable[[], None]] = SimpleQueue()  # as many as the desks' queues hold
        self._worker = Worker("stream", self._run, on_death=on_death)
        self._clerk = Desk("commands", self._post, on_death)
        self._reader = Desk("replay", self._post, on_death)
        # A resolver may take half a minute for each name, and a command may hang: a revocation waits for neither.
        self._usher = Desk("names", self._post, on_death)
        self._locksmith = Desk("keys", self._post, on_death)
        self._desks = (
            self._clerk,
            self._reader,
            *((self._usher,) if backends else ()),
            *((self._locksmith,) if self._trust.any else ()),
        )
        self.workers = (self._worker, *(worker for desk in self._desks for worker in desk.workers))
        # From here on the stream thread's own once it runs.
        self._log = Quiet(logger).log
        services = Services(
            hub=hub,
            video=video,
            outbox=outbox,
            health=health,
            answers=Answers(handlers or {}, self._clerk),
            reader=self._reader,
            log=self._log,
        )
        self._reception = Reception(services, self._trust, self._waker.wake)
        self._selector = selectors.DefaultSelector()
        self._watched: dict[Session, int] = {}  # the events that select looks for
        self._arrivals = Arrivals(self._selector, self._admit)
        self._calls = Calls([], self._usher, self._selector, self._admit)
        self._sessions: dict[Session, Gate] = {}
        self._reload_at = 0.0

    def start(self) -> None:
        """Listen, and serve from now on."""
        try:
            check_apart(self._listeners)
            doors = []
            for number, listener in enumerate(self._listeners, 1):
                doors.append(Door(listener, number, self._settings))
                self.addresses += self._arrivals.watch(doors[-1])
            self._trust.check(doors, self._backends)
            self._trust.warn(self._hub.identity.device_id)
            diallers = [Dialler(backend, self._settings.heartbeat_s, time.monotonic()) for backend in self._backends]
            for dialler in diallers:
                dialler.check()
        except BaseException:
            self.close()
            raise
        now = time.monotonic()
        self._reload_at = now + RELOAD_S
        bounds = self._outbox.bounds if self._outbox is not None else None
        if bounds is not None:
            self._hub.begin(bounds)
        self._calls = Calls(diallers, self._usher, self._selector, self._admit)
        self._selector.register(self._waker, selectors.EVENT_READ, self._on_wake)
        for part in (*self._desks, self._worker):
            part.start()

    def stop(self) -> None:
        """Ask for the end; returns at once."""
        self._worker.stop()
        self._waker.wake()

    def join(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds for the end; True when it has come."""
        return self._worker.join(timeout)

    def close(self) -> None:
        """End, and free every socket; harmless when done twice."""
        self.stop()
        self.join(CLOSE_S + 1.0)
        for desk in self._desks:
            desk.stop()
        for desk in self._desks:
            desk.join(1.0)
        self._free()
        self._selector.close()
        self._waker.close()

    def _post(self, work: Callable[[], None]) -> None:
        self._posted.put(work)
        self._waker.wake()

    def _run(self, stopping: threading.Event) -> None:
        try:
            checked_at = time.monotonic()
            while not stopping.is_set():
                due = self._publisher.check()
                self._turn(CHECK_S if due is None else min(due, CHECK_S))
                now = time.monotonic()
                if now - checked_at >= CHECK_S:
                    checked_at = now
                    self._check(now)
            self._say_goodbye()
        finally:
            self._free()

    def _turn(self, timeout: float) -> None:
        """Wait for something to happen and deal with it."""
        for key, events in self._selector.select(timeout):
            key.data(events)

    def _on_wake(self, _: int) -> None:
        self._waker.clear()
        with contextlib.suppress(Empty):
            while True:
                self._posted.get_nowait()()
        now = time.monotonic()
        for session in list(self._sessions):
            # One whose socket is full is pumped when select says so; one that must end is ended even so.
            if not session.transport.blocked or session.must_end:
                self._attend(session, partial(session.pump, now))

    def _on_session(self, session: Session, events: int) -> None:
        now = time.monotonic()
        if events & selectors.EVENT_READ:
            self._attend(session, partial(session.read, now))
        if events & selectors.EVENT_WRITE:
            self._attend(session, partial(session.pump, now))

    def _admit(self, gate: Gate, connection: socket.socket, address: tuple[Any, ...]) -> None:
        """Begin a session on a connection that stands."""
        now = time.monotonic()
        try:
            session = self._reception.receive(gate, connection, address, now)
        except EdgeError as error:
            connection.close()
            self._log(logging.ERROR, "client %s: %s", show(address), error)
            if isinstance(gate, Dialler):
                gate.failed(error, now)
            return
        self._sessions[session] = gate
        crowded_out = gate.await_login(session, str(address[0]))
        if crowded_out is not None:
            self._attend(crowded_out, crowded_out.crowd_out)
        self._attend(session, partial(session.pump, now))

    def _attend(self, session: Session, action: Callable[[], None]) -> None:
        """Let a session do something, then see whether it is over and what it waits for."""
        if session not in self._sessions:
            return
        action()
        if session.ended:
            self._dismiss(session)
        else:
            self._watch(session, session.events)

    def _watch(self, session: Session, events: int) -> None:
        before = self._watched.get(session, 0)
        sock = session.transport.socket
        if events == before:
            return
        self._watched[session] = events
        if not before:
            self._selector.register(sock, events, partial(self._on_session, session))
        elif events:
            self._selector.modify(sock, events, self._selector.get_key(sock).data)
        else:
            self._selector.unregister(sock)

    def _dismiss(self, session: Session) -> None:
        gate = self._sessions.pop(session)
        self._watch(session, 0)
        self._watched.pop(session, None)
        gate.leave(session, time.monotonic())
        session.close()
        if not gate.dialled:  # of the others the dialler tells, with what it does about it
            level = logging.WARNING if session.at_fault else logging.INFO
            self._log(level, "client %s left: %s%s", session.peer, session.ended, session.losses)

    def _check(self, now: float) -> None:
        for session in list(self._sessions):
            self._attend(session, partial(session.check, now))
        for session in self._arrivals.late(now) + self._calls.late(now, self._settings.login_s):
            self._attend(session, partial(session.expire, now))
        self._arrivals.check(now)
        self._calls.check(now)
        if self._trust.any and now >= self._reload_at and self._locksmith.ask(self._trust.reload, self._on_reload):
            self._reload_at = now + RELOAD_S
            self._trust.warn(self._hub.identity.device_id)

    def _on_reload(self, changed: bool | EdgeError) -> None:
        """Who logged in by what was believed before must do it again: it may be revoked."""
        if changed is not True:
            return
        goodbye = replies.goodbye("login", RELOGIN_MS)
        for session, gate in list(self._sessions.items()):
            if gate.terms.auth != "none":
                self._attend(session, partial(session.finish, time.monotonic(), goodbye))

    def _say_goodbye(self) -> None:
        deadline = time.monotonic() + CLOSE_S
        self._arrivals.close()
        self._calls.close()
        goodbye = replies.goodbye("shutdown", RETRY_AFTER_MS)
        for session in list(self._sessions):
            self._attend(session, partial(session.finish, time.monotonic(), goodbye))
        while self._sessions and (left := deadline - time.monotonic()) > 0:
            self._turn(left)

    def _free(self) -> None:
        """Close whatever is open; the thread does it at its end, ``close`` where it never ran."""
        for session in list(self._sessions):
            session.ended = session.ended or "the server ended"
            self._dismiss(session)
        self._arrivals.close()
        self._calls.close()
