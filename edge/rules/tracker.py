"""Which box of this frame is which object of the last ones.

The association is ByteTrack's (Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box",
ECCV 2022): sure detections are given to tracks first, then doubtful ones to the tracks that are left, since a box that
scores low is more often a hidden object than none; only sure ones begin a track. Boxes are compared after each is
grown by a share of its size, as C-BIoU does (Yang et al., "Hard to Track Objects with Irregular Motions and Similar
Appearances?", WACV 2023): a small thing that moves by a little more than its own width between two frames keeps its
number. Between frames a track goes on at its velocity, which a first-order filter smooths.

Some models give two boxes for one body. So a box that mostly lies in an object of its class, or the object in it, and
that is not far smaller, is that object's double at first: when only the double is seen it is the object, and when the
two are apart for some frames it is an object of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.geometry import Box
from edge.types import Detection, Track

GROWN = 0.4  # each box by this share of its width and height, on every side
SURE_OVERLAP = 0.2  # least overlap, grown, of a track and a sure detection
DOUBTFUL_OVERLAP = 0.4  # and a doubtful one
SECOND_OVERLAP = 0.5  # and a sure one where another box explains more: it may be a second look, or noise
COVERED = 0.7  # share of the smaller of two boxes of a class from which they may well be one object
FAR_SMALLER = 0.15  # of the larger one's area: what is smaller than this is somebody behind, no second look
APART_FRAMES = 3  # in a row, after which a double is an object of its own
VELOCITY_S = 0.3  # time constant of the velocity: the boxes of a detector tremble
FIRST_GAP_S = 0.01  # frames closer than this tell nothing about velocity
COAST_S = 1.0  # an object that is not seen goes on so long, and then stays where it is expected
NEW_S = 0.5  # a new object is not remembered longer than it was there, but for so long,
NEW_FRAMES = 2.0  # and for so many frames
SLOWER = 1.5  # frames come slowly where it is not longer than so many times as long as the last time until the next
MOST_LOST = 256  # objects that are not seen are remembered, those seen last

Boxes = NDArray[np.float64]  # shape (n, 4): xmin, ymin, xmax, ymax


class _Object:
    """What is known of one object; ``original`` is the one whose double it may be."""

    __slots__ = ("apart", "began_at", "box", "detection", "hits", "original", "seen_at", "track_id", "velocity")

    def __init__(self, track_id: int, detection: Detection, monotonic: float, original: _Object | None) -> None:
        self.track_id = track_id
        self.detection = detection
        self.box = detection.box  # where it is now, or is expected
        self.began_at = self.seen_at = monotonic
        self.velocity = (0.0, 0.0)
        self.hits = 1
        self.original = original
        self.apart = 0  # frames in a row in which it was away from its original

    def go_on(self, before: float, monotonic: float) -> None:
        """Expect it at this time where its velocity takes it from where it was at the time ``before``."""
        moving = min(monotonic, self.seen_at + COAST_S) - before
        if moving > 0 and self.velocity != (0.0, 0.0):
            self.box = self.box.shift(self.velocity[0] * moving, self.velocity[1] * moving)

    def see(self, detection: Detection, monotonic: float) -> None:
        gap = monotonic - self.seen_at
        if gap >= FIRST_GAP_S:
            (x, y), (x0, y0) = detection.box.centre, self.detection.box.centre
            share = 1.0 if self.hits == 1 else 1.0 - math.exp(-gap / VELOCITY_S)
            vx, vy = self.velocity
            self.velocity = (vx + share * ((x - x0) / gap - vx), vy + share * ((y - y0) / gap - vy))
        self.detection, self.box, self.seen_at = detection, detection.box, monotonic
        self.hits += 1

    def part(self) -> None:
        """Once more both it and its original were seen."""
        if self.original is not None:
            self.apart = 0 if _covers(self.original.box, self.box) else self.apart + 1
            if self.apart >= APART_FRAMES:
                self.original = None

    def track(self, monotonic: float) -> Track:
        return Track(
            self.track_id,
            self.detection,
            self.box,
            self.began_at,
            self.seen_at,
            self.velocity,
            self.hits,
            self.seen_at == monotonic,
        )


class Tracker:
    """Gives each detection the number of its object.

    Detections of ``score_threshold`` and more are sure. An object that was not seen for ``max_lost_s`` seconds is
    over, a new one sooner; its number is never given again. Where frames come more slowly than that, all are remembered
    from one to the next. Both settings may be changed between two frames. Objects of
    different classes are never the same. The order of a frame's detections plays no part where their scores differ.

    Synchronization: none; it belongs to the thread that looks at the frames.
    """

    def __init__(self, *, score_threshold: float, max_lost_s: float = 2.0, first_id: int = 1) -> None:
        self.score_threshold = score_threshold
        self.max_lost_s = max_lost_s
        self._next_id = first_id
        self._objects: list[_Object] = []
        self._at = -math.inf
        self._gap = 0.0  # between the last two frames

    @property
    def alive(self) -> frozenset[int]:
        """The numbers of all objects that are not over, doubles left out."""
        return frozenset(each.track_id for each in self._objects if each.original is None)

    @property
    def tracks(self) -> tuple[Track, ...]:
        """All objects that are not over, doubles left out, in the order in which they appeared."""
        return tuple(each.track(self._at) for each in self._objects if each.original is None)

    def update(self, detections: Sequence[Detection], monotonic: float) -> tuple[Track | None, ...]:
        """The object of each detection of a frame at this time; None where it is none, or a double."""
        usual, self._gap = self._gap, monotonic - self._at
        least = max(NEW_S, NEW_FRAMES * self._gap)
        most = max(self.max_lost_s, min(self._gap, SLOWER * usual))
        self._objects = [each for each in self._objects if monotonic - each.seen_at <= _patience(each, least, most)]
        for each in self._objects:
            each.go_on(self._at, monotonic)
        self._at = monotonic
        found: list[_Object | None] = [None] * len(detections)
        self._associate(detections, found)
        sure = (index for index, seen in enumerate(detections) if seen.confidence >= self.score_threshold)
        new = [index for index in sure if found[index] is None]
        for index in sorted(new, key=lambda index: -detections[index].confidence):
            found[index] = self._begin(detections[index])
        self._objects = _kept(self._objects, monotonic)
        return tuple(None if each is None or each.original else each.track(monotonic) for each in found)

    def _associate(self, detections: Sequence[Detection], found: list[_Object | None]) -> None:
        """Fill in the object of each detection that is a known one's."""
        if not detections or not self._objects:
            return
        boxes = _corners([seen.box for seen in detections])
        overlaps = _overlaps(_grown(boxes), _grown(_corners([each.box for each in self._objects])))
        overlaps *= _alike(detections, [each.detection for each in self._objects])
        sure = np.array([seen.confidence >= self.score_threshold for seen in detections])
        chosen = _best_pairs(overlaps * sure[:, None], SURE_OVERLAP)
        weak = [index for index, place in chosen.items() if overlaps[index, place] < SECOND_OVERLAP]
        for index in weak:
            others = (detections[other] for other in chosen if other not in weak)
            fits_better = overlaps[~sure, chosen[index]].max(initial=0.0) >= 2 * overlaps[index, chosen[index]]
            if fits_better or any(_is_double(other, detections[index]) for other in others):
                del chosen[index]
        self._see(chosen, detections, found)
        if not sure.all():
            overlaps *= (~sure & ~_covered(boxes, detections, list(chosen)))[:, None]
            overlaps *= [each.original is None and each.seen_at != self._at for each in self._objects]
            self._see(_best_pairs(overlaps, DOUBTFUL_OVERLAP), detections, found)

    def _see(self, pairs: dict[int, int], detections: Sequence[Detection], found: list[_Object | None]) -> None:
        doubles = []
        for index, place in pairs.items():
            found[index] = known = self._objects[place]
            known.see(detections[index], self._at)
            if known.original is not None:
                doubles.append(index)
        for index in doubles:
            double = found[index]
            if double is None or double.original is None:
                continue
            if double.original.seen_at == self._at:
                double.part()
            else:  # only the double is seen: that is where the object is
                found[index] = double.original
                double.original.see(detections[index], self._at)
                double.seen_at = -math.inf

    def _begin(self, detection: Detection) -> _Object:
        seen = (each for each in self._objects if each.seen_at == self._at)
        original = next((each.original or each for each in seen if _is_double(each.detection, detection)), None)
        begun = _Object(self._next_id, detection, self._at, original)
        self._next_id += 1
        self._objects.append(begun)
        return begun


def _patience(known: _Object, least: float, most: float) -> float:
    """How long it is remembered while it is not seen: what was seen once is mostly noise, and in others' way."""
    return min(most, max(least, known.seen_at - known.began_at))


def _kept(objects: Sequence[_Object], monotonic: float) -> list[_Object]:
    """Those to remember: all that were seen, doubles only while they are, and not too many that were not."""
    lost = [each for each in objects if each.original is None and each.seen_at != monotonic]
    if len(lost) > MOST_LOST:
        lost = sorted(lost, key=lambda each: each.seen_at)[-MOST_LOST:]
    remembered = set(lost)
    return [each for each in objects if each.seen_at == monotonic or each in remembered]


def _is_double(first: Detection, second: Detection) -> bool:
    """Whether one may be a second look at the other."""
    if first.class_id != second.class_id or not _covers(first.box, second.box):
        return False
    smaller, larger = sorted((first.box.area, second.box.area))
    return smaller >= FAR_SMALLER * larger


def _covers(first: Box, second: Box) -> bool:
    return first.intersection(second) >= COVERED * min(first.area, second.area)


def _alike(first: Sequence[Detection], second: Sequence[Detection]) -> NDArray[np.bool_]:
    """Whether each is of the class of each: shape (n, m)."""
    classes = [np.array([detection.class_id for detection in detections]) for detections in (first, second)]
    alike: NDArray[np.bool_] = np.equal.outer(classes[0], classes[1])
    return alike


def _covered(boxes: Boxes, detections: Sequence[Detection], chosen: Sequence[int]) -> NDArray[np.bool_]:
    """Whether each shares most of its box, or of the other's, with a chosen one of its class: shape (n,)."""
    if not chosen:
        return np.zeros(len(detections), dtype=np.bool_)
    others = boxes[chosen]
    common = _common(boxes, others)
    smaller = np.minimum(_areas(boxes)[:, None], _areas(others)[None, :])
    alike = _alike(detections, [detections[index] for index in chosen])
    covered: NDArray[np.bool_] = np.any((common >= COVERED * smaller) & alike, axis=1)
    return covered


def _best_pairs(overlaps: Boxes, least: float) -> dict[int, int]:
    """Rows to columns, the pair that overlaps most first; each at most once."""
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    rows, columns = np.nonzero(overlaps >= least)
    order = np.argsort(-overlaps[rows, columns], kind="stable")
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in pairs and column not in taken:
            pairs[row] = column
            taken.add(column)
    return pairs


def _corners(boxes: Sequence[Box]) -> Boxes:
    return np.array([(box.xmin, box.ymin, box.xmax, box.ymax) for box in boxes], dtype=np.float64)


def _grown(boxes: Boxes) -> Boxes:
    size = (boxes[:, 2:] - boxes[:, :2]) * GROWN
    return np.concatenate((boxes[:, :2] - size, boxes[:, 2:] + size), axis=1)


def _areas(boxes: Boxes) -> Boxes:
    areas: Boxes = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas


def _common(first: Boxes, second: Boxes) -> Boxes:
    """The area that each has in common with each: shape (n, m)."""
    common: Boxes = _shared(first, second, 0) * _shared(first, second, 1)
    return common


def _shared(first: Boxes, second: Boxes, axis: int) -> Boxes:
    """The length that each has in common with each along the axis: shape (n, m)."""
    shared: Boxes = np.minimum.outer(first[:, axis + 2], second[:, axis + 2])
    shared -= np.maximum.outer(first[:, axis], second[:, axis])
    return np.maximum(shared, 0.0, out=shared)


def _overlaps(first: Boxes, second: Boxes) -> Boxes:
    """Intersection over union of each with each: shape (n, m)."""
    common = _common(first, second)
    union = _areas(first)[:, None] + _areas(second)[None, :] - common
    overlaps: Boxes = np.divide(common, union, out=np.zeros_like(common), where=union > 0.0)
    return overlaps
