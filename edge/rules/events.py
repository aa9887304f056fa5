"""What happens over time: an event begins, grows worse, and is over."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Protocol, TypeAlias

from edge.config import Rule
from edge.rules.condition import Condition, Match, Refusal, Verdict
from edge.types import LEVELS, AlertState, ThreatLevel

RuleState: TypeAlias = Literal["inactive", "pending", "firing"]
Refuse: TypeAlias = Callable[[Refusal, "int | None"], None]
Point: TypeAlias = tuple[float, float]  # in fractions of the picture


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


class Told(NamedTuple):
    """A change that the world is told: an event of a rule fires, with a higher level fires once more, is resolved."""

    rule: str
    event: Event
    state: AlertState


class Moment(NamedTuple):
    """What a rule is given of a frame. ``in_time``: its schedule holds. ``alive``: the numbers of all objects."""

    verdict: Verdict
    monotonic: float
    in_time: bool
    alive: frozenset[int]


class Watch(Protocol):
    """One rule and what it remembers. Its ``condition`` may be replaced by another one of the same rule."""

    rule: Rule
    condition: Condition

    def look(self, moment: Moment) -> Iterator[Told]: ...

    def adopt(self, event: Event, place: Point) -> bool:
        """Go on with an event of before the start, last seen at ``place``; False where there is one already."""

    def pause(self, monotonic: float) -> None:
        """There were no frames for a while: what was seen before proves nothing, and no event ends by that alone."""

    def give_up(self, monotonic: float) -> Sequence[Event]:
        """End the events that go on, which are given."""

    @property
    def state(self) -> RuleState: ...

    @property
    def hits(self) -> int: ...

    @property
    def events(self) -> Sequence[Event]: ...

    def cooldown_s(self, monotonic: float) -> float: ...


def level_after(rule: Rule, elapsed_s: float) -> ThreatLevel:
    """The level of an event that began so long ago."""
    level = rule.level
    for step in rule.escalate:
        if elapsed_s >= step.after_s:
            level = step.level
    return level


def carry_on(rule: Rule, event: Event, match: Match, monotonic: float) -> tuple[Event, bool]:
    """The event after another matching frame, and whether it has a higher level now; no level is ever taken back."""
    level = level_after(rule, monotonic - event.began_at)
    worse = LEVELS.index(level) > LEVELS.index(event.level)
    return replace(event, matched_at=monotonic, match=match, level=level if worse else event.level), worse


def is_over(rule: Rule, event: Event, monotonic: float) -> bool:
    return monotonic - event.matched_at > rule.resolve_after_s


class Hold:
    """Whether enough of the last frames matched, and for long enough.

    Synchronization: none; it belongs to the thread that looks at the frames.
    """

    def __init__(self, rule: Rule) -> None:
        self.hits = 0
        self.began_at = float("-inf")  # of the first match that no whole window without one has followed
        self._rule = rule
        self._matched: deque[bool] = deque(maxlen=rule.hold_frames)
        self._at = float("-inf")

    def put(self, matched: bool, monotonic: float) -> None:
        """One more frame."""
        if len(self._matched) == self._matched.maxlen:
            self.hits -= self._matched[0]
        if matched:
            if not self.hits:
                self.began_at = monotonic
            self.hits += 1
        self._at = monotonic
        self._matched.append(matched)

    def clear(self) -> None:
        self._matched.clear()
        self.hits = 0

    @property
    def is_held(self) -> bool:
        return self.hits >= self._rule.hold_hits and self._at - self.began_at >= self._rule.hold_s

    @property
    def lack(self) -> Refusal:
        """What is missing."""
        rule = self._rule
        if self.hits < rule.hold_hits:
            return Refusal("hold", "{} of {} frames matched, {} needed", (self.hits, rule.hold_frames, rule.hold_hits))
        return Refusal("hold", "matched for {:.1f} s, hold_s is {:g}", (self._at - self.began_at, rule.hold_s))
