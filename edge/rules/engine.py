"""Alert rules: what the detector sees, held over frames, becomes an alert."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from edge.config import Rule
from edge.rules.labels import AlertLabels
from edge.types import Alert, Detection

RuleState: TypeAlias = Literal["inactive", "pending", "firing"]


def fold(class_name: str) -> str:
    """The form in which class names are compared: label files differ in case and in spaces at the ends."""
    return class_name.strip().casefold()


def crime_relevant(detections: Sequence[Detection], names: Iterable[str]) -> tuple[bool, ...]:
    """For each detection, whether its class is one of ``names``."""
    wanted = frozenset(map(fold, names))
    return tuple(fold(detection.class_name) in wanted for detection in detections)


@dataclass(frozen=True, slots=True)
class Match:
    """Why one frame matched a rule.

    ``leader`` is the detection that weighs most: the most confident one of ``any``, or, in a rule without ``any``, of
    the first class of ``all``. ``threat_types`` starts with its class. ``count`` is the number of detections of the
    list that the leader comes from: two knives and a person under "a knife, with a person" are 2, as the customer's
    guide counts one knife with a person as 1.
    """

    leader: Detection
    threat_types: tuple[str, ...]
    count: int


class Condition:
    """The part of a rule that looks at one frame.

    Detections below ``min_confidence`` count for nothing, for ``none`` too: a doubtful detection must not suppress an
    alert. So of "knife with a person" and "knife without one", one or the other matches whatever the person scores.
    """

    def __init__(self, rule: Rule) -> None:
        self._any = tuple(map(fold, rule.any))
        self._all = tuple(map(fold, rule.all))
        self._none = tuple(map(fold, rule.none))
        self._min_confidence = rule.min_confidence

    def concerns(self, detections: Sequence[Detection]) -> bool:
        """Whether a class that may lead an alert of this rule is seen, however doubtful."""
        leading = self._any or self._all
        return any(fold(detection.class_name) in leading for detection in detections)

    def match(self, detections: Sequence[Detection]) -> Match | None:
        """What matched in a frame with these detections, or None. A rule that asks for no class never matches."""
        seen: dict[str, list[Detection]] = {}
        for detection in sorted(detections, key=lambda each: -each.confidence):
            if detection.confidence >= self._min_confidence:
                seen.setdefault(fold(detection.class_name), []).append(detection)
        any_seen = [name for name in seen if name in self._any]  # the most confident class first
        if (self._any and not any_seen) or not seen.keys() >= set(self._all) or not seen.keys().isdisjoint(self._none):
            return None
        classes = tuple(dict.fromkeys((*any_seen, *self._all)))
        if not classes:
            return None
        return Match(
            leader=seen[classes[0]][0],
            threat_types=tuple(seen[name][0].class_name for name in classes),
            count=sum(len(seen[name]) for name in (any_seen or classes)),
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A frame that showed what a rule looks for, and on which it did not fire.

    ``matched``: whether the frame matched all the same. ``hits`` of the frames up to it did, and ``cooldown_s``
    seconds of quiet were left at that moment. ``monotonic`` is the frame's time.
    """

    monotonic: float
    detections: tuple[Detection, ...]
    matched: bool
    hits: int
    cooldown_s: float


@dataclass(frozen=True, slots=True)
class Memory:
    """What a rule remembers: ``hits`` of the last frames matched, ``cooldown_s`` seconds of quiet are left.

    ``looked_at`` and ``fired_at`` are monotonic times of the last frame and of the last alert, None where there was
    none. ``candidate`` is the last one since the last alert.
    """

    rule: Rule
    state: RuleState
    hits: int
    cooldown_s: float
    looked_at: float | None
    fired_at: float | None
    candidate: Candidate | None


class _Watch:
    """One rule and what it remembers: whether the last ``hold_frames`` frames matched, and when it may fire again."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._condition = Condition(rule)
        self._matched: deque[bool] = deque(maxlen=rule.hold_frames)
        self._fired_at: float | None = None
        self._looked_at: float | None = None
        self._candidate: Candidate | None = None

    @property
    def state(self) -> RuleState:
        hits = sum(self._matched)
        if hits >= self.rule.hold_hits:
            return "firing"
        return "pending" if hits else "inactive"

    def look(self, detections: Sequence[Detection], monotonic: float) -> Match | None:
        """Take in one frame; the match when the rule fires on it."""
        match = self._condition.match(detections)
        self._matched.append(match is not None)
        self._looked_at = monotonic
        cooldown_s = self._cooldown(monotonic)
        if match is not None and self.state == "firing" and not cooldown_s:
            self._fired_at, self._candidate = monotonic, None
            return match
        if self._condition.concerns(detections):
            hits = sum(self._matched)
            self._candidate = Candidate(monotonic, tuple(detections), match is not None, hits, cooldown_s)
        return None

    def memory(self, monotonic: float) -> Memory:
        return Memory(
            rule=self.rule,
            state=self.state,
            hits=sum(self._matched),
            cooldown_s=self._cooldown(monotonic),
            looked_at=self._looked_at,
            fired_at=self._fired_at,
            candidate=self._candidate,
        )

    def _cooldown(self, monotonic: float) -> float:
        """The seconds of quiet that are left."""
        return 0.0 if self._fired_at is None else max(0.0, self.rule.cooldown_s - (monotonic - self._fired_at))


class RuleEngine:
    """Turns each frame's detections into alerts.

    A rule is ``inactive`` while none of its last ``hold_frames`` frames matched, ``pending`` while some did, and
    ``firing`` while ``hold_hits`` of them did. It gives an alert on a matching frame that finds it firing, and then
    none for ``cooldown_s``: a threat that stays is told again after each cooldown, one that flickers is not.

    Synchronization: none; it belongs to the thread that looks at the frames.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        camera_id: str,
        labels: AlertLabels | None = None,
        new_uid: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._watches = tuple(map(_Watch, rules))
        self._camera_id = camera_id
        self._labels = labels if labels is not None else AlertLabels()
        self._new_uid = new_uid

    def update(
        self, detections: Sequence[Detection], *, now: float, monotonic: float, frame_id: int
    ) -> tuple[Alert, ...]:
        """The alerts of one frame, in the order of the rules.

        ``now`` is the frame's Unix time, for the alert. ``monotonic`` is its time in seconds on a clock that never
        goes back: cooldowns run on it, since a wall clock may step.
        """
        fired = [(watch.rule, watch.look(detections, monotonic)) for watch in self._watches]
        return tuple(self._alert(rule, match, now, frame_id) for rule, match in fired if match is not None)

    def replace(self, rules: Sequence[Rule]) -> None:
        """Go on with ``rules``; one that was there already, the same in every field, keeps what it remembers."""
        kept = {watch.rule.name: watch for watch in self._watches}
        self._watches = tuple(
            kept[rule.name] if rule.name in kept and kept[rule.name].rule == rule else _Watch(rule) for rule in rules
        )

    def memories(self, monotonic: float) -> tuple[Memory, ...]:
        """What each rule remembers at the time ``monotonic``, in their order."""
        return tuple(watch.memory(monotonic) for watch in self._watches)

    def _alert(self, rule: Rule, match: Match, now: float, frame_id: int) -> Alert:
        x, y = match.leader.box.centre
        return Alert(
            alert_id=self._labels.label(now),
            timestamp=now,
            camera_id=self._camera_id,
            rule=rule.name,
            threat_level=rule.level,
            confidence=match.leader.confidence,
            threat_types=match.threat_types,
            location=(round(x), round(y)),
            detection_count=match.count,
            frame_id=frame_id,
            event_uid=self._new_uid(),
        )
