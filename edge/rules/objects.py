"""Rules about each object by itself: it came into a zone, stayed there, or went over a line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from edge.config import Line, Rule
from edge.geometry import Box
from edge.rules.condition import Condition, Leader, Refusal
from edge.rules.events import Event, Hold, Moment, Point, Refuse, RuleState, Told, carry_on, is_over, level_after
from edge.rules.places import crossing, far_from

FLICKER_S = 1.0  # an object whose box is out of its zone no longer than this has not left
CROSSED_S = 2.0  # who went over a line so long ago, and is sure only now, did it all the same
LINE_MARGIN = 0.01  # fraction of the picture: who is nearer to a line than this is on neither side of it
SURE_HITS = 3  # frames that matched, at most, before an object takes over the event of a lost one: noise does not
SWAP_S = 1.0  # a new object may have taken the boxes of the lost one for so long before nobody gave it any
PAUSE_REACH = 0.2  # of the picture: so far may an object have moved while there were no frames
NEVER = float("-inf")


class _Object:
    """What a rule remembers of one object."""

    __slots__ = (
        "began_at",
        "crossed_at",
        "event",
        "from_outside",
        "hold",
        "inside_at",
        "inside_since",
        "place",
        "quiet_until",
        "seen_at",
        "settled",
    )

    def __init__(self, rule: Rule, monotonic: float, place: Box) -> None:
        self.hold = Hold(rule)
        self.began_at = self.seen_at = monotonic
        self.place = place
        self.event: Event | None = None
        self.quiet_until = NEVER
        self.forget()

    def forget(self) -> None:
        """Begin to look at it anew."""
        self.hold.clear()
        self.inside_since: float | None = None
        self.inside_at = NEVER  # when it was last seen inside
        self.from_outside = True  # since its last event, or as a new object
        self.settled: Box | None = None  # where it last was clear of the line
        self.crossed_at = NEVER


class _Orphan(NamedTuple):
    """An event whose object is gone; a new one with its centre in ``place`` is the same."""

    event: Event
    place: Box


class ObjectWatch:
    """``entered``, ``dwelt`` and ``crossed``: an event for each object.

    The event of an object that is lost goes on with a new one that appears there before it is over.

    ``refuse`` is called with the reason why an object that the rule looks for led to nothing, and its number.

    Synchronization: none; it belongs to the thread that looks at the frames.
    """

    def __init__(
        self, condition: Condition, new_uid: Callable[[], str], refuse: Refuse, line: Line | None = None
    ) -> None:
        self.rule: Rule = condition.rule
        self.condition = condition
        self.line = line
        self._new_uid = new_uid
        self._refuse = refuse
        self._objects: dict[int, _Object] = {}
        self._orphans: list[_Orphan] = []
        self._quiet_until = NEVER

    @property
    def state(self) -> RuleState:
        return "firing" if self.events else "pending" if self.hits else "inactive"

    @property
    def hits(self) -> int:
        return max((each.hold.hits for each in self._objects.values()), default=0)

    @property
    def events(self) -> Sequence[Event]:
        known = [each.event for each in self._objects.values() if each.event is not None]
        return (*known, *(orphan.event for orphan in self._orphans))

    def cooldown_s(self, monotonic: float) -> float:
        return max(0.0, self._quiet_until - monotonic)

    def adopt(self, event: Event, place: Point) -> bool:
        x, y = place
        around = Box(x - PAUSE_REACH, y - PAUSE_REACH, x + PAUSE_REACH, y + PAUSE_REACH)
        self._orphans.append(_Orphan(event, around))
        return True

    def pause(self, monotonic: float) -> None:
        self._orphans = [orphan._replace(event=replace(orphan.event, matched_at=monotonic)) for orphan in self._orphans]
        for known in self._objects.values():
            known.forget()
            known.began_at = monotonic
            if known.event is not None:
                self.adopt(replace(known.event, matched_at=monotonic), known.place.centre)
                known.event = None

    def give_up(self, monotonic: float) -> Sequence[Event]:
        events = self.events
        self._orphans.clear()
        for known in self._objects.values():
            if known.event is not None:
                self._close(known, monotonic)
        if events:
            self._quiet_until = monotonic + self.rule.quiet_s
        return events

    def look(self, moment: Moment) -> Iterator[Told]:
        now = moment.monotonic
        late = None if moment.in_time else Refusal("schedule", "it is not in the times of {}", (self.rule.schedule,))
        for leader in moment.verdict.leaders:
            track_id = leader.sighting.track_id
            if track_id is not None:
                known = self._objects.get(track_id)
                if known is None:
                    known = self._objects[track_id] = _Object(self.rule, now, leader.sighting.place)
                yield from self._look_at(known, leader, track_id, leader.refusal or late, now)
            elif leader.refusal is not None:
                self._refuse(leader.refusal, None)
        yield from self._end(moment)

    def _look_at(
        self, known: _Object, leader: Leader, track_id: int, refusal: Refusal | None, now: float
    ) -> Iterator[Told]:
        known.seen_at, known.place = now, leader.sighting.place
        matches = refusal is None and leader.inside
        known.hold.put(matches, now)
        if leader.refusal is None or leader.refusal.reason != "score":  # where a doubtful box is tells nothing
            self._note_place(known, leader, now)
            self._note_side(known, now)
        if matches and known.event is None and self._orphans and known.hold.hits >= min(self.rule.hold_hits, SURE_HITS):
            self._find_again(known, leader, track_id)
        if known.event is not None:
            if matches and self.rule.when != "crossed":
                known.event, worse = carry_on(self.rule, known.event, self.condition.match_of([leader]), now)
                if worse:
                    yield Told(self.rule.name, known.event, "firing")
        elif refusal is not None or not leader.inside:
            self._refuse(refusal or self.condition.outside(leader.sighting), track_id)
        elif self._did_it(known, now):
            lack = self._lack(known, now)
            if lack is None:
                known.event = self._begin(known, leader, track_id, now)
                yield Told(self.rule.name, known.event, "firing")
            else:
                self._refuse(lack, track_id)

    def _begin(self, known: _Object, leader: Leader, track_id: int, now: float) -> Event:
        known.from_outside, known.crossed_at = False, NEVER
        began = known.inside_since if known.inside_since is not None and self.rule.when != "crossed" else now
        level = level_after(self.rule, now - began)
        return Event(self._new_uid(), level, began, now, self.condition.match_of([leader]), track_id)

    def _note_place(self, known: _Object, leader: Leader, now: float) -> None:
        """Whether it is inside, and since when: a box that trembles at the edge of a zone has not left it."""
        if leader.inside and not leader.sighting.mask:
            if known.inside_since is None:
                known.inside_since = now
            known.inside_at = now
        elif now - known.inside_at > FLICKER_S:
            known.inside_since = None
            known.from_outside = True

    def _note_side(self, known: _Object, now: float) -> None:
        if self.line is None or not far_from(self.line, known.place, LINE_MARGIN):
            return
        side = None if known.settled is None else crossing(self.line, known.settled, known.place)
        known.settled = known.place
        if side is not None and self.rule.direction in ("any", side):
            known.crossed_at = now

    def _did_it(self, known: _Object, now: float) -> bool:
        """Whether it did what the rule is about, staying long enough left aside."""
        if self.rule.when == "entered":
            return known.from_outside
        return self.rule.when == "dwelt" or now - known.crossed_at <= CROSSED_S

    def _lack(self, known: _Object, now: float) -> Refusal | None:
        """Why an object that did it does not fire yet."""
        if not known.hold.is_held:
            return known.hold.lack
        stayed = 0.0 if known.inside_since is None else now - known.inside_since
        if self.rule.when == "dwelt" and stayed < self.rule.dwell_s:
            return Refusal("dwell", "there for {:.1f} s, dwell_s is {:g}", (stayed, self.rule.dwell_s))
        left = max(self._quiet_until, known.quiet_until) - now
        return Refusal("cooldown", "cooling down for {:.1f} s", (left,)) if left > 0 else None

    def _find_again(self, known: _Object, leader: Leader, track_id: int) -> None:
        """An event whose object was lost about here, before this one appeared, is this one's."""
        near = [
            orphan
            for orphan in self._orphans
            if known.began_at > orphan.event.matched_at - SWAP_S and _is_in(orphan.place, known.place.centre)
        ]
        if not near or self.rule.when == "crossed":
            return
        orphan = min(near, key=lambda orphan: math.dist(orphan.place.centre, known.place.centre))
        self._orphans.remove(orphan)
        known.event = replace(orphan.event, match=self.condition.match_of([leader]), track_id=track_id)
        known.inside_since, known.from_outside = orphan.event.began_at, False

    def _end(self, moment: Moment) -> Iterator[Told]:
        now = moment.monotonic
        for track_id, known in list(self._objects.items()):
            if known.seen_at != now:
                known.hold.put(False, now)
            if known.event is not None and is_over(self.rule, known.event, now):
                yield Told(self.rule.name, known.event, "resolved")
                self._close(known, now)
            if known.seen_at != now and track_id not in moment.alive:
                del self._objects[track_id]
                if known.event is not None:
                    self._orphans.append(_Orphan(known.event, known.place))
        for orphan in [orphan for orphan in self._orphans if is_over(self.rule, orphan.event, now)]:
            self._orphans.remove(orphan)
            self._quiet_until = now + self.rule.quiet_s
            yield Told(self.rule.name, orphan.event, "resolved")

    def _close(self, known: _Object, now: float) -> None:
        known.event, known.quiet_until = None, now + self.rule.track_cooldown_s
        self._quiet_until = now + self.rule.quiet_s


def _is_in(place: Box, point: Point) -> bool:
    return place.xmin <= point[0] <= place.xmax and place.ymin <= point[1] <= place.ymax
