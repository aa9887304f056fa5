"""The queue in: alerts that are not on disk yet."""

from __future__ import annotations

from collections import deque

from edge.types import Alert

MAX_WAITING = 1024  # about 1 MB; beyond it the oldest is given up and counted: the newest tell most
BATCH = 256  # one transaction


class Waiting:
    """Alerts in their order, at most MAX_WAITING with the batch that is being stored.

    Synchronization: none; its owner's lock guards it.
    """

    def __init__(self) -> None:
        self.given_up = 0
        self._alerts: deque[Alert] = deque()
        self._batch: list[Alert] = []

    def __len__(self) -> int:
        return len(self._alerts) + len(self._batch)

    def put(self, alert: Alert) -> None:
        if len(self) >= MAX_WAITING:
            self._alerts.popleft()
            self.given_up += 1
        self._alerts.append(alert)

    def take(self) -> list[Alert]:
        """The next batch, empty when nothing waits; it counts as waiting until ``done`` or ``put_back``."""
        self._batch = [self._alerts.popleft() for _ in range(min(BATCH, len(self._alerts)))]
        return self._batch

    def done(self) -> None:
        """The batch is stored."""
        self._batch = []

    def put_back(self) -> None:
        """The batch is not stored and stands first again."""
        self._alerts.extendleft(reversed(self._batch))
        self._batch = []

    def remove(self, keys: set[tuple[str, str, str]]) -> None:
        """Forget those of these keys: they turned out to be stored."""
        self._alerts = deque(alert for alert in self._alerts if alert.key not in keys)
