"""Alert rules: what the detector sees, followed over time, becomes alerts."""

from __future__ import annotations

import uuid
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from edge.config import Alerts, Line, Rule
from edge.geometry import Box
from edge.rules.condition import Condition, Match, Reason, Refusal, Scene, Sighting
from edge.rules.events import Event, Moment, RuleState, Told, Watch
from edge.rules.labels import AlertLabels
from edge.rules.objects import ObjectWatch
from edge.rules.scenes import SceneWatch
from edge.rules.times import Schedules
from edge.types import Alert, Detection

MAX_REFUSED = 32  # of each rule; the oldest goes
SAME_REFUSAL_S = 2.0  # the same reason again within this is the same candidate
FORGET_S = 5.0  # a longer time without a frame, and what was seen before it proves nothing any more,
SLOWER = 2.0  # unless frames come as slowly as that: it is so many times as long as the one before
OUTAGE_S = 60.0  # and after one longer than this, what is seen is another event


@dataclass(frozen=True, slots=True)
class Look:
    """One frame for the rules.

    ``seen`` may hold doubtful detections, which count for nothing and tell ``explain`` more. ``size`` is the frame's
    width and height in pixels, ``now`` its Unix time, ``monotonic`` its time in seconds on a clock that never goes
    back: everything that lasts runs on it, since a wall clock may step. ``alive`` are the numbers of all objects, also
    of those that this frame does not show. ``wall_known`` is False while the Unix time cannot be believed; schedules
    then hold all the time.
    """

    seen: Sequence[Sighting]
    size: tuple[int, int]
    now: float
    monotonic: float
    frame_id: int
    alive: frozenset[int] = frozenset()
    wall_known: bool = True


@dataclass(slots=True)
class Refused:
    """A candidate that led to nothing: from ``since`` to ``until`` (monotonic seconds), in ``frames`` frames.

    ``track_id`` is its number in rules about each object by itself.
    """

    refusal: Refusal
    track_id: int | None
    since: float
    until: float
    frames: int = 1

    @property
    def key(self) -> tuple[Reason, int | None]:
        return self.refusal.reason, self.track_id


@dataclass(frozen=True, slots=True)
class Memory:
    """What a rule remembers: ``hits`` of the last frames matched, ``cooldown_s`` seconds of quiet are left.

    ``looked_at`` and ``fired_at`` are monotonic times of the last frame and of the last alert, None where there was
    none. ``refused`` are its last candidates, the newest last, ``counts`` how many frames each reason was met in.
    """

    rule: Rule
    state: RuleState
    hits: int
    cooldown_s: float
    looked_at: float | None
    fired_at: float | None
    events: tuple[Event, ...]
    refused: tuple[Refused, ...]
    counts: Mapping[Reason, int]


class _Kept:
    """A rule's watch, and what is written down of it."""

    def __init__(self, rule: Rule, alerts: Alerts, score_threshold: float, new_uid: Callable[[], str]) -> None:
        condition = Condition(rule, score_threshold)
        self.watch: Watch = (
            SceneWatch(condition, new_uid, self._refuse)
            if rule.when == "seen"
            else ObjectWatch(condition, new_uid, self._refuse, _line(alerts, rule))
        )
        self.fired_at: float | None = None
        self.looked_at: float | None = None
        self._refused: deque[Refused] = deque()  # in the order of their beginnings
        self._newest: dict[tuple[Reason, int | None], Refused] = {}  # of these
        self._counts: Counter[Reason] = Counter()

    def renew(self, alerts: Alerts, score_threshold: float) -> None:
        """Go on with other settings around the same rule."""
        self.watch.condition = Condition(self.watch.rule, score_threshold)
        if isinstance(self.watch, ObjectWatch):
            self.watch.line = _line(alerts, self.watch.rule)

    def look(self, scene: Scene, look: Look, in_time: bool) -> list[Told]:
        self.looked_at = look.monotonic
        verdict = self.watch.condition.look(scene)
        told = list(self.watch.look(Moment(verdict, look.monotonic, in_time, look.alive)))
        if any(each.state == "firing" for each in told):
            self.fired_at = look.monotonic
        return told

    def memory(self, monotonic: float) -> Memory:
        return Memory(
            rule=self.watch.rule,
            state=self.watch.state,
            hits=self.watch.hits,
            cooldown_s=self.watch.cooldown_s(monotonic),
            looked_at=self.looked_at,
            fired_at=self.fired_at,
            events=tuple(self.watch.events),
            refused=tuple(replace(refused) for refused in self._refused),
            counts=dict(self._counts),
        )

    def _refuse(self, refusal: Refusal, track_id: int | None) -> None:
        now = self.looked_at or 0.0
        self._counts[refusal.reason] += 1
        known = self._newest.get((refusal.reason, track_id))
        if known is not None and now - known.until <= SAME_REFUSAL_S:
            known.refusal, known.until, known.frames = refusal, now, known.frames + 1
            return
        self._newest[refusal.reason, track_id] = begun = Refused(refusal, track_id, now, now)
        self._refused.append(begun)
        if len(self._refused) > MAX_REFUSED:
            oldest = self._refused.popleft()
            if self._newest[oldest.key] is oldest:
                del self._newest[oldest.key]


class RuleEngine:
    """Turns frames into alerts: one when an event begins, one for each higher level, and one when it is over.

    A rule is ``inactive`` while none of its last ``hold_frames`` frames matched, ``pending`` while some did, and
    ``firing`` while an event of it goes on. Time without frames ends no event, but after FORGET_S of it what was seen
    before counts for nothing (not where every frame takes so long), and after OUTAGE_S what went on is over. Raises
    ValueError for schedules that cannot be read.

    Synchronization: none; it belongs to the thread that looks at the frames.
    """

    def __init__(
        self,
        alerts: Alerts,
        *,
        camera_id: str,
        score_threshold: float = 0.0,
        labels: AlertLabels | None = None,
        new_uid: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._camera_id = camera_id
        self._labels = labels if labels is not None else AlertLabels()
        self._new_uid = new_uid
        self._schedules = Schedules(alerts.schedules, alerts.time_zone)
        self._kept = tuple(_Kept(rule, alerts, score_threshold, new_uid) for rule in alerts.rules)
        self._given_up: list[Told] = []  # events of rules that are gone
        self._inherited: tuple[Alert, ...] = ()
        self._looked_at: float | None = None
        self._gap = 0.0  # between the last two frames

    def update(self, look: Look) -> tuple[Alert, ...]:
        """The alerts of one frame, in the order of the rules."""
        self._note_outage(look.monotonic)
        self._take_over(look)
        scene = Scene(look.seen)
        holding = self._schedules.holding(look.now if look.wall_known else None)
        told, self._given_up = self._given_up, []
        for kept in self._kept:
            schedule = kept.watch.rule.schedule
            told += kept.look(scene, look, not schedule or schedule in holding)
        return tuple(self._alert(each, look) for each in told)

    def inherit(self, alerts: Sequence[Alert]) -> None:
        """Go on with events that fired before the program started and were not resolved then.

        They are no news: while they last nothing is told, and when they are over that is. What fired before the
        machine started is over: nobody knows how long it was without power, so what is seen then is another event.
        """
        self._inherited = tuple(alerts)

    def replace(self, alerts: Alerts, score_threshold: float) -> None:
        """Go on with other settings; a rule that stays the same in every field keeps what it remembers.

        The events of one that does not are resolved with the next frame. Raises ValueError, and changes nothing.
        """
        schedules = Schedules(alerts.schedules, alerts.time_zone)
        old = {kept.watch.rule: kept for kept in self._kept}
        kept = tuple(
            old.pop(rule) if rule in old else _Kept(rule, alerts, score_threshold, self._new_uid)
            for rule in alerts.rules
        )
        for each in kept:
            each.renew(alerts, score_threshold)
        for gone in old.values():
            self._given_up += [Told(gone.watch.rule.name, event, "resolved") for event in gone.watch.events]
        self._schedules, self._kept = schedules, kept

    def memories(self, monotonic: float) -> tuple[Memory, ...]:
        """What each rule remembers at the time ``monotonic``, in their order."""
        return tuple(kept.memory(monotonic) for kept in self._kept)

    def _note_outage(self, monotonic: float) -> None:
        """What a time without frames means."""
        gap = 0.0 if self._looked_at is None else monotonic - self._looked_at
        usual, self._gap, self._looked_at = self._gap, gap, monotonic
        if gap <= min(OUTAGE_S, max(FORGET_S, SLOWER * usual)):
            return
        for kept in self._kept:
            kept.watch.pause(monotonic)
            if gap > OUTAGE_S:
                events = kept.watch.give_up(monotonic)
                self._given_up += [Told(kept.watch.rule.name, event, "resolved") for event in events]

    def _take_over(self, look: Look) -> None:
        inherited, self._inherited = self._inherited, ()
        watches = {kept.watch.rule.name: kept.watch for kept in self._kept}
        for alert in inherited:
            event = Event(
                uid=alert.event_uid,
                level=alert.threat_level,
                began_at=look.monotonic - (max(0.0, look.now - alert.timestamp) if look.wall_known else 0.0),
                matched_at=look.monotonic,
                match=_match_of(alert),
            )
            place = alert.location[0] / max(1, look.size[0]), alert.location[1] / max(1, look.size[1])
            watch = watches.get(alert.rule)
            if watch is None or not _may_go_on(alert, look) or not watch.adopt(event, place):
                self._given_up.append(Told(alert.rule, event, "resolved"))

    def _alert(self, told: Told, look: Look) -> Alert:
        match = told.event.match
        x, y = match.leader.box.centre
        return Alert(
            alert_id=self._labels.label(look.now),
            timestamp=look.now,
            camera_id=self._camera_id,
            rule=told.rule,
            threat_level=told.event.level,
            confidence=match.leader.confidence,
            threat_types=match.threat_types,
            location=(round(x), round(y)),
            detection_count=match.count,
            frame_id=look.frame_id,
            event_uid=told.event.uid,
            state=told.state,
            tracks=match.tracks,
        )


def _line(alerts: Alerts, rule: Rule) -> Line | None:
    return next((line for line in alerts.lines if line.name == rule.line), None)


def _may_go_on(alert: Alert, look: Look) -> bool:
    """Whether it fired since the machine started, when its monotonic clock began; a clock that went back tells less."""
    return -OUTAGE_S <= look.now - alert.timestamp <= look.monotonic


def _match_of(alert: Alert) -> Match:
    """What is known of a match whose alert is all that is left."""
    x, y = alert.location
    name = alert.threat_types[0] if alert.threat_types else ""
    leader = Detection(-1, name, alert.confidence, Box(x, y, x, y))
    return Match(leader, alert.threat_types, alert.detection_count, alert.tracks)
