"""When a schedule holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo

from edge.config import Schedule, time_zone_of
from edge.config.times import DAY, Window, windows


class Schedules:
    """The schedules of the settings, by name. Raises ValueError for times or a zone that cannot be read.

    Times are those of a clock on the wall: at the end of summer time an hour counts twice, at its beginning the hour
    that does not exist is left out.

    Synchronization: none needed; it never changes.
    """

    def __init__(self, schedules: Sequence[Schedule], time_zone: str = "") -> None:
        self._zone = time_zone_of(time_zone)
        self._windows: Mapping[str, tuple[Window, ...]] = {
            schedule.name: tuple(window for entry in schedule.times for window in windows(entry))
            for schedule in schedules
        }

    def holds(self, name: str, now: float | None) -> bool:
        """Whether the schedule ``name`` is among those that hold at ``now``; an empty name always is."""
        return not name or name in self.holding(now)

    def holding(self, now: float | None) -> frozenset[str]:
        """The schedules that hold at ``now``, Unix seconds.

        Where the time is not known (None) all do: a rule that should be silent by day is better heard than one that
        should watch by night is missed.
        """
        wall = _wall(now, self._zone) if self._windows and now is not None else None
        if wall is None:
            return frozenset(self._windows)
        minute = wall.weekday() * DAY + wall.hour * 60 + wall.minute
        return frozenset(
            name
            for name, times in self._windows.items()
            if any(start <= at < end for start, end in times for at in (minute, minute + 7 * DAY))
        )


def _wall(now: float, zone: tzinfo | None) -> datetime | None:
    """What a clock on the wall shows; None where no calendar has the time."""
    try:
        return datetime.fromtimestamp(now, zone)
    except (OverflowError, OSError, ValueError):
        return None
