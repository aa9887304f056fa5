"""What happens over time: an event begins, grows worse, and is over."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

from edge.config import Rule
from edge.rules.condition import Condition, Match, Refusal, Verdict
from edge.types import AlertState, ThreatLevel

RuleState: TypeAlias = Literal["inactive", "pending", "firing"]
Refuse: TypeAlias = Callable[[Refusal, "int | None"], None]
FORGET_S = 5.0  # a longer time without a frame, and what was seen before it proves nothing any more


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """Something that a rule is about, from the alert on. Times are monotonic seconds.

    It began at ``began_at``, which is before its alert, and was last seen to go on at ``matched_at``. ``level`` is the
    one that was told last. ``track_id`` is the object's where the rule is about each by itself.
    """

    uid: str
    level: ThreatLevel
    began_at: float
    matched_at: float
    match: Match
    track_id: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """A change that the world is told: an event fires, with a higher level fires once more, or is resolved."""

    rule: Rule
    event: Event
    state: AlertState


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """What a rule is given of a frame. ``in_time``: its schedule holds. ``alive``: the numbers of all objects."""

    verdict: Verdict
    monotonic: float
    in_time: bool
    alive: frozenset[int]


class Watch(Protocol):
    """One rule and what it remembers.

    ``refuse`` is called with each reason that an object which the rule looks for led to nothing; the number is that
    of the object, where the rule is about each by itself.
    """

    rule: Rule
    condition: Condition

    def look(self, moment: Moment) -> Iterator[Told]: ...

    def adopt(self, event: Event, place: tuple[float, float]) -> None:
        """Go on with an event of before the start, last seen at ``place`` (fractions of the picture)."""

    @property
    def state(self) -> RuleState: ...

    @property
    def hits(self) -> int: ...

    @property
    def events(self) -> Sequence[Event]: ...

    def cooldown_s(self, monotonic: float) -> float: ...


def carry_on(rule: Rule, event: Event, match: Match, monotonic: float) -> tuple[Event, bool]:
    """The event after another matching frame, and whether it has a higher level now."""
    level = event.level
    for step in rule.escalate:
        if monotonic - event.began_at >= step.after_s and _rank(rule, step.level) > _rank(rule, level):
            level = step.level
    return replace(event, matched_at=monotonic, match=match, level=level), level != event.level


def is_over(rule: Rule, event: Event, monotonic: float) -> bool:
    return monotonic - event.matched_at > rule.resolve_after_s


class Hold:
    """Whether enough of the last frames matched, and for long enough.

    Synchronization: none; it belongs to the thread that looks at the frames.
    """

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._matched: deque[bool] = deque(maxlen=rule.hold_frames)
        self._began_at = self._at = float("-inf")

    def put(self, matched: bool, monotonic: float) -> None:
        """One more frame."""
        if monotonic - self._at > FORGET_S:
            self._matched.clear()
        if matched and not any(self._matched):
            self._began_at = monotonic
        self._at = monotonic
        self._matched.append(matched)

    @property
    def hits(self) -> int:
        return sum(self._matched)

    @property
    def began_at(self) -> float:
        """The first of the matches that no whole window without one has followed."""
        return self._began_at

    @property
    def is_held(self) -> bool:
        rule = self._rule
        return self.hits >= rule.hold_hits and self._at - self._began_at >= rule.hold_s

    @property
    def lack(self) -> str:
        """What is missing, for people."""
        rule = self._rule
        if self.hits < rule.hold_hits:
            return f"{self.hits} of {rule.hold_frames} frames matched, {rule.hold_hits} needed"
        return f"matched for {self._at - self._began_at:.1f} s, hold_s is {rule.hold_s:g}"


def _rank(rule: Rule, level: ThreatLevel) -> int:
    """How late the level comes in the rule."""
    levels = [rule.level, *(step.level for step in rule.escalate)]
    return levels.index(level) if level in levels else -1
