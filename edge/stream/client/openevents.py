"""Which events go on, by the alerts that were given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edge.stream.client.messages import Alert, Gap, Reset
from edge.types import LEVELS

MAX_OPEN = 1024  # events that were never resolved; full: the one that began first is forgotten
MAX_OVER = 1024  # events that are over, of which an alert may still come; full: the oldest is forgotten


class OpenEvents(Mapping[str, Alert]):
    """The events of one device that go on: event_uid to the firing alert of the highest level, the oldest event first.

    Give ``take`` every event of the loop. After a gap and a reset nothing is known to go on, for what ended it may be
    among what is lost. It begins empty: a program that was restarted asks its own database, or begins with alerts of
    before. A device whose welcome has no ``events`` among its features ends none.

    Synchronization: one thread.
    """

    def __init__(self) -> None:
        self._open: dict[str, Alert] = {}
        self._over: dict[str, None] = {}

    def take(self, event: object) -> None:
        """Learn from it. An event that is over stays over, and no level is taken back, whatever comes late."""
        if isinstance(event, (Gap, Reset)):
            self._open.clear()
        elif isinstance(event, Alert) and event.event_uid:
            self._told(event.event_uid, event)

    def _told(self, uid: str, alert: Alert) -> None:
        if alert.state == "resolved":
            self._open.pop(uid, None)
            self._over[uid] = None
            if len(self._over) > MAX_OVER:
                del self._over[next(iter(self._over))]
        elif uid not in self._over and (uid not in self._open or _level(alert) > _level(self._open[uid])):
            self._open[uid] = alert
            if len(self._open) > MAX_OPEN:
                del self._open[next(iter(self._open))]

    def __getitem__(self, event_uid: str) -> Alert:
        return self._open[event_uid]

    def __iter__(self) -> Iterator[str]:
        return iter(self._open)

    def __len__(self) -> int:
        return len(self._open)


def _level(alert: Alert) -> int:
    """Of a later version's levels nothing is known."""
    level = alert.threat_level
    return LEVELS.index(level) if level in LEVELS else -1
