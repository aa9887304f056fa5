"""Threads, and the one-place slot that hands the newest frame from one to the next."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from edge.errors import EdgeError

T = TypeVar("T")
PASS_S = 5.0  # a thread that waits without end wakes so often, and is seen to pass its loop
LIMIT_S = 30.0  # a turn that waits for nothing outside takes milliseconds, on a board that swaps seconds
DISK_LIMIT_S = 600.0  # see Worker
logger = logging.getLogger(__name__)


class Stopping(threading.Event):
    """Set when a thread is to end. Its loop asks in each turn, and that is counted in ``passes``: as long as they
    rise, the thread does not hang.

    Synchronization: as threading.Event; only the thread itself asks.
    """

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def is_set(self) -> bool:
        self.passes += 1
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        self.passes += 1
        return super().wait(timeout)


def wait_for(changed: threading.Condition, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
    """As ``changed.wait_for``, but ``predicate``, which is to ask the thread's Stopping, is called every PASS_S."""
    until = math.inf if timeout is None else time.monotonic() + timeout
    while (left := until - time.monotonic()) > PASS_S:
        if changed.wait_for(predicate, PASS_S):
            return True
    return changed.wait_for(predicate, max(0.0, left))


class Worker:
    """A named thread that runs ``run(stopping)`` once.

    ``run`` must return soon after ``stopping`` is set. If it raises, the exception is logged, kept in ``error`` and
    told to ``on_death``: a program with a dead worker must not go on as if it could see.

    ``limit_s`` is how long one turn of its loop may take; after that it hangs, and the program is restarted
    (edge.watchdog). That costs what is in memory, so the limit is well beyond the longest honest turn. One that waits
    for a disk has DISK_LIMIT_S: a dying card answers after minutes, and a restart makes it no better. What waits for it
    in memory would be lost; and a thread in the kernel's hands cannot be killed, so the old program would keep its
    ports and pins from the new one.

    Synchronization: start, stop and join may be called from any thread.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[threading.Event], None],
        *,
        limit_s: float = LIMIT_S,
        on_death: Callable[[Worker], None] | None = None,
    ) -> None:
        self.name = name
        self.limit_s = limit_s
        self.error: BaseException | None = None
        self.stopping = Stopping()
        self.workers = (self,)  # a part of the program with one thread
        self._run = run
        self._on_death = on_death
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; returns at once."""
        self.stopping.set()

    def join(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds; True when the thread has ended (or was never started)."""
        if self._thread.ident is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def passes(self) -> int:
        """How often its loop came round; a number that stands still is a thread that hangs, or waits."""
        return self.stopping.passes

    def _main(self) -> None:
        try:
            self._run(self.stopping)
        except EdgeError as error:
            logger.error("the %s thread died: %s", self.name, error)
            self._die(error)
        except Exception as error:
            logger.exception("the %s thread died", self.name)
            self._die(error)

    def _die(self, error: Exception) -> None:
        self.error = error
        if self._on_death is not None:
            self._on_death(self)


class Latest(Generic[T]):
    """A slot for one item. ``put`` replaces what nobody took and counts it; ``hand`` waits until it is taken.

    Synchronization: any number of threads may call any method.
    """

    def __init__(self) -> None:
        # Guards _item, _full, _closed and dropped.
        self._changed = threading.Condition()
        self._item: T | None = None
        self._full = False
        self._closed = False
        self.dropped = 0

    def put(self, item: T) -> None:
        """Leave ``item``; an older one still lying there is dropped and counted."""
        with self._changed:
            if self._full:
                self.dropped += 1
            self._set(item)

    def hand(self, item: T, timeout: float | None = None) -> bool:
        """Wait until the slot is free, then leave ``item``; False when time ran out or the slot was closed."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._full or self._closed, timeout) or self._closed:
                return False
            self._set(item)
            return True

    def take(self, timeout: float | None = None) -> T | None:
        """Wait for an item and take it; None when ``timeout`` seconds passed or the slot is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._full or self._closed, timeout)
            if not self._full:
                return None
            item, self._item, self._full = self._item, None, False
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Wake every waiter; what lies in the slot may still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        with self._changed:
            return self._closed and not self._full

    def _set(self, item: T) -> None:
        self._item, self._full = item, True
        self._changed.notify_all()
