"""What one frame shows, and what of it a rule is about: the part of a rule that knows no time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from edge.config import Rule, Zone
from edge.geometry import Box
from edge.rules.places import gap, holds
from edge.types import Detection, Track

# Why an object that a rule looks for did not lead to an alert, in the order in which it is looked at.
Reason: TypeAlias = Literal[
    "mask", "score", "size", "zone", "class", "near", "none", "count", "schedule", "hold", "dwell", "cooldown"
]


def fold(class_name: str) -> str:
    """The form in which class names are compared: label files differ in case and in spaces at the ends."""
    return class_name.strip().casefold()


def crime_relevant(detections: Sequence[Detection], names: Iterable[str]) -> tuple[bool, ...]:
    """For each detection, whether its class is one of ``names``."""
    wanted = frozenset(map(fold, names))
    return tuple(fold(detection.class_name) in wanted for detection in detections)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not: ``text`` is for people."""

    reason: Reason
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """One detection of a frame: ``place`` is its box in fractions of the picture, ``zones`` are those it is in.

    ``mask`` is the excluding zone that it is in, or empty.
    """

    detection: Detection
    name: str
    place: Box
    track: Track | None = None
    zones: frozenset[str] = frozenset()
    mask: str = ""

    @property
    def track_id(self) -> int | None:
        return None if self.track is None else self.track.track_id


def sightings(
    detections: Sequence[Detection], tracks: Sequence[Track | None], size: tuple[int, int], zones: Sequence[Zone]
) -> tuple[Sighting, ...]:
    """What a frame of ``size`` (width, height) pixels shows, one for each detection; ``tracks`` are their objects."""
    width, height = max(1, size[0]), max(1, size[1])
    seen = []
    for detection, track in zip(detections, tracks, strict=True):
        place = detection.box.scale(1 / width, 1 / height)
        inside = [zone for zone in zones if holds(zone, place)]
        mask = next((zone.name for zone in inside if zone.kind == "exclude"), "")
        names = frozenset(zone.name for zone in inside if zone.kind == "include")
        seen.append(Sighting(detection, fold(detection.class_name), place, track, names, mask))
    return tuple(seen)


@dataclass(frozen=True, slots=True, eq=False)
class Leader:
    """An object of a class that may lead an alert. ``refusal`` is why it does not, zones left aside; ``inside``
    whether it is in one of the rule's zones. ``with_it`` are the objects of the rule's other classes."""

    sighting: Sighting
    refusal: Refusal | None
    inside: bool
    with_it: tuple[Sighting, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """Why one frame matched a rule.

    ``leader`` is the detection that weighs most: the most confident one of ``any``, or, in a rule without ``any``, of
    the first class of ``all``. ``threat_types`` starts with its class. ``count`` is the number of detections that
    could lead: two knives and a person under "a knife, with a person" are 2, as the customer's guide counts one knife
    with a person as 1.
    """

    leader: Detection
    threat_types: tuple[str, ...]
    count: int
    tracks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What a rule makes of a frame: its ``leaders``, the ``match`` of all of them together, or why there is none."""

    leaders: tuple[Leader, ...] = ()
    match: Match | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True)
class Condition:
    """The part of ``rule`` that looks at one frame.

    Detections below ``min_confidence`` count for nothing, for ``none`` too: a doubtful detection must not suppress an
    alert. So of "knife with a person" and "knife without one", one or the other matches whatever the person scores.
    ``score_threshold`` is the least that the detector calls an object; what is below is there to tell why.
    """

    rule: Rule
    score_threshold: float = 0.0
    _leading: frozenset[str] = field(init=False)
    _others: tuple[tuple[str, str], ...] = field(init=False)  # folded and as written

    def __post_init__(self) -> None:
        rule = self.rule
        others = rule.all if rule.any else rule.all[1:]
        object.__setattr__(self, "_leading", frozenset(map(fold, rule.leading)))
        object.__setattr__(self, "_others", tuple((fold(name), name) for name in others))

    def look(self, seen: Sequence[Sighting]) -> Verdict:
        """Judge a frame, whose sightings come the most confident first."""
        candidates = [sighting for sighting in seen if sighting.name in self._leading]
        if not candidates:
            return Verdict()
        sure = [sighting for sighting in seen if not sighting.mask and self._is_sure(sighting)]
        unwanted = self._unwanted(sure)
        leaders = tuple(self._leader(candidate, sure, seen, unwanted) for candidate in candidates)
        passing = [leader for leader in leaders if leader.refusal is None and leader.inside]
        if len(passing) < self.rule.min_count:
            return Verdict(leaders, None, self._why_none(leaders, len(passing)))
        return Verdict(leaders, self.match_of(passing))

    def match_of(self, passing: Sequence[Leader]) -> Match:
        """What these leaders, the most confident first, make together."""
        first = passing[0]
        taking_part = [leader.sighting for leader in passing] + list(first.with_it)
        tracks = (sighting.track_id for sighting in taking_part)
        return Match(
            leader=first.sighting.detection,
            threat_types=tuple(dict.fromkeys(sighting.detection.class_name for sighting in taking_part)),
            count=len(passing),
            tracks=tuple(dict.fromkeys(track_id for track_id in tracks if track_id is not None)),
        )

    def _leader(
        self, candidate: Sighting, sure: Sequence[Sighting], seen: Sequence[Sighting], unwanted: Refusal | None
    ) -> Leader:
        inside = not self.rule.zones or not candidate.zones.isdisjoint(self.rule.zones)
        refusal = self._own_refusal(candidate)
        if refusal is not None:
            return Leader(candidate, refusal, inside)
        with_it, refusal = self._company(candidate, sure, seen)
        return Leader(candidate, refusal or unwanted, inside, with_it)

    def _own_refusal(self, seen: Sighting) -> Refusal | None:
        rule, name, height = self.rule, seen.detection.class_name, seen.place.height
        if seen.mask:
            return Refusal("mask", f"{name} is in the excluded zone {seen.mask}")
        if not self._is_sure(seen):
            return Refusal("score", self._below(seen))
        if height < rule.min_size:
            return Refusal("size", f"{name} is {height:.2f} of the picture high, min_size is {rule.min_size:g}")
        if height > rule.max_size:
            return Refusal("size", f"{name} is {height:.2f} of the picture high, max_size is {rule.max_size:g}")
        return None

    def _company(
        self, leader: Sighting, sure: Sequence[Sighting], seen: Sequence[Sighting]
    ) -> tuple[tuple[Sighting, ...], Refusal | None]:
        """The objects of the rule's other classes that go with the leader, or what is missing."""
        found = []
        for folded, name in self._others:
            there = [sighting for sighting in sure if sighting.name == folded and sighting is not leader]
            if not there:
                doubtful = next((sighting for sighting in seen if sighting.name == folded), None)
                return (), Refusal("class", f"no {name}" if doubtful is None else self._below(doubtful))
            if self.rule.near is not None:
                nearest = min(there, key=lambda sighting: gap(leader.place, sighting.place))
                away = gap(leader.place, nearest.place)
                if away > self.rule.near:
                    text = f"{name} is {away:.2f} heights away from {leader.detection.class_name}"
                    return (), Refusal("near", f"{text}, near is {self.rule.near:g}")
                there = [nearest]
            found.append(there[0])
        return tuple(found), None

    def _unwanted(self, sure: Sequence[Sighting]) -> Refusal | None:
        for name in self.rule.none:
            if any(sighting.name == fold(name) for sighting in sure):
                return Refusal("none", f"{name} is seen, and the rule asks for none")
        return None

    def _why_none(self, leaders: Sequence[Leader], passing: int) -> Refusal:
        if passing:
            return Refusal("count", f"{passing} of the {self.rule.min_count} that min_count asks for")
        return next(
            (leader.refusal for leader in leaders if leader.refusal is not None), self.outside(leaders[0].sighting)
        )

    def outside(self, seen: Sighting) -> Refusal:
        """What to say of an object that is in none of the rule's zones."""
        return Refusal("zone", f"{seen.detection.class_name} is not in {' or '.join(self.rule.zones)}")

    def _is_sure(self, seen: Sighting) -> bool:
        return seen.detection.confidence >= max(self.rule.min_confidence, self.score_threshold)

    def _below(self, seen: Sighting) -> str:
        shown = math.floor(seen.detection.confidence * 100) / 100  # 0.499 is not 0.50
        least = max(self.rule.min_confidence, self.score_threshold)
        name = "min_confidence" if least == self.rule.min_confidence else "detector.score_threshold"
        return f"{seen.detection.class_name} {shown:.2f} is below {name} {least:g}"
