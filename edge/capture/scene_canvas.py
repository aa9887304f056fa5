"""Flat colours drawn onto a picture and onto a map of what is where.

Points are complex numbers, x + y·1j, with y pointing down; a rotation is then a multiplication.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Outline = NDArray[np.complexfloating[Any, Any]]
Points = Sequence[complex] | Outline

DESIGN_HEIGHT = 720.0
_SHIFT = 4  # sub-pixel bits of OpenCV's drawing calls: edges move smoothly from frame to frame
_BACK_CAP = np.exp(1j * np.linspace(0.5 * np.pi, 1.5 * np.pi, 7))
_FRONT_CAP = np.exp(1j * np.linspace(-0.5 * np.pi, 0.5 * np.pi, 7))
_CIRCLE = np.exp(1j * np.linspace(0, 2 * np.pi, 24, endpoint=False))


def shade(colour: Colour, factor: float) -> Colour:
    """The colour, darker (factor < 1) or lighter (factor > 1)."""
    blue, green, red = (min(255, max(0, round(channel * factor))) for channel in colour)
    return blue, green, red


class Canvas:
    """A BGR picture and, beside it, a map that says which mark each place shows.

    Coordinates are design pixels: the picture is 720 of them high, whatever its size. The map has one cell for every
    `cell` design pixels and reaches `margin` beyond the picture on each side, so that what lies outside is known too.
    """

    def __init__(self, image: NDArray[np.uint8], marks: NDArray[np.uint8], *, cell: float, margin: float = 0.0) -> None:
        self.image = image
        self.marks = marks
        self._scale = image.shape[0] / DESIGN_HEIGHT
        self._cell = cell
        self._margin = margin * (1 + 1j)

    def fill(self, points: Points, colour: Colour, mark: int | None = None) -> None:
        """Fill the polygon in the picture and, given a mark, in the map."""
        outline = np.asarray(points, dtype=np.complex128)
        cv2.fillPoly(self.image, [_fixed(outline * self._scale)], colour, cv2.LINE_AA, _SHIFT)
        if mark is not None:
            cv2.fillPoly(self.marks, [_fixed((outline + self._margin) / self._cell)], (mark,), cv2.LINE_8, _SHIFT)

    def box(self, x: float, y: float, width: float, height: float, colour: Colour, mark: int | None = None) -> None:
        """Fill an upright rectangle, (x, y) its upper left corner."""
        corner = complex(x, y)
        self.fill([corner, corner + width, corner + complex(width, height), corner + 1j * height], colour, mark)

    def oval(self, centre: complex, radius: complex, colour: Colour, mark: int | None = None) -> None:
        """Fill an upright ellipse, given its half width and half height as one number."""
        self.fill(ellipse(centre, radius), colour, mark)

    def shadow(self, centre: complex, radius: complex) -> None:
        """Darken the floor under somebody."""
        height, width = self.image.shape[:2]
        reach = radius * 1.05
        left, top = _pixel((centre - reach) * self._scale, width, height)
        right, bottom = _pixel((centre + reach) * self._scale, width, height)
        if right <= left or bottom <= top:
            return
        patch = self.image[top:bottom, left:right]
        stencil = np.zeros(patch.shape[:2], np.uint8)
        middle, size = centre * self._scale - complex(left, top), radius * self._scale
        outline = ellipse(middle, size)
        cv2.fillPoly(stencil, [_fixed(outline)], (255,), cv2.LINE_8, _SHIFT)
        cv2.copyTo(cv2.convertScaleAbs(patch, alpha=0.78), stencil, patch)


def _fixed(outline: Outline) -> NDArray[np.int32]:
    """The outline as OpenCV's fixed-point corners; half a pixel off, as its pixel centres lie on whole numbers."""
    pairs = np.ascontiguousarray(outline, dtype=np.complex128).view(np.float64).reshape(-1, 2)
    return np.rint((pairs - 0.5) * (1 << _SHIFT)).astype(np.int32)


def _pixel(point: complex, width: int, height: int) -> tuple[int, int]:
    return min(max(round(point.real), 0), width), min(max(round(point.imag), 0), height)


def ellipse(centre: complex, radius: complex) -> Outline:
    """The outline of an upright ellipse; radius.real is its half width and radius.imag its half height."""
    outline: Outline = centre + _CIRCLE.real * radius.real + 1j * _CIRCLE.imag * radius.imag
    return outline


def taper(start: complex, end: complex, start_radius: float, end_radius: float) -> Outline:
    """The outline of a limb: two half circles and the straight lines between them."""
    along = (end - start) / (abs(end - start) or 1.0)
    outline = [start + start_radius * along * _BACK_CAP, end + end_radius * along * _FRONT_CAP]
    return np.concatenate(outline)
