"""What one frame shows, and what of it a rule is about: the part of a rule that knows no time."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from edge.config import Rule, Zone
from edge.geometry import Box
from edge.rules.places import Anchor, Area, Point, anchor, gap
from edge.types import Detection, Track

# Why an object that a rule looks for did not lead to an alert, in the order in which it is looked at.
Reason: TypeAlias = Literal[
    "mask", "score", "size", "class", "near", "none", "schedule", "zone", "count", "hold", "dwell", "cooldown"
]
NOWHERE: frozenset[str] = frozenset()


def fold(class_name: str) -> str:
    """The form in which class names are compared: label files differ in case and in spaces at the ends."""
    return class_name.strip().casefold()


def crime_relevant(detections: Sequence[Detection], names: Iterable[str]) -> tuple[bool, ...]:
    """For each detection, whether its class is one of ``names``."""
    wanted = frozenset(map(fold, names))
    return tuple(fold(detection.class_name) in wanted for detection in detections)


class Refusal(NamedTuple):
    """Why not; its words are only put together where somebody reads them."""

    reason: Reason
    form: str
    parts: tuple[object, ...] = ()

    @property
    def text(self) -> str:
        """For people."""
        return self.form.format(*self.parts)


class Sighting(NamedTuple):
    """One detection of a frame: ``place`` is its box in fractions of the picture, ``zones`` are those it is in.

    ``name`` is its folded class name, ``mask`` the excluding zone that it is in, or empty.
    """

    detection: Detection
    name: str
    place: Box
    track: Track | None = None
    zones: frozenset[str] = NOWHERE
    mask: str = ""

    @property
    def track_id(self) -> int | None:
        return None if self.track is None else self.track.track_id


def sightings(
    detections: Sequence[Detection], tracks: Sequence[Track | None], size: tuple[int, int], zones: Sequence[Zone]
) -> tuple[Sighting, ...]:
    """What a frame of ``size`` (width, height) pixels shows, one for each detection; ``tracks`` are their objects."""
    x, y = 1 / max(1, size[0]), 1 / max(1, size[1])
    areas = [Area(zone) for zone in zones]
    return tuple(
        _sighting(detection, track, detection.box.scale(x, y), areas)
        for detection, track in zip(detections, tracks, strict=True)
    )


def _sighting(detection: Detection, track: Track | None, place: Box, areas: Sequence[Area]) -> Sighting:
    names, mask = NOWHERE, ""
    spots: dict[Anchor, Point] = {"bottom": anchor(place, "bottom"), "center": anchor(place, "center")}
    inside = [area.zone for area in areas if area.holds(place, spots)]
    if inside:
        names = frozenset(zone.name for zone in inside if zone.kind == "include")
        mask = next((zone.name for zone in inside if zone.kind == "exclude"), "")
    return Sighting(detection, fold(detection.class_name), place, track, names, mask)


class Scene:
    """A frame's sightings by class, in each the most confident first.

    Synchronization: none needed; it never changes.
    """

    def __init__(self, seen: Iterable[Sighting]) -> None:
        self._by_name: dict[str, list[Sighting]] = {}
        for sighting in sorted(seen, key=_doubt):
            self._by_name.setdefault(sighting.name, []).append(sighting)

    def of(self, names: Collection[str]) -> Sequence[Sighting]:
        """Those of these classes, the most confident first."""
        there = [self._by_name[name] for name in names if name in self._by_name]
        if len(there) == 1:
            return there[0]
        return sorted((sighting for each in there for sighting in each), key=_doubt)


class Leader(NamedTuple):
    """An object of a class that may lead an alert.

    ``refusal`` is why it does not, zones left aside; ``inside`` whether it is in one of the rule's zones. ``with_it``
    are the objects of the rule's other classes.
    """

    sighting: Sighting
    refusal: Refusal | None
    inside: bool
    with_it: tuple[Sighting, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """Why one frame matched a rule.

    ``leader`` is the detection that weighs most: the most confident one of ``any``, or, in a rule without ``any``, of
    the first class of ``all``. ``threat_types`` starts with its class. ``count`` is the number of detections of the
    list that the leader comes from: two knives and a person under "a knife, with a person" are 2, as the customer's
    guide counts one knife with a person as 1. ``tracks`` are the numbers of the objects that took part.
    """

    leader: Detection
    threat_types: tuple[str, ...]
    count: int
    tracks: tuple[int, ...] = ()


Named: TypeAlias = Sequence[tuple[str, Sequence[Sighting]]]  # a class's name as the rule writes it, and its objects


class Verdict(NamedTuple):
    """What a rule makes of a frame: its ``leaders``, the ``match`` of all of them together, or why there is none."""

    leaders: Sequence[Leader] = ()
    match: Match | None = None
    refusal: Refusal | None = None


class Condition:
    """The part of ``rule`` that looks at one frame.

    Detections below ``min_confidence`` count for nothing, for ``none`` too: a doubtful detection must not suppress an
    alert. So of "knife with a person" and "knife without one", one or the other matches whatever the person scores.
    ``score_threshold`` is the least that the detector calls an object; what is below is there to tell why.

    Synchronization: none needed; it never changes.
    """

    def __init__(self, rule: Rule, score_threshold: float = 0.0) -> None:
        others = rule.all if rule.any else rule.all[1:]
        self.rule = rule
        self._least = max(rule.min_confidence, score_threshold)
        self._least_name = "min_confidence" if rule.min_confidence == self._least else "detector.score_threshold"
        self._highest = rule.max_size if rule.max_size < 1.0 else math.inf  # a box may reach out of the picture
        self._zones = frozenset(rule.zones)
        self._leading = frozenset(map(fold, rule.leading))
        self._others = tuple((fold(name), name) for name in others)
        self._none = tuple((fold(name), name) for name in rule.none)

    def look(self, scene: Scene) -> Verdict:
        """Judge a frame."""
        candidates = scene.of(self._leading)
        if not candidates:
            return Verdict()
        others = [(name, scene.of((folded,))) for folded, name in self._others]
        barred = [(name, there) for folded, name in self._none if (there := self._sure(scene.of((folded,))))]
        leaders = [self._leader(candidate, others, barred) for candidate in candidates]
        passing = [leader for leader in leaders if leader.refusal is None and leader.inside]
        if self.rule.when != "seen":
            return Verdict(leaders)  # each by itself
        objects = [leader for leader in passing if leader.sighting.track is not None] or passing  # no doubles
        if len(objects) < self.rule.min_count:
            return Verdict(leaders, None, self._why_none(leaders, len(objects)))
        return Verdict(leaders, self.match_of(passing))

    def match_of(self, passing: Sequence[Leader]) -> Match:
        """What these leaders, the most confident first, make together."""
        first = passing[0]
        taking_part = [leader.sighting for leader in passing] + list(first.with_it)
        tracks = (sighting.track_id for sighting in taking_part)
        return Match(
            leader=first.sighting.detection,
            threat_types=tuple(dict.fromkeys(sighting.detection.class_name for sighting in taking_part)),
            count=len(passing) if self.rule.any else len(taking_part),
            tracks=tuple(dict.fromkeys(track_id for track_id in tracks if track_id is not None)),
        )

    def outside(self, seen: Sighting) -> Refusal:
        """What to say of an object that is in none of the rule's zones."""
        return Refusal("zone", "{} is not in {}", (seen.detection.class_name, " or ".join(self.rule.zones)))

    def _leader(self, candidate: Sighting, others: Named, barred: Named) -> Leader:
        inside = not self._zones or not candidate.zones.isdisjoint(self._zones)
        refusal = self._own_refusal(candidate)
        if refusal is None and barred:
            refusal = self._unwanted(candidate, barred)
        if refusal is not None or not others:
            return Leader(candidate, refusal, inside)
        with_it: list[Sighting] = []
        for name, there in others:
            found = self._other(candidate, name, there)
            if isinstance(found, Refusal):
                return Leader(candidate, found, inside)
            with_it.append(found)
        return Leader(candidate, None, inside, tuple(with_it))

    def _own_refusal(self, seen: Sighting) -> Refusal | None:
        rule = self.rule
        if seen.mask:
            return Refusal("mask", "{} is in the excluded zone {}", (seen.detection.class_name, seen.mask))
        if seen.detection.confidence < self._least:
            return self._below(seen)
        height = seen.place.height
        if rule.min_size <= height <= self._highest:
            return None
        name, limit = ("min_size", rule.min_size) if height < rule.min_size else ("max_size", rule.max_size)
        form = "{} is {:.2f} of the picture high, {} is {:g}"
        return Refusal("size", form, (seen.detection.class_name, height, name, limit))

    def _other(self, leader: Sighting, name: str, there: Sequence[Sighting]) -> Sighting | Refusal:
        """The object of another class of the rule that goes with the leader, or why there is none."""
        if there and there[0].name == leader.name:
            return leader
        sure = self._sure(there)
        if not sure:
            doubtful = next((sighting for sighting in there if not sighting.mask), None)
            return Refusal("class", "no {}", (name,)) if doubtful is None else self._below(doubtful, "class")
        if self.rule.near is None:
            return sure[0]
        nearest = min(sure, key=lambda sighting: gap(leader.place, sighting.place))
        away = gap(leader.place, nearest.place)
        if away <= self.rule.near:
            return nearest
        form = "{} is {:.2f} heights away from {}, near is {:g}"
        return Refusal("near", form, (name, away, leader.detection.class_name, self.rule.near))

    def _unwanted(self, leader: Sighting, barred: Named) -> Refusal | None:
        for name, there in barred:
            if self.rule.near is None:
                return Refusal("none", "{} is seen, and the rule asks for none", (name,))
            if any(gap(leader.place, sighting.place) <= self.rule.near for sighting in there):
                parts = (name, leader.detection.class_name)
                return Refusal("none", "{} is near {}, and the rule asks for none", parts)
        return None

    def _why_none(self, leaders: Sequence[Leader], passing: int) -> Refusal:
        if passing:
            return Refusal("count", "{} of the {} that min_count asks for", (passing, self.rule.min_count))
        refusals = (leader.refusal for leader in leaders if leader.refusal is not None)
        return next(refusals, None) or self.outside(leaders[0].sighting)

    def _sure(self, seen: Sequence[Sighting]) -> list[Sighting]:
        return [each for each in seen if not each.mask and each.detection.confidence >= self._least]

    def _below(self, seen: Sighting, reason: Reason = "score") -> Refusal:
        shown = math.floor(seen.detection.confidence * 100) / 100  # 0.499 is not 0.50
        parts = (seen.detection.class_name, shown, self._least_name, self._least)
        return Refusal(reason, "{} {:.2f} is below {} {:g}", parts)


def _doubt(seen: Sighting) -> float:
    return -seen.detection.confidence
