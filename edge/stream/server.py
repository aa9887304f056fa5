"""The TCP server: one thread that owns every listening socket and every client's connection."""

from __future__ import annotations

import contextlib
import errno
import logging
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from edge.config import Listener, Stream
from edge.stream.address import show
from edge.stream.binding import open_listener
from edge.stream.hub import Hub
from edge.stream.mailbox import Form
from edge.stream.quiet import Quiet
from edge.stream.session import Session, prepare
from edge.stream.waker import Waker
from edge.wire import framing, messages
from edge.workers import Worker

logger = logging.getLogger(__name__)

CLOSE_S = 1.5  # at the end: for sending what waits and for the clients' own goodbye
CHECK_S = 1.0  # how often connections are looked at for progress
PAUSE_S = 1.0  # a listener rests so long when the process is out of descriptors
ACCEPTS_AT_ONCE = 16  # then the clients that are there get their turn
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Door:
    """A listener's open sockets, and how many clients from each address came in by them."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.sockets = open_listener(listener)
        self.inside: Counter[str] = Counter()
        self.form = Form(listener.framing, listener.byteorder, listener.video)

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


class StreamServer:
    """Serves what the hub is given to every client that connects.

    ``start`` binds every listener and raises ConfigError or StreamError where that fails; ``addresses`` then lists
    the (host, port) pairs really bound. ``stop`` asks for the end: no new clients, what waits is sent, and the
    connections are closed politely, within CLOSE_S; ``close`` waits for that and frees everything. ``on_death`` is
    told when the thread died.

    Synchronization: any thread may call any method.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        stream: Stream,
        hub: Hub,
        *,
        on_death: Callable[[Worker], None] | None = None,
    ) -> None:
        self.addresses: list[tuple[str, int]] = []
        self._listeners = listeners
        self._settings = stream
        self._hub = hub
        self._waker = Waker()
        self._worker = Worker("stream", self._run, on_death=on_death)
        # From here on the stream thread's own once it runs.
        self._selector = selectors.DefaultSelector()
        self._doors: list[Door] = []
        self._sessions: dict[Session, tuple[Door, str]] = {}
        self._resting: list[tuple[float, Door, socket.socket]] = []
        self._log = Quiet(logger).log

    def start(self) -> None:
        """Listen, and serve from now on."""
        try:
            for listener in self._listeners:
                self._open(listener)
        except BaseException:
            self.close()
            raise
        self._selector.register(self._waker, selectors.EVENT_READ, self._on_wake)
        self._worker.start()

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
        self._free()
        self._selector.close()
        self._waker.close()

    def _open(self, listener: Listener) -> None:
        door = Door(listener)
        self._doors.append(door)
        for sock in door.sockets:
            self._selector.register(sock, selectors.EVENT_READ, partial(self._on_arrival, door, sock))
            host, port = sock.getsockname()[:2]
            self.addresses.append((host, port))
            video = ", with video" if listener.video else ""
            logger.info("listening on %s, %s framing%s", show((host, port)), listener.framing, video)

    def _run(self, stopping: threading.Event) -> None:
        try:
            checked_at = time.monotonic()
            while not stopping.is_set():
                self._turn(CHECK_S)
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
        now = time.monotonic()
        for session in list(self._sessions):
            # One whose socket is full is pumped when select says so; one with an overflow must end even so.
            if not session.blocked or session.mailbox.overflow:
                self._attend(session, partial(session.pump, now))

    def _on_session(self, session: Session, events: int) -> None:
        now = time.monotonic()
        if events & selectors.EVENT_READ:
            self._attend(session, partial(session.read, now))
        if events & selectors.EVENT_WRITE:
            self._attend(session, partial(session.pump, now))

    def _on_arrival(self, door: Door, sock: socket.socket, _: int) -> None:
        for _attempt in range(ACCEPTS_AT_ONCE):
            try:
                connection, address = sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                # A client that left in the queue (ECONNABORTED) is nothing; without descriptors we must not spin.
                if error.errno in EXHAUSTED:
                    self._rest(door, sock, error)
                return
            self._admit(door, connection, address[0], show(address))

    def _admit(self, door: Door, connection: socket.socket, host: str, peer: str) -> None:
        full = door.inside.total() >= self._settings.max_clients
        if full or door.inside[host] >= self._settings.max_clients_per_address:
            connection.close()
            limit = "max_clients" if full else "max_clients_per_address"
            self._log(logging.WARNING, "client %s refused: stream.%s is reached", peer, limit)
            return
        prepare(connection)
        mailbox = self._hub.join(door.form, self._waker.wake)
        welcome = framing.encode(
            messages.welcome(self._hub.identity, time.time(), self._settings.heartbeat_s),
            door.listener.framing,
            door.listener.byteorder,
        )
        now = time.monotonic()
        session = Session(connection, peer, self._hub, mailbox, welcome, now)
        self._sessions[session] = door, host
        door.inside[host] += 1
        self._selector.register(connection, selectors.EVENT_READ, partial(self._on_session, session))
        self._log(logging.INFO, "client %s connected, %d now", peer, len(self._sessions))
        self._attend(session, partial(session.pump, now))

    def _attend(self, session: Session, action: Callable[[], None]) -> None:
        """Let a session do something, then see whether it is over and what it waits for."""
        if session not in self._sessions:
            return
        blocked = session.blocked
        action()
        if session.ended:
            self._dismiss(session)
        elif session.blocked != blocked:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if session.blocked else 0)
            self._selector.modify(session.socket, events, self._selector.get_key(session.socket).data)

    def _dismiss(self, session: Session) -> None:
        door, host = self._sessions.pop(session)
        door.inside[host] -= 1
        if not door.inside[host]:
            del door.inside[host]
        self._selector.unregister(session.socket)
        self._hub.leave(session.mailbox)
        session.close()
        self._log(
            logging.WARNING if session.at_fault else logging.INFO,
            "client %s left: %s (%d results and %d pictures dropped)",
            session.peer,
            session.ended,
            session.mailbox.results_dropped,
            session.mailbox.videos_dropped,
        )

    def _check(self, now: float) -> None:
        for session in list(self._sessions):
            self._attend(session, partial(session.check, now))
        for entry in [entry for entry in self._resting if entry[0] <= now]:
            self._resting.remove(entry)
            _, door, sock = entry
            self._selector.register(sock, selectors.EVENT_READ, partial(self._on_arrival, door, sock))

    def _rest(self, door: Door, sock: socket.socket, error: OSError) -> None:
        """Take no arrivals for a while: the socket would stay readable and keep this thread busy with nothing."""
        logger.error("cannot take new clients for now: %s", error.strerror)
        self._selector.unregister(sock)
        self._resting.append((time.monotonic() + PAUSE_S, door, sock))

    def _say_goodbye(self) -> None:
        deadline = time.monotonic() + CLOSE_S
        for door in self._doors:
            for sock in door.sockets:
                with contextlib.suppress(KeyError):
                    self._selector.unregister(sock)
            door.close()
        for session in list(self._sessions):
            self._hub.leave(session.mailbox)  # what is published from here on is not waited for
            self._attend(session, partial(session.finish, time.monotonic()))
        while self._sessions and (left := deadline - time.monotonic()) > 0:
            self._turn(left)

    def _free(self) -> None:
        """Close whatever is open; the thread does it at its end, ``close`` where it never ran."""
        for session in list(self._sessions):
            session.ended = session.ended or "the server ended"
            self._dismiss(session)
        for door in self._doors:
            door.close()
