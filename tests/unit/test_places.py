"""Zones that objects are in, lines that they cross."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import Line, Zone
from edge.geometry import Box
from edge.rules.condition import sightings
from edge.rules.places import Area, anchor, crossing, far_from, gap, share_inside
from edge.types import Detection

DOOR = ((0.4, 0.2), (0.6, 0.2), (0.6, 0.8), (0.4, 0.8))
CORNER = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.5, 0.5), (0.5, 1.0), (0.0, 1.0))  # all but the lower right quarter


def box_at(x: float, bottom: float, width: float = 0.1, height: float = 0.2) -> Box:
    return Box(x - width / 2, bottom - height, x + width / 2, bottom)


def holds(box: Box, points: tuple[tuple[float, float], ...] = DOOR, **more: object) -> bool:
    return Area(Zone(name="z", points=points, **more)).holds(box)  # type: ignore[arg-type]


# Zones


def test_the_feet_decide_or_the_centre() -> None:
    stands_below = box_at(0.5, 0.9, height=0.4)
    assert anchor(stands_below, "bottom") == pytest.approx((0.5, 0.9))
    assert anchor(stands_below, "center") == pytest.approx((0.5, 0.7))
    assert not holds(stands_below)
    assert holds(stands_below, anchor="center")
    reaches_in = box_at(0.5, 0.3, height=0.3)
    assert holds(reaches_in)
    assert not holds(reaches_in, anchor="center")


def test_an_outline_that_bends_inwards() -> None:
    assert holds(box_at(0.25, 0.75), CORNER)
    assert holds(box_at(0.75, 0.25), CORNER)
    assert not holds(box_at(0.75, 0.75), CORNER)


def test_feet_at_the_edge_of_the_picture_are_in_a_zone_that_reaches_it() -> None:
    """A box that the picture cuts off ends exactly there, or, unclipped, a little beyond."""
    for box in (box_at(0.25, 1.0), box_at(0.25, 1.05), box_at(0.0, 0.7), box_at(-0.01, 0.7)):
        assert holds(box, CORNER)
    assert holds(box_at(1.0, 0.3), CORNER)


@pytest.mark.parametrize(
    ("box", "share"),
    [
        (Box(0.45, 0.3, 0.55, 0.5), 1.0),
        (Box(0.5, 0.3, 0.7, 0.5), 0.5),
        (Box(0.3, 0.7, 0.5, 0.9), 0.25),
        (Box(0.0, 0.0, 1.0, 1.0), 0.12),
        (Box(0.7, 0.3, 0.9, 0.5), 0.0),
        (Box(0.5, 0.5, 0.5, 0.6), 0.0),
    ],
)
def test_the_share_of_a_box_in_a_rectangle(box: Box, share: float) -> None:
    assert share_inside(DOOR, box) == pytest.approx(share)
    assert share_inside(DOOR[::-1], box) == pytest.approx(share), "either way around"


def test_the_share_in_an_outline_that_bends_inwards() -> None:
    assert share_inside(CORNER, Box(0, 0, 1, 1)) == pytest.approx(0.75)
    assert share_inside(CORNER, Box(0.4, 0.4, 0.6, 0.6)) == pytest.approx(0.75)
    assert share_inside(CORNER, Box(0.6, 0.6, 0.9, 0.9)) == pytest.approx(0.0)


def test_enough_of_the_box_must_be_inside_too() -> None:
    half_in = box_at(0.6 - 1e-6, 0.5)
    assert holds(half_in)
    assert holds(half_in, min_overlap=0.5)
    assert not holds(half_in, min_overlap=0.51)


def test_a_sighting_knows_its_zones_and_the_mask() -> None:
    zones = [
        Zone(name="door", points=DOOR),
        Zone(name="most", points=CORNER),
        Zone(name="tv", points=((0.7, 0.0), (1.0, 0.0), (1.0, 0.3)), kind="exclude", anchor="center"),
    ]
    boxes = [Box(440, 100, 540, 250), Box(800, 100, 900, 200), Box(850, 20, 950, 140)]
    seen = sightings([Detection(0, " Person", 0.9, box) for box in boxes], [None] * 3, (1000, 500), zones)
    assert [sorted(each.zones) for each in seen] == [["door", "most"], ["most"], ["most"]]
    assert [each.mask for each in seen] == ["", "", "tv"]
    place = seen[0].place
    assert (place.xmin, place.ymin, place.xmax, place.ymax) == pytest.approx((0.44, 0.2, 0.54, 0.5))
    assert seen[0].name == "person"


@st.composite
def outlines(draw: st.DrawFn) -> tuple[tuple[float, float], ...]:
    """A star around a point: simple, and mostly bending inwards somewhere."""
    count = draw(st.integers(3, 10))
    radii = draw(st.lists(st.floats(0.05, 0.5), min_size=count, max_size=count))
    turn = draw(st.floats(0, math.tau))
    return tuple(
        (
            0.5 + radius * math.cos(turn + math.tau * index / count),
            0.5 + radius * math.sin(turn + math.tau * index / count),
        )
        for index, radius in enumerate(radii)
    )


sides = st.floats(0.0, 1.0)
boxes = st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), sides, sides, st.floats(0.02, 0.6), st.floats(0.02, 0.6))
CELLS = 60


@settings(max_examples=60)
@given(outlines(), boxes)
def test_the_share_is_what_a_raster_counts(points: tuple[tuple[float, float], ...], box: Box) -> None:
    share = share_inside(points, box)
    assert 0.0 <= share <= 1.0
    steps = (np.arange(CELLS) + 0.5) / CELLS
    x, y = np.meshgrid(box.xmin + steps * box.width, box.ymin + steps * box.height)
    inside = np.zeros_like(x, dtype=bool)
    for (x0, y0), (x1, y1) in zip((points[-1], *points), points, strict=False):
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    assert share == pytest.approx(inside.mean(), abs=4 * len(points) / CELLS / 2)


@given(outlines(), boxes)
def test_who_is_all_inside_is_held_whatever_the_overlap(points: tuple[tuple[float, float], ...], box: Box) -> None:
    zone = Zone(name="z", points=tuple((min(1, max(0, x)), min(1, max(0, y))) for x, y in points), anchor="center")
    if share_inside(zone.points, box) > 1 - 1e-9:
        assert Area(zone).holds(box)


# Lines

THRESHOLD = Line(name="t", start=(0.2, 0.5), end=(0.8, 0.5))  # walked to the right: left is up in the picture


@pytest.mark.parametrize(
    ("before", "after", "side"),
    [
        ((0.5, 0.4), (0.5, 0.6), "to_right"),
        ((0.5, 0.6), (0.5, 0.4), "to_left"),
        ((0.5, 0.4), (0.5, 0.45), None),
        ((0.1, 0.4), (0.1, 0.6), None),
        ((0.0, 0.4), (0.9, 0.7), "to_right"),
        ((0.0, 0.45), (0.3, 0.7), None),
        ((0.5, 0.4), (0.5, 0.5), None),
    ],
)
def test_crossings_by_hand(before: tuple[float, float], after: tuple[float, float], side: str | None) -> None:
    assert crossing(THRESHOLD, box_at(*before), box_at(*after)) == side


grid = st.integers(0, 64).map(lambda n: n / 64)


@given(st.tuples(grid, grid), st.tuples(grid, grid), st.tuples(grid, grid), st.tuples(grid, grid))
def test_there_and_back_go_to_opposite_sides(
    start: tuple[float, float], end: tuple[float, float], here: tuple[float, float], there: tuple[float, float]
) -> None:
    if start == end:
        return
    line, turned = Line(name="l", start=start, end=end), Line(name="l", start=end, end=start)
    first, second = box_at(*here), box_at(*there)
    opposite = {None: None, "to_left": "to_right", "to_right": "to_left"}
    assert crossing(line, second, first) == opposite[crossing(line, first, second)]
    assert crossing(turned, first, second) == opposite[crossing(line, first, second)]


def test_far_from_a_line() -> None:
    assert far_from(THRESHOLD, box_at(0.5, 0.52), 0.01)
    assert not far_from(THRESHOLD, box_at(0.5, 0.505), 0.01)


# Gaps


@pytest.mark.parametrize(
    ("second", "heights"),
    [
        (Box(0.15, 0.1, 0.3, 0.3), 0.0),
        (Box(0.2, 0.0, 0.3, 0.4), 0.0),
        (Box(0.4, 0.0, 0.5, 0.4), 0.5),
        (Box(0.5, 0.8, 0.6, 0.9), 1.25),
    ],
)
def test_the_gap_is_in_heights_of_the_taller_one(second: Box, heights: float) -> None:
    first = Box(0.1, 0.0, 0.2, 0.4)
    assert gap(first, second) == gap(second, first) == pytest.approx(heights)


def test_the_gap_of_boxes_without_height_is_nothing() -> None:
    assert gap(Box(0, 0, 1, 0), Box(5, 5, 6, 5)) == 0.0


# Settings


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (((0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)), "zone z: its outline crosses itself; give the corners"),
        (((0.0, 0.0), (0.5, 0.5), (1.0, 1.0)), "zone z: it has no area"),
    ],
)
def test_an_outline_that_is_none(points: tuple[tuple[float, float], ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Zone(name="z", points=points)


def test_a_corner_given_twice_does_no_harm() -> None:
    closed = (*DOOR, DOOR[0])
    assert holds(box_at(0.5, 0.5), closed)
    assert share_inside(closed, Box(0.5, 0.3, 0.7, 0.5)) == pytest.approx(0.5)


def test_a_line_without_length() -> None:
    with pytest.raises(ValueError, match="line l: start and end are the same point"):
        Line(name="l", start=(0.5, 0.5), end=(0.5, 0.5))
