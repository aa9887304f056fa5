"""When schedules hold."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import Schedule
from edge.config.times import DAY, windows
from edge.configure import load_config
from edge.errors import ConfigError
from edge.rules.times import Schedules

WEEK = 7 * DAY
MON, SUN = 0, 6


def schedules(*times: str, zone: str = "UTC") -> Schedules:
    return Schedules([Schedule(name="s", times=times)], zone)


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


def hours_held(times: str, zone: str, day: str) -> float:
    """How many hours of 36 from this UTC midnight on the schedule holds."""
    plan, begin = schedules(times, zone=zone), utc(day)
    return sum(plan.holds("s", begin + 300 * step) for step in range(36 * 12)) / 12


def minutes(day: int, clock: str) -> int:
    hour, minute = map(int, clock.split(":"))
    return day * DAY + hour * 60 + minute


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("mon 8:00-09:30", [(minutes(0, "8:00"), minutes(0, "9:30"))]),
        ("fri-mon 20:00-07:00", [(day * DAY + 1200, day * DAY + 1440 + 420) for day in (4, 5, 6, 0)]),
        (" Sat , SUN 00:00-24:00", [(5 * DAY, 6 * DAY), (6 * DAY, WEEK)]),
        ("mon-tue,thu 22:00 - 00:00", [(day * DAY + 1320, day * DAY + 1440) for day in (0, 1, 3)]),
        ("22:00-06:00", [(day * DAY + 1320, day * DAY + 1800) for day in range(7)]),
        ("wed-wed 01:00-02:00", [(2 * DAY + 60, 2 * DAY + 120)]),
    ],
)
def test_what_entries_mean(entry: str, expected: list[tuple[int, int]]) -> None:
    assert list(windows(entry)) == expected


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "night",
        "mon",
        "mon 8-9",
        "mon 08:00",
        "mon 24:00-01:00",
        "mon 08:60-09:00",
        "mon 08:00-24:01",
        "mon 08:00-08:00",
        "monday 08:00-09:00",
        "mon- 08:00-09:00",
        "mon-tue-wed 08:00-09:00",
        "mon,,tue 08:00-09:00",
        "mon 08:00-09:00 extra",
        "mon 08:00-09:00\n",
        "mon ٠٨:00-09:00",
    ],
)
def test_what_is_no_time_of_the_week_is_refused_with_its_schedule(entry: str) -> None:
    entry = entry if not entry.endswith("\n") else entry + "x"
    with pytest.raises(ValueError, match=r"^schedule s: .* is no time of the week; write mon-fri 20:00-07:00, or"):
        Schedule(name="s", times=(entry,))


def test_files_are_told_which_schedule_is_wrong_and_where() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, {}, ['alerts.schedules=[{name = "night", times = ["mon 20-7"]}]'])
    assert str(caught.value).endswith(
        "alerts.schedules[0]: schedule night: 'mon 20-7' is no time of the week; "
        "write mon-fri 20:00-07:00, or 22:00-06:00 for every day"
    )


@pytest.mark.parametrize("zone", ["Europe/Nowhere", "../../etc/passwd", "Europe", "a\nb"])
def test_a_time_zone_that_is_none(zone: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, {}, [f"alerts.time_zone={zone}"])
    assert "time_zone: there is no time zone " in str(caught.value)
    assert "such as Europe/Berlin" in str(caught.value)
    assert str(caught.value).split("alerts: ", 1)[1].isprintable()


def test_over_midnight_the_hours_after_it_belong_to_the_day_before() -> None:
    plan = schedules("fri 20:00-07:00")
    friday = utc("2026-01-09")
    assert [plan.holds("s", friday + 3600 * hour) for hour in (0, 6, 19, 20, 23.99, 24, 30.99, 31, 44)] == [
        *[False] * 3,
        *[True] * 4,
        *[False] * 2,
    ]


def test_over_the_end_of_the_week() -> None:
    plan = schedules("sun 23:00-01:00")
    monday = utc("2026-01-12")
    assert [plan.holds("s", monday + 60 * minute) for minute in (-61, -60, -1, 0, 59, 60)] == [
        False,
        True,
        True,
        True,
        True,
        False,
    ]


# Summer time: the last Sundays of March and October in Europe, 2nd of March and 1st of November in America


@pytest.mark.parametrize(
    ("zone", "day", "times", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", "sun 01:00-04:00", 2),  # 02:00 to 03:00 is missing
        ("Europe/Berlin", "2026-03-29", "sun 02:00-03:00", 0),
        ("Europe/Berlin", "2026-10-25", "sun 01:00-04:00", 4),  # 02:00 to 03:00 comes twice
        ("Europe/Berlin", "2026-10-25", "sun 02:00-03:00", 2),
        ("Europe/Berlin", "2026-06-14", "sun 01:00-04:00", 3),
        ("America/New_York", "2026-03-08", "sun 01:00-04:00", 2),
        ("America/New_York", "2026-03-08", "sun 02:00-03:00", 0),
        ("America/New_York", "2026-11-01", "sun 00:00-03:00", 4),  # 01:00 to 02:00 comes twice
        ("America/New_York", "2026-11-01", "sun 01:00-02:00", 2),
    ],
)
def test_summer_time(zone: str, day: str, times: str, hours: float) -> None:
    begin = utc(day) - 3600 * 2 if zone.startswith("Europe") else utc(day)
    text = datetime.fromtimestamp(begin, timezone.utc).strftime("%Y-%m-%dT%H:%M")
    assert hours_held(times, zone, text) == hours


def test_a_night_over_the_change_begins_and_ends_by_the_clock_on_the_wall() -> None:
    plan = schedules("22:00-06:00", zone="Europe/Berlin")
    for day in (datetime(2026, 3, 28), datetime(2026, 10, 24), datetime(2026, 7, 1)):
        for clock, held in (("21:59", False), ("22:00", True), ("05:59", True), ("06:00", False)):
            hour, minute = map(int, clock.split(":"))
            wall = (day + timedelta(days=hour < 12, hours=hour, minutes=minute)).replace(
                tzinfo=ZoneInfo("Europe/Berlin")
            )
            assert plan.holds("s", wall.timestamp()) is held, wall


@pytest.fixture
def machine_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


def test_without_a_zone_the_machine_s_own_counts(machine_zone: pytest.MonkeyPatch) -> None:
    noon = utc("2026-01-14T12:00")
    for zone, held in (("UTC0", False), ("JST-9", True)):  # written out: slim systems know no names
        machine_zone.setenv("TZ", zone)
        time.tzset()
        assert schedules("wed 20:00-22:00", zone="").holds("s", noon) is held


def test_while_the_time_is_not_known_everything_holds() -> None:
    plan = schedules("mon 08:00-08:01")
    assert plan.holds("s", None)
    assert plan.holds("s", 1e18), "a time that no calendar has is no time"
    assert plan.holds("", utc("2026-01-14"))
    assert not plan.holds("s", utc("2026-01-14"))


# For every schedule

clocks = st.integers(0, DAY - 1)
names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@given(st.integers(0, 6), st.integers(0, 6), clocks, clocks, st.integers(0, 3 * WEEK))
def test_it_holds_as_long_as_it_says_on_each_of_its_days(first: int, last: int, start: int, end: int, at: int) -> None:
    if start == end:
        return
    clock = f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
    plan = schedules(f"{names[first]}-{names[last]} {clock}")
    days = [(first + step) % 7 for step in range((last - first) % 7 + 1)]
    length = end - start if end > start else end - start + DAY
    monday = utc("2026-01-05")
    expected = any((at - day * DAY - start) % WEEK < length for day in days)
    assert plan.holds("s", monday + 60 * at) is expected
