"""Which box of this frame is which object of the last ones.

The association is ByteTrack's (Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box",
ECCV 2022): sure detections are given to tracks first, then doubtful ones to the tracks that are left, since a box that
scores low is more often a hidden object than none; only sure ones begin a track. Boxes are compared after each is
grown by a share of its size, as C-BIoU does (Yang et al., "Hard to Track Objects with Irregular Motions and Similar
Appearances?", WACV 2023): a small thing that moves by more than its own width between two frames keeps its number.
Between frames a track goes on at its velocity, which a first-order filter smooths.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge.geometry import Box
from edge.types import Detection, Track

GROWN = 0.3  # each box by this share of its width and height, on every side
SURE_OVERLAP = 0.2  # least overlap, grown, of a track and a sure detection
DOUBTFUL_OVERLAP = 0.4  # and a doubtful one
COVERED = 0.7  # share of the smaller of two boxes of a class from which they may well be one object
CONFIRMED_HITS = 3  # sure sightings in a row by which such a second box is an object of its own
VELOCITY_S = 0.3  # time constant of the velocity: the boxes of a detector tremble
FIRST_GAP_S = 0.01  # frames closer than this tell nothing about velocity
COAST_S = 0.5  # an object that is not seen goes on so long, and then stays where it is expected

Boxes = NDArray[np.float64]  # shape (n, 4): xmin, ymin, xmax, ymax


class Tracker:
    """Gives each detection the number of its object.

    Detections of ``score_threshold`` and more are sure. An object that was not seen for ``max_lost_s`` seconds is
    over; its number is never given again. Both may be changed between two frames. Objects of different classes are
    never the same.

    Synchronization: none; it belongs to the thread that looks at the frames.
    """

    def __init__(self, *, score_threshold: float, max_lost_s: float = 2.0, first_id: int = 1) -> None:
        self.score_threshold = score_threshold
        self.max_lost_s = max_lost_s
        self._next_id = first_id
        self._tracks: list[Track] = []
        self._at: float | None = None

    @property
    def tracks(self) -> tuple[Track, ...]:
        """All confirmed objects that are not over, in the order in which they appeared."""
        return tuple(track for track in self._tracks if track.confirmed)

    def update(self, detections: Sequence[Detection], monotonic: float) -> tuple[Track | None, ...]:
        """The object of each detection of a frame at this time; None where it is none, or not confirmed yet."""
        gap = 0.0 if self._at is None else max(0.0, monotonic - self._at)
        self._at = monotonic
        tracks = [_go_on(track, gap, monotonic) for track in self._tracks]
        found: list[Track | None] = [None] * len(detections)
        for index, place in self._associate(detections, tracks).items():
            tracks[place] = found[index] = _see(tracks[place], self._tracks[place], detections[index], monotonic)
        for index, detection in enumerate(detections):
            if found[index] is None and detection.confidence >= self.score_threshold:
                found[index] = track = self._begin(detection, tracks, monotonic)
                tracks.append(track)
        self._tracks = [track for track in tracks if self._lives(track, monotonic)]
        return tuple(track if track is not None and track.confirmed else None for track in found)

    def _associate(self, detections: Sequence[Detection], tracks: Sequence[Track]) -> dict[int, int]:
        """The place among ``tracks`` of each detection that has one."""
        if not detections or not tracks:
            return {}
        boxes, expected = _corners([seen.box for seen in detections]), _corners([track.box for track in tracks])
        overlaps = _overlaps(_grown(boxes), _grown(expected))
        overlaps[~_alike(detections, [track.detection for track in tracks])] = 0.0
        sure = np.array([seen.confidence >= self.score_threshold for seen in detections])
        given = _best_pairs(np.where(sure[:, None], overlaps, 0.0), SURE_OVERLAP)
        left = ~sure & ~_covered(boxes, detections, list(given))
        overlaps[~left, :] = 0.0
        overlaps[:, [not track.confirmed for track in tracks]] = 0.0
        overlaps[:, list(given.values())] = 0.0
        return given | _best_pairs(overlaps, DOUBTFUL_OVERLAP)

    def _begin(self, detection: Detection, tracks: Sequence[Track], monotonic: float) -> Track:
        alone = not any(
            track.seen and track.detection.class_id == detection.class_id and _covers(track.box, detection.box)
            for track in tracks
        )
        track = Track(self._next_id, detection, detection.box, monotonic, monotonic, confirmed=alone)
        self._next_id += 1
        return track

    def _lives(self, track: Track, monotonic: float) -> bool:
        return track.seen or (track.confirmed and monotonic - track.seen_at <= self.max_lost_s)


def _go_on(track: Track, gap: float, monotonic: float) -> Track:
    """Where the track is expected ``gap`` seconds later."""
    moving = min(gap, max(0.0, track.seen_at + COAST_S - (monotonic - gap)))
    box = track.box.shift(track.velocity[0] * moving, track.velocity[1] * moving)
    return replace(track, box=box, seen=False)


def _see(expected: Track, before: Track, detection: Detection, monotonic: float) -> Track:
    """The track after it was seen again."""
    gap = monotonic - before.seen_at
    velocity = expected.velocity
    if gap >= FIRST_GAP_S:
        (x, y), (x0, y0) = detection.box.centre, before.detection.box.centre
        share = 1.0 if before.hits == 1 else 1.0 - math.exp(-gap / VELOCITY_S)
        velocity = (
            velocity[0] + share * ((x - x0) / gap - velocity[0]),
            velocity[1] + share * ((y - y0) / gap - velocity[1]),
        )
    return Track(
        track_id=expected.track_id,
        detection=detection,
        box=detection.box,
        began_at=expected.began_at,
        seen_at=monotonic,
        velocity=velocity,
        hits=before.hits + 1,
        confirmed=before.confirmed or before.hits + 1 >= CONFIRMED_HITS,
    )


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
    areas: Boxes = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return areas


def _common(first: Boxes, second: Boxes) -> Boxes:
    """The area that each has in common with each: shape (n, m)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common: Boxes = np.clip(high - low, 0.0, None).prod(axis=2)
    return common


def _overlaps(first: Boxes, second: Boxes) -> Boxes:
    """Intersection over union of each with each: shape (n, m)."""
    common = _common(first, second)
    union = _areas(first)[:, None] + _areas(second)[None, :] - common
    overlaps: Boxes = np.divide(common, union, out=np.zeros_like(common), where=union > 0.0)
    return overlaps
