"""Rules about all that a frame shows together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from edge.config import Rule
from edge.rules.condition import Condition, Match, Refusal
from edge.rules.events import Event, Hold, Moment, Refuse, RuleState, Told, carry_on, is_over


class SceneWatch:
    """``when = "seen"``: one event for all that a frame shows.

    Synchronization: none; it belongs to the thread that looks at the frames.
    """

    def __init__(self, rule: Rule, condition: Condition, new_uid: Callable[[], str], refuse: Refuse) -> None:
        self.rule = rule
        self.condition = condition
        self._new_uid = new_uid
        self._refuse = refuse
        self._hold = Hold(rule)
        self._event: Event | None = None
        self._quiet_until = float("-inf")

    @property
    def state(self) -> RuleState:
        return "firing" if self._event is not None else "pending" if self._hold.hits else "inactive"

    @property
    def hits(self) -> int:
        return self._hold.hits

    @property
    def events(self) -> Sequence[Event]:
        return () if self._event is None else (self._event,)

    def cooldown_s(self, monotonic: float) -> float:
        return max(0.0, self._quiet_until - monotonic)

    def adopt(self, event: Event, place: tuple[float, float]) -> None:  # noqa: ARG002 - it is about the whole picture
        self._event = event

    def look(self, moment: Moment) -> Iterator[Told]:
        match, now = moment.verdict.match, moment.monotonic
        if not moment.in_time and match is not None:
            self._refuse(Refusal("schedule", f"it is not in the times of {self.rule.schedule}"), None)
            match = None
        self._hold.put(match is not None, now)
        if self._event is not None:
            yield from self._go_on(self._event, match, now)
        elif match is not None:
            yield from self._begin(match, now)
        elif moment.verdict.refusal is not None:
            self._refuse(moment.verdict.refusal, None)

    def _begin(self, match: Match, now: float) -> Iterator[Told]:
        if not self._hold.is_held:
            self._refuse(Refusal("hold", self._hold.lack), None)
        elif left := self.cooldown_s(now):
            self._refuse(Refusal("cooldown", f"cooling down for {left:.1f} s"), None)
        else:
            self._event = Event(self._new_uid(), self.rule.level, self._hold.began_at, now, match)
            yield Told(self.rule, self._event, "firing")

    def _go_on(self, event: Event, match: Match | None, now: float) -> Iterator[Told]:
        if match is not None:
            self._event, worse = carry_on(self.rule, event, match, now)
            if worse:
                yield Told(self.rule, self._event, "firing")
        elif is_over(self.rule, event, now):
            self._event, self._quiet_until = None, now + self.rule.quiet_s
            yield Told(self.rule, event, "resolved")
