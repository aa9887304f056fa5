"""Between pipeline, outbox and hub: an alert is on disk before it is on the wire, unless the disk is slow."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from edge.stream.hub import Hub
from edge.types import Alert, Result, StoredAlert
from edge.wire.messages import Copy

logger = logging.getLogger(__name__)

MAX_WAITING = 64  # results behind an alert that is being stored; full: the oldest without an alert is left out


class AlertStore(Protocol):
    """What the publisher needs of the outbox."""

    @property
    def healthy(self) -> bool:
        """Whether a commit can be expected soon."""

    def append(self, alert: Alert) -> None:
        """Store it, and tell of it when it is stored; never blocks."""


class _Waiting:
    """A result whose alerts are being stored, or one that came after such a one."""

    def __init__(self, result: Result, due: float) -> None:
        self.result = result.without_pixels()
        self.due = due
        self.stored: dict[tuple[str, str, str], StoredAlert | None] = {}
        self.missing = {alert.key for alert in result.alerts}


class Publisher:
    """A sink of the pipeline. Results go to the hub at once, those with alerts when the alerts are on disk.

    Results keep their order: what comes after one that waits for the disk waits behind it. After ``slow_s`` seconds,
    or at once where the store is known to fail, alerts are sent unstored; when they are stored after all, sessions
    get a second copy with its number. ``notify`` is called, by the publishing thread, when something began to wait.

    Synchronization: any thread may call any method.
    """

    def __init__(
        self,
        hub: Hub,
        store: AlertStore | None = None,
        slow_s: float = 0.25,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.notify: Callable[[], None] = lambda: None
        self._hub = hub
        self._store = store
        self._slow_s = slow_s
        self._clock = clock
        # Guards everything below, and the order in which the hub is given results.
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting] = deque()

    def publish_result(self, result: Result) -> None:
        """Send it, or let it wait for its alerts; never blocks."""
        store = self._store
        with self._lock:
            if not result.alerts and not self._waiting:
                self._hub.publish_result(result)
                return
            entry = _Waiting(result, self._clock() + self._slow_s)
            if store is None or not store.healthy:
                entry.due = self._clock()
            self._waiting.append(entry)
            self._bound()
        if store is not None:
            for alert in result.alerts:
                store.append(alert)
        self.check()
        self.notify()

    def on_stored(self, batch: Sequence[StoredAlert]) -> None:
        """The outbox tells what it has on disk now, in the order of the numbers."""
        with self._lock:
            for stored in batch:
                self._take(stored)
            self._flush(self._clock())

    def check(self) -> float | None:
        """Send what has waited too long; seconds until the next is due, None when nothing waits."""
        with self._lock:
            now = self._clock()
            self._flush(now)
            return max(0.0, self._waiting[0].due - now) if self._waiting else None

    def _take(self, stored: StoredAlert) -> None:
        key = stored.alert.key
        for entry in self._waiting:
            if key in entry.missing:
                entry.missing.remove(key)
                entry.stored[key] = stored
                return
        # It was sent unstored. Numbers go out in order: what is stored and waits in the queue comes first.
        self._flush(self._clock())
        self._hub.publish_stored(stored, max(0.0, time.time() - stored.alert.timestamp))

    def _flush(self, now: float) -> None:
        while self._waiting and (not self._waiting[0].missing or self._waiting[0].due <= now):
            entry = self._waiting.popleft()
            self._hub.publish_result(entry.result, [_copy(alert, entry) for alert in entry.result.alerts])

    def _bound(self) -> None:
        if len(self._waiting) > MAX_WAITING:
            idle = next((entry for entry in self._waiting if not entry.result.alerts), None)
            if idle is not None:
                self._waiting.remove(idle)
            else:
                self._waiting[0].due = self._clock()


def _copy(alert: Alert, entry: _Waiting) -> Copy:
    stored = entry.stored.get(alert.key)
    age_s = max(0.0, time.time() - alert.timestamp)
    return Copy(stored.alert, stored, age_s=age_s) if stored else Copy(alert, age_s=age_s)
