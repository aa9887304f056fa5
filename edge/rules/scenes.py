"""Rules about all that a frame shows together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from edge.config import Rule
from edge.rules.condition import Condition, Match, Refusal
from edge.rules.events import Event, Hold, Moment, Point, Refuse, RuleState, Told, carry_on, is_over, level_after


class SceneWatch:
    """``when = "seen"``: one event for all that a frame shows.

    ``refuse`` is called with the reason why something that the rule looks for led to nothing.

    Synchronization: none; it belongs to the thread that looks at the frames.
    """

    def __init__(self, condition: Condition, new_uid: Callable[[], str], refuse: Refuse) -> None:
        self.rule: Rule = condition.rule
        self.condition = condition
        self._new_uid = new_uid
        self._refuse = refuse
        self._hold = Hold(self.rule)
        self._event: Event | None = None
        self._quiet_until = float("-inf")

    @property
    def state(self) -> RuleState:
        return "firing" if self._event is not None else "pending" if self.hits else "inactive"

    @property
    def hits(self) -> int:
        return self._hold.hits

    @property
    def events(self) -> Sequence[Event]:
        return () if self._event is None else (self._event,)

    def cooldown_s(self, monotonic: float) -> float:
        return max(0.0, self._quiet_until - monotonic)

    def adopt(self, event: Event, place: Point) -> bool:  # noqa: ARG002 - it is about the whole picture
        if self._event is not None:
            return False
        self._event = event
        return True

    def pause(self, monotonic: float) -> None:
        self._hold.clear()
        if self._event is not None:
            self._event = replace(self._event, matched_at=monotonic)

    def give_up(self, monotonic: float) -> Sequence[Event]:
        events, self._event = self.events, None
        if events:
            self._quiet_until = monotonic + self.rule.quiet_s
        return events

    def look(self, moment: Moment) -> Iterator[Told]:
        match, now = moment.verdict.match, moment.monotonic
        if match is not None and not moment.in_time:
            match = None
            self._refuse(Refusal("schedule", "it is not in the times of {}", (self.rule.schedule,)), None)
        self._hold.put(match is not None, now)
        if self._event is not None:
            yield from self._go_on(self._event, match, now)
        elif match is not None:
            yield from self._begin(match, now)
        elif moment.verdict.refusal is not None:
            self._refuse(moment.verdict.refusal, None)

    def _begin(self, match: Match, now: float) -> Iterator[Told]:
        if not self._hold.is_held:
            self._refuse(self._hold.lack, None)
        elif left := self.cooldown_s(now):
            self._refuse(Refusal("cooldown", "cooling down for {:.1f} s", (left,)), None)
        else:
            began_at = self._hold.began_at
            self._event = Event(self._new_uid(), level_after(self.rule, now - began_at), began_at, now, match)
            yield Told(self.rule.name, self._event, "firing")

    def _go_on(self, event: Event, match: Match | None, now: float) -> Iterator[Told]:
        if match is not None:
            self._event, worse = carry_on(self.rule, event, match, now)
            if worse:
                yield Told(self.rule.name, self._event, "firing")
        elif is_over(self.rule, event, now):
            self._event, self._quiet_until = None, now + self.rule.quiet_s
            self._hold.clear()  # what belonged to this event does not make the next one
            yield Told(self.rule.name, event, "resolved")
