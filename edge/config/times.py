"""Times of the week as people write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = 24 * 60  # minutes
_ENTRY = re.compile(r"(?:([a-z][a-z,\- ]*[a-z]) +)?(\d\d?):(\d\d) *- *(\d\d?):(\d\d)\Z", re.ASCII)

Window: TypeAlias = tuple[int, int]  # minutes from Monday 00:00; the end is not in it and may lie in the next week


def windows(entry: str) -> Iterator[Window]:
    """What ``mon-fri 20:00-07:00`` means, a window for each of its days. Raises ValueError, saying what to write."""
    wrong = ValueError(f"{entry!a} is no time of the week; write mon-fri 20:00-07:00, or 22:00-06:00 for every day")
    found = _ENTRY.match(entry.strip().lower())
    if found is None:
        raise wrong
    days, *numbers = found.groups()
    hour, minute, end_hour, end_minute = map(int, numbers)
    start, end = hour * 60 + minute, end_hour * 60 + end_minute
    if minute > 59 or end_minute > 59 or start >= DAY or end > DAY or start == end:
        raise wrong
    for day in _days(days, wrong) if days else range(7):
        yield day * DAY + start, day * DAY + (end if end > start else end + DAY)


def _days(text: str, wrong: ValueError) -> Iterator[int]:
    for part in text.split(","):
        first, dash, last = (each.strip() for each in part.partition("-"))
        if first not in DAYS or (dash and last not in DAYS):
            raise wrong
        begin, end = DAYS.index(first), DAYS.index(last or first)
        yield from (day % 7 for day in range(begin, end + 1 if end >= begin else end + 8))
