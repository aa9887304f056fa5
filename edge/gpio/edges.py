"""The thread that waits for a line's edges."""

from __future__ import annotations

import logging
import select
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from edge.workers import Worker

END_S = 1.0  # the thread wakes at once when asked to end; only a listener that hangs takes longer

logger = logging.getLogger(__name__)


T = TypeVar("T")


class EdgeWatch(Generic[T]):
    """A thread that gives ``tell`` each event that ``read`` finds whenever ``fd`` can be read, until close.

    What ``tell`` raises is logged, and the next event told all the same; what ``read`` raises ends the thread.

    Synchronization: close may be called from any thread, from ``tell`` too. It waits for a ``tell`` that runs, at most
    END_S seconds, except from ``tell`` itself; no event is told after it.
    """

    def __init__(self, name: str, fd: int, read: Callable[[], Iterable[T]], tell: Callable[[T], None]) -> None:
        self._fd = fd
        self._read = read
        self._tell = tell
        self._wake, self._woken = socket.socketpair()
        self._ident: int | None = None
        self._worker = Worker(name, self._run)
        self._worker.start()

    def close(self) -> None:
        self._worker.stop()
        self._wake.close()
        if threading.get_ident() != self._ident:
            self._worker.join(END_S)

    def _run(self, stopping: threading.Event) -> None:
        self._ident = threading.get_ident()
        poll = select.poll()
        with self._woken:
            poll.register(self._fd, select.POLLIN)
            poll.register(self._woken, select.POLLIN)
            while not stopping.is_set():
                poll.poll()
                for event in () if stopping.is_set() else self._read():
                    if not stopping.is_set():
                        self._call(event)

    def _call(self, event: T) -> None:
        try:
            self._tell(event)
        except Exception:
            logger.exception("%s: its listener failed, and hears of the next edge all the same", self._worker.name)
