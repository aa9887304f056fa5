"""Boxes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.geometry import Box

numbers = st.floats(-1e4, 1e4)
boxes = st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), numbers, numbers, st.floats(0, 1e4), st.floats(0, 1e4))


def test_iou_of_halves() -> None:
    assert Box(0, 0, 2, 1).iou(Box(1, 0, 3, 1)) == pytest.approx(1 / 3)


def test_boxes_apart_do_not_overlap() -> None:
    assert Box(0, 0, 1, 1).iou(Box(2, 2, 3, 3)) == 0


def test_empty_boxes_have_no_iou() -> None:
    assert Box(0, 0, 0, 0).iou(Box(0, 0, 0, 0)) == 0
    assert Box(5, 5, 1, 1).area == 0


def test_centre_and_scale() -> None:
    assert Box(0, 10, 4, 30).centre == (2, 20)
    assert Box(1, 2, 3, 4).scale(10, 100) == Box(10, 200, 30, 400)


@given(boxes, boxes)
def test_iou_is_symmetric_and_a_fraction(one: Box, other: Box) -> None:
    assert one.iou(other) == pytest.approx(other.iou(one))
    assert 0 <= one.iou(other) <= 1 + 1e-9


@given(boxes)
def test_a_clipped_box_lies_inside(box: Box) -> None:
    clipped = box.clip(640, 480)
    assert 0 <= clipped.xmin <= clipped.xmax <= 640
    assert 0 <= clipped.ymin <= clipped.ymax <= 480
    assert clipped.clip(640, 480) == clipped
