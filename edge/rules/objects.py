"""Rules about each object by itself: it came into a zone, stayed there, or went over a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from edge.config import Line, Rule
from edge.geometry import Box
from edge.rules.condition import Condition, Leader, Refusal
from edge.rules.events import Event, Hold, Moment, Refuse, RuleState, Told, carry_on, is_over
from edge.rules.places import crossing, far_from

FLICKER_S = 1.0  # an object whose box is out of its zone no longer than this has not left
CROSSED_S = 2.0  # who went over a line so long ago, and is sure only now, did it all the same
LINE_MARGIN = 0.01  # fraction of the picture: who is nearer to a line than this is on neither side of it
ADOPT_WITHIN = 0.2  # of the picture: so near to where it was last seen is an object the same after a restart


class _Object:
    """What a rule remembers of one object."""

    def __init__(self, rule: Rule) -> None:
        self.hold = Hold(rule)
        self.inside_since: float | None = None
        self.inside_at = float("-inf")  # when it was last seen inside
        self.came_from_outside = False
        self.settled: Box | None = None  # where it last was clear of the line
        self.crossed_at = float("-inf")
        self.event: Event | None = None
        self.quiet_until = float("-inf")
        self.seen_at = float("-inf")


class ObjectWatch:
    """``entered``, ``dwelt`` and ``crossed``: an event for each object.

    Synchronization: none; it belongs to the thread that looks at the frames.
    """

    def __init__(
        self, rule: Rule, condition: Condition, new_uid: Callable[[], str], refuse: Refuse, line: Line | None = None
    ) -> None:
        self.rule = rule
        self.condition = condition
        self._new_uid = new_uid
        self._refuse = refuse
        self._line = line
        self._objects: dict[int, _Object] = {}
        self._orphans: list[tuple[Event, tuple[float, float]]] = []  # of before the start, not found again yet
        self._quiet_until = float("-inf")

    @property
    def state(self) -> RuleState:
        if self.events:
            return "firing"
        return "pending" if self.hits else "inactive"

    @property
    def hits(self) -> int:
        return max((each.hold.hits for each in self._objects.values()), default=0)

    @property
    def events(self) -> Sequence[Event]:
        known = [each.event for each in self._objects.values() if each.event is not None]
        return (*known, *(event for event, _ in self._orphans))

    def cooldown_s(self, monotonic: float) -> float:
        return max(0.0, self._quiet_until - monotonic)

    def adopt(self, event: Event, place: tuple[float, float]) -> None:
        self._orphans.append((event, place))

    def look(self, moment: Moment) -> Iterator[Told]:
        now = moment.monotonic
        for leader in moment.verdict.leaders:
            track_id = leader.sighting.track_id
            if track_id is None:
                if leader.refusal is not None:
                    self._refuse(leader.refusal, None)
                continue
            known = self._objects.setdefault(track_id, _Object(self.rule))
            known.seen_at = now
            yield from self._look_at(known, leader, track_id, moment)
        for known in self._objects.values():
            if known.seen_at != now:
                known.hold.put(False, now)
        yield from self._end(moment)

    def _look_at(self, known: _Object, leader: Leader, track_id: int, moment: Moment) -> Iterator[Told]:
        now, refusal = moment.monotonic, leader.refusal
        if refusal is None and not moment.in_time:
            refusal = Refusal("schedule", f"it is not in the times of {self.rule.schedule}")
        known.hold.put(refusal is None and leader.inside, now)
        self._note_place(known, leader, now)
        self._note_side(known, leader, now)
        if refusal is None and known.event is None:
            self._take_over(known, leader, track_id)
        if known.event is not None:
            if refusal is None and leader.inside and self.rule.when != "crossed":
                known.event, worse = carry_on(self.rule, known.event, self.condition.match_of([leader]), now)
                if worse:
                    yield Told(self.rule, known.event, "firing")
            return
        refusal = refusal or self._lack(known, leader, now)
        if refusal is not None:
            self._refuse(refusal, track_id)
            return
        if self._did_it(known, now):
            known.event = self._event(known, leader, track_id, now)
            yield Told(self.rule, known.event, "firing")

    def _event(self, known: _Object, leader: Leader, track_id: int, now: float) -> Event:
        known.came_from_outside, known.crossed_at = False, float("-inf")
        began = known.inside_since if known.inside_since is not None and self.rule.when != "crossed" else now
        return Event(self._new_uid(), self.rule.level, began, now, self.condition.match_of([leader]), track_id)

    def _note_place(self, known: _Object, leader: Leader, now: float) -> None:
        """Whether it is inside, and since when: a box that trembles at the edge of a zone has not left it."""
        if leader.refusal is not None and leader.refusal.reason in ("mask", "score"):
            return  # where a doubtful box is tells nothing
        if leader.inside:
            if known.inside_since is None:
                known.inside_since = now
            known.inside_at = now
        elif now - known.inside_at > FLICKER_S:
            known.inside_since = None
            known.came_from_outside = True

    def _note_side(self, known: _Object, leader: Leader, now: float) -> None:
        if self._line is None or not far_from(self._line, leader.sighting.place, LINE_MARGIN):
            return
        before, known.settled = known.settled, leader.sighting.place
        side = None if before is None else crossing(self._line, before, known.settled)
        if side is not None and self.rule.direction in ("any", side):
            known.crossed_at = now

    def _lack(self, known: _Object, leader: Leader, now: float) -> Refusal | None:
        """Why an object that passes does not fire; None also where it simply did not do what the rule is about."""
        rule = self.rule
        if not leader.inside:
            return self.condition.outside(leader.sighting)
        if not self._did_it(known, now):
            return None
        if not known.hold.is_held:
            return Refusal("hold", known.hold.lack)
        stayed = 0.0 if known.inside_since is None else now - known.inside_since
        if rule.when == "dwelt" and stayed < rule.dwell_s:
            return Refusal("dwell", f"there for {stayed:.1f} s, dwell_s is {rule.dwell_s:g}")
        left = max(self._quiet_until, known.quiet_until) - now
        return Refusal("cooldown", f"cooling down for {left:.1f} s") if left > 0 else None

    def _did_it(self, known: _Object, now: float) -> bool:
        """Whether it did what the rule is about, staying long enough left aside."""
        if self.rule.when == "entered":
            return known.came_from_outside
        return self.rule.when == "dwelt" or now - known.crossed_at <= CROSSED_S

    def _take_over(self, known: _Object, leader: Leader, track_id: int) -> None:
        """An event of before the start whose object was last seen about here is this one's."""
        if not self._orphans or not leader.inside:
            return
        x, y = leader.sighting.place.centre
        nearest = min(self._orphans, key=lambda orphan: max(abs(orphan[1][0] - x), abs(orphan[1][1] - y)))
        if max(abs(nearest[1][0] - x), abs(nearest[1][1] - y)) <= ADOPT_WITHIN:
            self._orphans.remove(nearest)
            known.event = replace(nearest[0], match=self.condition.match_of([leader]), track_id=track_id)
            known.inside_since, known.came_from_outside = nearest[0].began_at, False

    def _end(self, moment: Moment) -> Iterator[Told]:
        now, rule = moment.monotonic, self.rule
        for orphan in [orphan for orphan in self._orphans if is_over(rule, orphan[0], now)]:
            self._orphans.remove(orphan)
            yield Told(rule, orphan[0], "resolved")
        for track_id, known in list(self._objects.items()):
            if known.event is not None and is_over(rule, known.event, now):
                yield Told(rule, known.event, "resolved")
                known.event, known.quiet_until = None, now + rule.track_cooldown_s
                self._quiet_until = now + rule.quiet_s
            if track_id not in moment.alive and known.event is None:
                del self._objects[track_id]
