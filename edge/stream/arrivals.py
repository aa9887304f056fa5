"""Taking in the connections that arrive at the listeners' doors."""

from __future__ import annotations

import contextlib
import errno
import logging
import selectors
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from edge.stream.address import show
from edge.stream.door import Door
from edge.stream.session import Session
from edge.stream.transport import prepare

logger = logging.getLogger(__name__)

PAUSE_S = 1.0  # a listener rests so long when the process is out of descriptors
ACCEPTS_AT_ONCE = 16  # then the clients that are there get their turn
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Arrivals:
    """Watches the doors, and hands each connection to ``admit``.

    Synchronization: the stream thread alone.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        admit: Callable[[Door, socket.socket, tuple[Any, ...]], None],
    ) -> None:
        self._selector = selector
        self._admit = admit
        self._doors: list[Door] = []
        self._resting: list[tuple[float, Door, socket.socket]] = []

    def watch(self, door: Door) -> list[tuple[str, int]]:
        """Take in who comes to this door; the addresses that it is open at. It is closed with the rest."""
        self._doors.append(door)
        addresses = []
        for sock in door.sockets:
            self._selector.register(sock, selectors.EVENT_READ, partial(self._on_arrival, door, sock))
            host, port = sock.getsockname()[:2]
            addresses.append((host, port))
            logger.info("listening on %s, %s", show((host, port)), door)
        return addresses

    def check(self, now: float) -> None:
        """Wake the sockets that have rested enough."""
        for entry in [entry for entry in self._resting if entry[0] <= now]:
            self._resting.remove(entry)
            _, door, sock = entry
            self._selector.register(sock, selectors.EVENT_READ, partial(self._on_arrival, door, sock))

    def late(self, now: float) -> list[Session]:
        """Those that had their time to log in."""
        return [session for door in self._doors for session in door.late(now)]

    def close(self) -> None:
        """Take in nobody any more; harmless when done twice."""
        doors, self._doors = self._doors, []
        for door in doors:
            for sock in door.sockets:
                with contextlib.suppress(KeyError):
                    self._selector.unregister(sock)
            door.close()

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
            prepare(connection)
            self._admit(door, connection, address)

    def _rest(self, door: Door, sock: socket.socket, error: OSError) -> None:
        """Take no arrivals for a while: the socket would stay readable and keep this thread busy with nothing."""
        logger.error("cannot take new clients for now: %s", error.strerror)
        self._selector.unregister(sock)
        self._resting.append((time.monotonic() + PAUSE_S, door, sock))
