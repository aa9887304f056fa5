"""Where an object is: zones that it is in, lines that it crosses. Places are in fractions of the picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

from edge.config import Line, Zone
from edge.geometry import Box

Point: TypeAlias = tuple[float, float]
Anchor: TypeAlias = Literal["bottom", "center"]
Side: TypeAlias = Literal["to_left", "to_right"]
ALMOST_1 = math.nextafter(1.0, 0.0)  # feet at the lower edge of the picture are in a zone that reaches down to it


class Area:
    """A zone, ready for many questions.

    Synchronization: none needed; it never changes.
    """

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self._edges = [(*start, *end) for start, end in pairwise((zone.points[-1], *zone.points))]
        xs, ys = zip(*zone.points, strict=True)
        self._left, self._right, self._top, self._bottom = min(xs), max(xs), min(ys), max(ys)

    def holds(self, box: Box, spots: Mapping[Anchor, Point] | None = None) -> bool:
        """Whether the zone holds an object whose ``box`` is in fractions of the picture; ``spots`` are its anchors."""
        x, y = anchor(box, self.zone.anchor) if spots is None else spots[self.zone.anchor]
        if not (self._left <= x <= self._right and self._top <= y <= self._bottom and self._is_inside(x, y)):
            return False
        return not self.zone.min_overlap or share_inside(self.zone.points, box) >= self.zone.min_overlap

    def _is_inside(self, x: float, y: float) -> bool:
        """Even-odd rule: a ray to the right meets the outline an odd number of times."""
        inside = False
        for x0, y0, x1, y1 in self._edges:
            if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
                inside = not inside
        return inside


def anchor(box: Box, kind: Anchor) -> Point:
    """The point of the box that decides where its object is, put into the picture where it lies just outside."""
    x = (box.xmin + box.xmax) / 2
    y = box.ymax if kind == "bottom" else (box.ymin + box.ymax) / 2
    if 0.0 <= x < 1.0 and 0.0 <= y < 1.0:
        return x, y
    return min(max(x, 0.0), ALMOST_1), min(max(y, 0.0), ALMOST_1)


def crossing(line: Line, before: Box, after: Box) -> Side | None:
    """The side to which an object went over the line between two boxes; None if it did not.

    The sides are those of somebody who walks from the line's start to its end, seen in the picture. Who was on the
    line itself has not crossed it.
    """
    old, new = anchor(before, line.anchor), anchor(after, line.anchor)
    was, now = _side(line.start, line.end, old), _side(line.start, line.end, new)
    if was * now >= 0 or _side(old, new, line.start) * _side(old, new, line.end) > 0:
        return None
    return "to_right" if now > 0 else "to_left"  # y points down


def gap(first: Box, second: Box) -> float:
    """The distance of the boxes' nearest edges, in heights of the taller one; 0 where they touch or overlap."""
    x = max(0.0, max(first.xmin, second.xmin) - min(first.xmax, second.xmax))
    y = max(0.0, max(first.ymin, second.ymin) - min(first.ymax, second.ymax))
    tallest = max(first.height, second.height)
    return math.hypot(x, y) / tallest if tallest else 0.0


def far_from(line: Line, box: Box, margin: float) -> bool:
    """Whether the object is more than ``margin`` (a fraction of the picture) to one side of the line."""
    length = math.dist(line.start, line.end)
    return abs(_side(line.start, line.end, anchor(box, line.anchor))) > margin * length


def share_inside(points: Sequence[Point], box: Box) -> float:
    """The share of the box's area that an outline encloses, 0 to 1."""
    if not box.area:
        return 0.0
    cut: list[Point] = list(points)
    for axis, limit, keep_low in ((0, box.xmin, False), (0, box.xmax, True), (1, box.ymin, False), (1, box.ymax, True)):
        cut = _cut(cut, axis, limit, keep_low=keep_low)
    doubled = sum(x * y1 - x1 * y for (x, y), (x1, y1) in zip(cut, [*cut[1:], *cut[:1]], strict=True))
    return min(1.0, abs(doubled) / 2 / box.area)


def _side(start: Point, end: Point, point: Point) -> float:
    """Positive to the right of the walk from start to end, as seen in a picture whose y points down."""
    return (end[0] - start[0]) * (point[1] - start[1]) - (end[1] - start[1]) * (point[0] - start[0])


def _cut(points: Sequence[Point], axis: int, limit: float, *, keep_low: bool) -> list[Point]:
    """One step of Sutherland and Hodgman's clipping ("Reentrant polygon clipping", CACM 1974): one side of a limit.

    What is left of an outline that bends inwards may have edges that lie on each other; its area is right.
    """
    kept: list[Point] = []
    for index, point in enumerate(points):
        before = points[index - 1]
        inside, was_inside = (point[axis] <= limit) == keep_low, (before[axis] <= limit) == keep_low
        if inside != was_inside:
            share = (limit - before[axis]) / (point[axis] - before[axis])
            kept.append((before[0] + share * (point[0] - before[0]), before[1] + share * (point[1] - before[1])))
        if inside:
            kept.append(point)
    return kept
