"""Settings of what is worth an alert."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Literal

from msgspec import Meta

from edge.config.base import Fraction, Settings
from edge.config.zones import Line, Name, Schedule, Zone, time_zone_of
from edge.types import LEVELS, ThreatLevel

ClassName = Annotated[str, Meta(max_length=128)]
Seconds = Annotated[float, Meta(ge=0.0, le=86400.0)]


def _problems(rule: Rule) -> Iterable[str]:
    if rule.min_size > rule.max_size:
        yield f"min_size is {rule.min_size:g}, more than max_size, {rule.max_size:g}"
    if rule.when == "entered" and not rule.zones:
        yield 'when = "entered" needs zones'
    if (rule.when == "dwelt") != (rule.dwell_s > 0):
        yield 'dwell_s and when = "dwelt" need each other'
    if (rule.when == "crossed") != bool(rule.line):
        yield 'line and when = "crossed" need each other'
    if rule.when != "seen" and rule.min_count > 1:
        yield f'min_count is {rule.min_count}, and when = "{rule.when}" is about one object by itself'
    if rule.when == "crossed" and rule.escalate:
        yield 'when = "crossed" is over at once: it cannot escalate'
    steps = [(0.0, rule.level), *((step.after_s, step.level) for step in rule.escalate)]
    for (after_s, level), (later_s, higher) in pairwise(steps):
        if later_s <= after_s or LEVELS.index(higher) <= LEVELS.index(level):
            yield "escalate: each step needs a later time and a higher level than the one before"


def _unique(kind: str, names: Iterable[str]) -> frozenset[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"two {kind}s have the name {name}; give each one of its own")
        seen.add(name)
    return frozenset(seen)


def _known(kind: str, name: str, names: frozenset[str], rule: Rule) -> None:
    if name not in names:
        there = ", ".join(sorted(names)) or "none"
        raise ValueError(f"rule {rule.name!r}: there is no {kind} {name!r} that rules may name; there are: {there}")


class Escalation(Settings, frozen=True):
    """A higher level for an event that lasts."""

    after_s: Annotated[
        float, Meta(gt=0.0, le=86400.0, description="Seconds after the object began to do what the rule is about.")
    ]
    level: Annotated[ThreatLevel, Meta(description="Threat level from then on.")]


class Rule(Settings, frozen=True):
    """One rule. A frame matches it that has one class of `any` (if given), every class of `all`, none of `none`.

    The object that leads is one of `any`, or without `any` one of the first class of `all`. `zones`, `min_size`,
    `max_size` and `when` are about it.
    """

    name: Annotated[Name, Meta(description="Name of the rule, unique and printable.")]
    level: Annotated[ThreatLevel, Meta(description="Threat level of its alerts.")]
    any: Annotated[
        tuple[ClassName, ...], Meta(max_length=64, description="Class names, one of which must be seen.")
    ] = ()
    all: Annotated[
        tuple[ClassName, ...], Meta(max_length=64, description="Class names, each of which must be seen.")
    ] = ()
    none: Annotated[
        tuple[ClassName, ...], Meta(max_length=64, description="Class names, none of which may be seen.")
    ] = ()
    min_confidence: Annotated[Fraction, Meta(description="Detections below this do not count, for `none` neither.")] = (
        0.5
    )
    near: Annotated[
        Annotated[float, Meta(ge=0.0, le=100.0)] | None,
        Meta(
            description="Objects of `all` and `none` count only so near to the one that leads: the gap between the "
            "boxes, in heights of the taller one; 0: they touch. Left out: anywhere."
        ),
    ] = None
    min_count: Annotated[int, Meta(ge=1, le=1000, description="At least so many objects that could lead.")] = 1
    min_size: Annotated[Fraction, Meta(description="Least height of the box, as a share of the picture's.")] = 0.0
    max_size: Annotated[Fraction, Meta(description="Greatest height of the box, as a share of the picture's.")] = 1.0
    zones: Annotated[
        tuple[Name, ...],
        Meta(max_length=16, description="Names of zones, in one of which it must be; empty: anywhere."),
    ] = ()
    when: Annotated[
        Literal["seen", "entered", "dwelt", "crossed"],
        Meta(
            description="`seen`: it is there, one alert for all of them together. For each object by itself: "
            "`entered`: it came into one of its zones, or appeared there; `dwelt`: it stayed for `dwell_s`; "
            "`crossed`: it went over `line`."
        ),
    ] = "seen"
    dwell_s: Annotated[Seconds, Meta(description="Seconds for `dwelt`: in its zones, or in the picture.")] = 0.0
    line: Annotated[str, Meta(max_length=64, description="Name of the line for `crossed`.")] = ""
    direction: Annotated[
        Literal["any", "to_left", "to_right"],
        Meta(description="For `crossed`: to which side, as seen by somebody who walks along the line."),
    ] = "any"
    hold_hits: Annotated[int, Meta(ge=1, le=1000, description="The rule fires when so many ...")] = 3
    hold_frames: Annotated[int, Meta(ge=1, le=1000, description="... of the last so many frames matched ...")] = 5
    hold_s: Annotated[Seconds, Meta(description="... and the first of them in a row was at least so long ago.")] = 0.0
    resolve_after_s: Annotated[
        float, Meta(ge=0.5, le=3600.0, description="The event is over when nothing matched for so many seconds.")
    ] = 5.0
    cooldown_s: Annotated[
        Seconds | None,
        Meta(description="After an event, no other one for so many seconds. Left out: 5 for `seen`, else 0."),
    ] = None
    track_cooldown_s: Annotated[
        Seconds, Meta(description="After an event of an object, no other one of the same object for so many seconds.")
    ] = 60.0
    escalate: Annotated[
        tuple[Escalation, ...], Meta(max_length=3, description="Higher levels for an event that lasts.")
    ] = ()
    schedule: Annotated[
        str, Meta(max_length=64, description="Name of the schedule in whose times it holds; empty: always.")
    ] = ""

    def __post_init__(self) -> None:
        for problem in _problems(self):
            raise ValueError(f"rule {self.name!r}: {problem}")

    @property
    def quiet_s(self) -> float:
        """Seconds without another event after one."""
        if self.cooldown_s is not None:
            return self.cooldown_s
        return 5.0 if self.when == "seen" else 0.0

    @property
    def leading(self) -> tuple[str, ...]:
        """The classes of the object that leads."""
        return self.any or self.all[:1]


WEAPONS = ("knife", "gun", "pistol", "rifle", "firearm", "weapon")
DEFAULT_RULES = (
    Rule(name="armed person", level="critical", any=WEAPONS, all=("person",), near=2.0),
    Rule(name="weapon", level="high", any=WEAPONS, none=("person",), near=2.0, hold_hits=5, hold_frames=8),
    Rule(name="possible weapon", level="medium", any=("scissors", "baseball bat"), all=("person",), near=0.5),
)


class Alerts(Settings, frozen=True):
    """What is worth an alert."""

    crime_relevant: Annotated[
        tuple[ClassName, ...],
        Meta(max_length=256, description="Class names whose detections carry `is_crime_relevant: true`."),
    ] = ("person", *WEAPONS, "scissors", "baseball bat")
    rules: Annotated[
        tuple[Rule, ...],
        Meta(max_length=64, description="The rules; a list given here replaces all the built-in ones."),
    ] = DEFAULT_RULES
    zones: Annotated[tuple[Zone, ...], Meta(max_length=64, description="Parts of the picture, one table each.")] = ()
    lines: Annotated[tuple[Line, ...], Meta(max_length=64, description="Lines to be crossed, one table each.")] = ()
    schedules: Annotated[
        tuple[Schedule, ...], Meta(max_length=64, description="Times of the week, one table each.")
    ] = ()
    time_zone: Annotated[
        str,
        Meta(max_length=64, description="Of the schedules, such as `Europe/Berlin`; empty: the machine's own."),
    ] = ""
    max_lost_s: Annotated[
        float, Meta(ge=0.1, le=60.0, description="An object that is not seen for so many seconds is another one after.")
    ] = 2.0

    def __post_init__(self) -> None:
        time_zone_of(self.time_zone)
        zones = _unique("zone", (zone.name for zone in self.zones))
        included = zones - {zone.name for zone in self.zones if zone.kind == "exclude"}
        lines = _unique("line", (line.name for line in self.lines))
        schedules = _unique("schedule", (schedule.name for schedule in self.schedules))
        for rule in self.rules:
            for name in rule.zones:
                _known("zone", name, included, rule)
            if rule.line:
                _known("line", rule.line, lines, rule)
            if rule.schedule:
                _known("schedule", rule.schedule, schedules, rule)
