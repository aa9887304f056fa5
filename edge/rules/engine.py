"""Alert rules: what the detector sees, followed over time, becomes alerts."""

from __future__ import annotations

import uuid
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from edge.config import Alerts, Rule
from edge.geometry import Box
from edge.rules.condition import Condition, Match, Reason, Refusal, Sighting
from edge.rules.events import Event, Moment, RuleState, Told, Watch
from edge.rules.labels import AlertLabels
from edge.rules.objects import ObjectWatch
from edge.rules.scenes import SceneWatch
from edge.rules.times import Schedules
from edge.types import Alert, Detection

MAX_REFUSED = 16  # of each rule; the oldest goes
SAME_REFUSAL_S = 2.0  # the same reason again within this is the same candidate


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
        line = next((line for line in alerts.lines if line.name == rule.line), None)
        self.watch: Watch = (
            SceneWatch(rule, condition, new_uid, self._refuse)
            if rule.when == "seen"
            else ObjectWatch(rule, condition, new_uid, self._refuse, line)
        )
        self.fired_at: float | None = None
        self.looked_at: float | None = None
        self._refused: deque[Refused] = deque(maxlen=MAX_REFUSED)
        self._counts: Counter[Reason] = Counter()
        self._now = 0.0

    def look(self, seen: Sequence[Sighting], look: Look, in_time: bool) -> list[Told]:
        self._now = self.looked_at = look.monotonic
        verdict = self.watch.condition.look(seen)
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
        self._counts[refusal.reason] += 1
        for known in self._refused:
            same = known.refusal.reason == refusal.reason and known.track_id == track_id
            if same and self._now - known.until <= SAME_REFUSAL_S:
                known.refusal, known.until, known.frames = refusal, self._now, known.frames + 1
                return
        self._refused.append(Refused(refusal, track_id, self._now, self._now))


class RuleEngine:
    """Turns frames into alerts: one when an event begins, one for each higher level, and one when it is over.

    A rule is ``inactive`` while none of its last ``hold_frames`` frames matched, ``pending`` while some did, and
    ``firing`` while an event of it goes on. Raises ConfigError for schedules that cannot be read.

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
        self._alerts = alerts
        self._score_threshold = score_threshold
        self._schedules = Schedules(alerts.schedules, alerts.time_zone)
        self._kept = tuple(_Kept(rule, alerts, score_threshold, new_uid) for rule in alerts.rules)
        self._given_up: list[Told] = []  # events of rules that are gone
        self._inherited: tuple[Alert, ...] = ()

    def update(self, look: Look) -> tuple[Alert, ...]:
        """The alerts of one frame, in the order of the rules."""
        self._take_over(look)
        seen = sorted(look.seen, key=lambda sighting: -sighting.detection.confidence)
        wall = look.now if look.wall_known else None
        told, self._given_up = self._given_up, []
        for kept in self._kept:
            told += kept.look(seen, look, self._schedules.holds(kept.watch.rule.schedule, wall))
        return tuple(self._alert(each, look) for each in told)

    def inherit(self, alerts: Sequence[Alert]) -> None:
        """Go on with events that fired before the program started and were not resolved then.

        They are no news: while they last nothing is told, and when they are over that is.
        """
        self._inherited = tuple(alerts)

    def replace(self, alerts: Alerts, score_threshold: float) -> None:
        """Go on with other settings; a rule that stays the same in every field keeps what it remembers.

        The events of one that does not are resolved with the next frame. Raises ConfigError, and changes nothing.
        """
        schedules = Schedules(alerts.schedules, alerts.time_zone)
        same_ground = (alerts.lines, score_threshold) == (self._alerts.lines, self._score_threshold)
        old = {kept.watch.rule: kept for kept in self._kept} if same_ground else {}
        kept = tuple(old.get(rule) or _Kept(rule, alerts, score_threshold, self._new_uid) for rule in alerts.rules)
        for gone in self._kept:
            if gone not in kept:
                self._given_up += [Told(gone.watch.rule, event, "resolved") for event in gone.watch.events]
        self._alerts, self._schedules, self._kept, self._score_threshold = alerts, schedules, kept, score_threshold

    def memories(self, monotonic: float) -> tuple[Memory, ...]:
        """What each rule remembers at the time ``monotonic``, in their order."""
        return tuple(kept.memory(monotonic) for kept in self._kept)

    def _take_over(self, look: Look) -> None:
        inherited, self._inherited = self._inherited, ()
        watches = {kept.watch.rule.name: kept.watch for kept in self._kept}
        for alert in inherited:
            event = Event(
                uid=alert.event_uid,
                level=alert.threat_level,
                began_at=look.monotonic - max(0.0, look.now - alert.timestamp if look.wall_known else 0.0),
                matched_at=look.monotonic,
                match=_match_of(alert),
            )
            watch = watches.get(alert.rule)
            if watch is None:
                gone = Rule(name=alert.rule, level=alert.threat_level, any=alert.threat_types or ("?",))
                self._given_up.append(Told(gone, event, "resolved"))
            else:
                watch.adopt(event, (alert.location[0] / max(1, look.size[0]), alert.location[1] / max(1, look.size[1])))

    def _alert(self, told: Told, look: Look) -> Alert:
        match = told.event.match
        x, y = match.leader.box.centre
        return Alert(
            alert_id=self._labels.label(look.now),
            timestamp=look.now,
            camera_id=self._camera_id,
            rule=told.rule.name,
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


def _match_of(alert: Alert) -> Match:
    """What is known of a match whose alert is all that is left."""
    x, y = alert.location
    name = alert.threat_types[0] if alert.threat_types else ""
    leader = Detection(-1, name, alert.confidence, Box(x, y, x, y))
    return Match(leader, alert.threat_types, alert.detection_count, alert.tracks)
