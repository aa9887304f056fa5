"""Threads, and the one-place slot that hands the newest frame from one to the next."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from edge.errors import EdgeError

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Worker:
    """A named thread that runs ``run(stopping)`` once.

    ``run`` must return soon after ``stopping`` is set. If it raises, the exception is logged, kept in ``error`` and
    told to ``on_death``: a program with a dead worker must not go on as if it could see.

    Synchronization: start, stop and join may be called from any thread.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[threading.Event], None],
        *,
        on_death: Callable[[Worker], None] | None = None,
    ) -> None:
        self.name = name
        self.error: BaseException | None = None
        self.stopping = threading.Event()
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
