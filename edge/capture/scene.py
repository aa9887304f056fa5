"""A drawn shop as a fixed camera sees it: the picture and the truth about it, for demos, tests and training.

Time runs in cycles of 20 s. In each, shoppers come and go and one person holds up a knife from second 4.5 to 12.5, in
front of everybody else; the last 3 s show nobody. So any 20 s hold both, in pictures of 4:3 or wider. A calm scene has
shoppers only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.capture.scene_canvas import DESIGN_HEIGHT, Canvas
from edge.capture.scene_cast import Walker, cast
from edge.capture.scene_people import Figure
from edge.capture.scene_shop import Occluder, Shop
from edge.geometry import Box

CYCLE_SECONDS = 20.0
CLASS_NAMES = ("person", "knife")
LEAST_VISIBLE = (0.3, 0.55)  # share of a class's silhouette that must show for it to count
_LEAST_CELLS = 12  # a smaller visible patch is a speck, not an object
_CELL = 2.0  # design pixels to a cell of the map
_MARGIN = 256.0  # design pixels the map reaches beyond the frame: more than an arm and a knife
_GRAIN_SLACK = 64  # the noise is drawn once, larger than the frame by this, and cut out elsewhere for each frame


@dataclass(frozen=True)
class Truth:
    """An object that is really there; `box` is its visible extent in pixels of the full frame."""

    class_id: int
    class_name: str
    box: Box


class Scene:
    """A shop, its furniture, light and visitors all drawn from `seed`. Nothing is random after that.

    Synchronization: none is needed, two threads may draw at once.
    """

    def __init__(
        self, *, seed: int = 0, width: int = 1280, height: int = 720, fps: float = 15.0, calm: bool = False
    ) -> None:
        self.seed = seed
        self.fps = fps
        self.calm = calm
        rng = np.random.default_rng((seed, 7))
        self._shop = Shop(rng, width, height)
        self._light = _Light(rng, width, height)

    def draw(self, index: int) -> tuple[NDArray[np.uint8], tuple[Truth, ...]]:
        """Return frame `index` as (H, W, 3) BGR and what it shows; the same for the same arguments, in any order.

        A person counts while 30 % of the silhouette shows and a knife while 55 % does; furniture, people in front and
        the frame's edge hide the rest. Boxes enclose what shows.
        """
        seconds = index / self.fps
        shop = self._shop
        frame = shop.background.copy()
        marks = np.zeros(self._map_shape(), np.uint8)
        canvas = Canvas(frame, marks, cell=_CELL, margin=_MARGIN)
        sizes = self._draw_people(canvas, seconds)
        truths = self._truths(marks, sizes)
        return self._light.apply(frame, seconds, index), truths

    def _map_shape(self) -> tuple[int, int]:
        return round((DESIGN_HEIGHT + 2 * _MARGIN) / _CELL), round((self._shop.breadth + 2 * _MARGIN) / _CELL)

    def _walkers(self, seconds: float) -> tuple[Walker, ...]:
        cycle = int(seconds // CYCLE_SECONDS)
        return cast(np.random.default_rng((self.seed, 11, cycle)), self._shop, armed=not self.calm)

    def _draw_people(self, canvas: Canvas, seconds: float) -> dict[int, int]:
        """Draw people and furniture from back to front; return each mark's whole silhouette in cells."""
        shop, sizes = self._shop, {}
        inside = _inside(canvas.marks)
        waiting = list(shop.occluders)
        poses = [(walker, walker.pose(seconds % CYCLE_SECONDS, shop)) for walker in self._walkers(seconds)]
        present = [(walker, pose) for walker, pose in poses if pose is not None]
        for number, (walker, pose) in enumerate(sorted(present, key=lambda pair: pair[1].feet.imag)):
            self._cover(canvas, waiting, pose.feet.imag, inside)
            person, knife = 2 * number + 1, 2 * number + 2
            Figure(canvas, walker.look, pose, person).draw(knife if pose.held == "knife" else 0)
            sizes.update({mark: cv2.countNonZero(cv2.inRange(canvas.marks, mark, mark)) for mark in (person, knife)})
        if present:
            self._cover(canvas, waiting, math.inf, inside)
        return sizes

    def _cover(self, canvas: Canvas, waiting: list[Occluder], depth: float, inside: NDArray[np.uint8]) -> None:
        """Draw the furniture that stands further back than `depth` and take it off the waiting list."""
        while waiting and waiting[0].depth < depth:
            waiting.pop(0).cover(canvas, self._shop.background, inside)

    def _truths(self, marks: NDArray[np.uint8], sizes: dict[int, int]) -> tuple[Truth, ...]:
        inside = _inside(marks)
        height, width = self._shop.background.shape[:2]
        scale = height / DESIGN_HEIGHT * _CELL
        truths = []
        for mark, size in sizes.items():
            class_id = (mark + 1) % 2
            if (box := _visible_box(inside, mark, LEAST_VISIBLE[class_id] * size)) is not None:
                corners = (side * scale for side in box)
                truths.append(Truth(class_id, CLASS_NAMES[class_id], Box(*corners).clip(width, height)))
        return tuple(truths)


def _inside(marks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The part of the map that lies in the frame, as a view."""
    edge = round(_MARGIN / _CELL)
    return marks[edge:-edge, edge:-edge]


def _visible_box(inside: NDArray[np.uint8], mark: int, least: float) -> tuple[int, int, int, int] | None:
    """The extent of a mark in cells, or None where fewer than `least` of them show."""
    shown = cv2.inRange(inside, mark, mark)
    if cv2.countNonZero(shown) < max(_LEAST_CELLS, least):
        return None
    left, top, width, height = cv2.boundingRect(shown)
    return left, top, left + width, top + height


class _Light:
    """The room's changing light, and the camera's softness and noise."""

    def __init__(self, rng: np.random.Generator, width: int, height: int) -> None:
        self._level = rng.uniform(0.78, 1.02)
        self._depth = rng.uniform(0.02, 0.09)
        self._period = rng.uniform(9.0, 40.0)
        self._noise = _grain(rng, width + _GRAIN_SLACK, height + _GRAIN_SLACK, rng.uniform(1.5, 5.0))

    def apply(self, frame: NDArray[np.uint8], seconds: float, index: int) -> NDArray[np.uint8]:
        """Return the lit picture: blurred by a pixel, brightened or darkened, with the grain of this frame."""
        height, width = frame.shape[:2]
        down, across = np.random.default_rng((index, 3)).integers(_GRAIN_SLACK, size=2)
        grain = self._noise[down : down + height, across : across + width]
        gain = self._level * (1 + self._depth * math.sin(2 * math.pi * seconds / self._period))
        soft = cv2.blur(frame, (3, 3))
        lit = np.empty_like(frame)
        cv2.addWeighted(soft, gain, grain, 1.0, -128.0, dst=lit)
        return lit


def _grain(rng: np.random.Generator, width: int, height: int, strength: float) -> NDArray[np.uint8]:
    noise = rng.standard_normal((height, width, 3), dtype=np.float32)
    grain: NDArray[np.uint8] = (noise * np.float32(strength) + np.float32(128.5)).astype(np.uint8)
    return grain
