"""When a schedule holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo

from edge.config import Schedule
from edge.errors import ConfigError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = 24 * 60  # minutes
_ENTRY = re.compile(r"(?:([a-z][a-z,\- ]*[a-z]) +)?(\d\d?):(\d\d) *- *(\d\d?):(\d\d)\Z")

Window = tuple[int, int]  # minutes from Monday 00:00; the end is not in it and may lie in the next week


class Schedules:
    """The schedules of the settings, by name. Raises ConfigError for times or a zone that cannot be read.

    Times are those of a clock on the wall: at the end of summer time an hour counts twice, at its beginning the hour
    that does not exist is left out.

    Synchronization: none needed; it never changes.
    """

    def __init__(self, schedules: Sequence[Schedule], time_zone: str) -> None:
        self._zone = _zone(time_zone)
        self._windows: Mapping[str, tuple[Window, ...]] = {
            schedule.name: tuple(window for entry in schedule.times for window in _windows(schedule.name, entry))
            for schedule in schedules
        }

    def holds(self, name: str, now: float | None) -> bool:
        """Whether the schedule ``name`` holds at ``now``, Unix seconds; an empty name always does.

        Where the time is not known (None) it holds: a rule that should be silent by day is better heard than one that
        should watch by night is missed.
        """
        if not name or now is None:
            return True
        wall = datetime.fromtimestamp(now, self._zone) if self._zone else datetime.fromtimestamp(now).astimezone()
        minute = wall.weekday() * DAY + wall.hour * 60 + wall.minute
        return any(start <= at < end for start, end in self._windows[name] for at in (minute, minute + 7 * DAY))


def _zone(name: str) -> tzinfo | None:
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (OSError, ValueError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ConfigError(_no_zone(name)) from error
    except KeyError as error:
        raise ConfigError(_no_zone(name)) from error


def _no_zone(name: str) -> str:
    return f"alerts.time_zone: there is no time zone {name}; give one such as Europe/Berlin, or leave it empty"


def _windows(schedule: str, entry: str) -> Iterator[Window]:
    """What an entry of a schedule's times means, a window for each of its days."""
    found = _ENTRY.match(entry.strip().lower())
    wrong = ConfigError(
        f"alerts.schedules: {schedule}: {entry!a} is no time of the week; write mon-fri 20:00-07:00, or 22:00-06:00"
    )
    if found is None:
        raise wrong
    days, *numbers = found.groups()
    hour, minute, end_hour, end_minute = map(int, numbers)
    start, end = hour * 60 + minute, end_hour * 60 + end_minute
    if minute > 59 or end_minute > 59 or start >= DAY or end > DAY or start == end:
        raise wrong
    for day in _days(days, wrong) if days else range(7):
        yield day * DAY + start, day * DAY + (end if end > start else end + DAY)


def _days(text: str, wrong: ConfigError) -> list[int]:
    days: list[int] = []
    for part in text.split(","):
        first, _, last = (each.strip() for each in part.partition("-"))
        if first not in DAYS or (last or first) not in DAYS or part.count("-") > 1:
            raise wrong
        begin, end = DAYS.index(first), DAYS.index(last or first)
        days += [day % 7 for day in range(begin, end + 1 if end >= begin else end + 8)]
    return days
