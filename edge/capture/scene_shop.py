"""The empty shop of the drawn scene: walls, shelves, door and counter, different for each seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.capture.scene_canvas import DESIGN_HEIGHT, Canvas, Colour, shade

_LIGHT = (188, 192, 196)
_STEEL = (150, 146, 140)
_GOODS: tuple[Colour, ...] = (
    (92, 104, 214), (84, 158, 232), (104, 206, 238), (120, 178, 108), (176, 158, 82),
    (190, 124, 92), (150, 104, 158), (214, 218, 226), (94, 118, 152), (140, 190, 200),
)  # fmt: skip
_WALLS: tuple[Colour, ...] = (
    (206, 222, 230), (222, 220, 208), (204, 216, 202), (214, 206, 214), (226, 226, 224), (190, 208, 222),
    (196, 190, 178),
)  # fmt: skip
_FLOORS: tuple[Colour, ...] = (
    (172, 186, 196), (182, 182, 178), (150, 172, 190), (164, 170, 160), (196, 200, 204), (128, 148, 166),
)  # fmt: skip
_WOODS: tuple[Colour, ...] = (
    (92, 128, 164), (120, 152, 182), (86, 96, 118), (150, 150, 148), (206, 208, 210), (104, 112, 96),
)  # fmt: skip


@dataclass(frozen=True)
class Occluder:
    """A piece of furniture that hides whoever stands further back than `depth` (its foot, in design pixels)."""

    depth: float
    stencil: NDArray[np.uint8]  # (H, W) as large as the picture, 255 where it is

    def cover(self, canvas: Canvas, background: NDArray[np.uint8], cells: NDArray[np.uint8]) -> None:
        """Draw it again over the people behind it, and clear the cells of the map that it hides."""
        left, top, width, height = cv2.boundingRect(self.stencil)
        area = np.s_[top : top + height, left : left + width]
        cv2.copyTo(background[area], self.stencil[area], canvas.image[area])
        small = cv2.resize(self.stencil, (cells.shape[1], cells.shape[0]), interpolation=cv2.INTER_NEAREST)
        cells[small > 0] = 0


class Shop:
    """The background picture, the furniture that hides people, and the camera's perspective, drawn once for a seed.

    A person whose feet are at y stands `perspective * (y - horizon)` design pixels tall.
    """

    def __init__(self, rng: np.random.Generator, width: int, height: int) -> None:
        self._rng = rng
        self.background = np.zeros((height, width, 3), np.uint8)
        self.breadth = width * DESIGN_HEIGHT / height
        self.horizon = rng.uniform(70, 190)
        self.perspective = rng.uniform(400, 560) / (700 - self.horizon)
        self.far_floor = max(self.horizon + 215 / self.perspective, rng.uniform(330, 420))
        self.accent = self._pick(_GOODS)
        self.wood = self._pick(_WOODS)
        self.occluders: list[Occluder] = []
        self._stencil = np.zeros((height, width), np.uint8)
        self._canvas = Canvas(self.background, self._stencil, cell=DESIGN_HEIGHT / height)
        self._walls()
        self._floor()
        self._furnish_wall()
        self._furnish_floor()
        self.background[:] = cv2.GaussianBlur(self.background, (3, 3), 0)

    def hidden(self, depth: float, left: float, right: float) -> bool:
        """Whether furniture nearer than `depth` stands before any of the columns left..right (design pixels)."""
        scale = self.background.shape[0] / DESIGN_HEIGHT
        columns = np.s_[:, max(0, round(left * scale)) : max(0, round(right * scale))]
        return any(item.depth > depth and item.stencil[columns].any() for item in self.occluders)

    def _pick(self, choices: tuple[Colour, ...]) -> Colour:
        return shade(choices[self._rng.integers(len(choices))], self._rng.uniform(0.85, 1.05))

    def _walls(self) -> None:
        wall = self._pick(_WALLS)
        self._canvas.box(0, 0, self.breadth, self.far_floor, wall)
        self._canvas.box(0, 0, self.breadth, 46, shade(wall, 1.08))
        self._canvas.box(0, 44, self.breadth, 5, shade(wall, 0.86))
        self._canvas.box(0, self.far_floor - 34, self.breadth, 34, shade(wall, 0.8))
        for lamp in np.arange(self._rng.uniform(60, 200), self.breadth, 330):
            self._canvas.fill([lamp + 10j, lamp + 150 + 10j, lamp + 170 + 26j, lamp - 20 + 26j], (250, 252, 252))

    def _floor(self) -> None:
        floor = self._pick(_FLOORS)
        self._canvas.box(0, self.far_floor, self.breadth, DESIGN_HEIGHT - self.far_floor, floor)
        vanishing = complex(self.breadth * self._rng.uniform(0.35, 0.65), self.horizon)
        seam = shade(floor, 0.91)
        for foot in np.arange(-2.5 * self.breadth, 3.5 * self.breadth, 190):
            near, far = complex(foot, 760), complex(foot + 5, 760)
            cut = (self.far_floor - self.horizon) / (760 - self.horizon)
            self._canvas.fill([near, far, *(vanishing + (end - vanishing) * cut for end in (far, near))], seam)
        for step in range(1, 30):
            y = self.horizon + (self.far_floor - self.horizon) * (1 + 0.16 * step)
            if y < DESIGN_HEIGHT:
                self._canvas.box(0, y, self.breadth, 1 + 0.004 * y, seam)
        self._canvas.box(0, self.far_floor, self.breadth, 7, shade(floor, 0.75))

    def _furnish_wall(self) -> None:
        """Fill the back wall from left to right with shelves, a door, windows and posters."""
        pieces: list[tuple[Callable[[float], float], float]] = [
            (self._shelves, 0.5), (self._door, 0.16), (self._posters, 0.18), (self._window, 0.16),
        ]  # fmt: skip
        chances = [chance for _, chance in pieces]
        x = self._rng.uniform(-60, 40)
        while x < self.breadth:
            piece = pieces[self._rng.choice(len(pieces), p=chances)][0]
            x += piece(x) + self._rng.uniform(14, 60)

    def _shelves(self, x: float) -> float:
        width, top = self._rng.uniform(180, 420), self._rng.uniform(84, 130)
        self._rack(x, top, width, self.far_floor + 6 - top, rows=int(self._rng.integers(3, 5)))
        return width

    def _rack(self, x: float, y: float, width: float, height: float, rows: int, solid: bool = False) -> None:
        """A rack with goods on its boards; `solid` marks it in the stencil."""
        mark = 255 if solid else None
        self._canvas.box(x, y, width, height, shade(self.wood, 0.62), mark)
        pitch = height / rows
        for row in range(rows):
            board = y + (row + 1) * pitch
            self._goods(x + 8, board, width - 16, pitch * 0.8)
            self._canvas.box(x, board - 7, width, 7, self.wood, mark)
            self._canvas.box(x + 6, board - 6, width - 12, 4, shade(self.accent, 1.2))
        for side in (x, x + width - 8):
            self._canvas.box(side, y - 4, 8, height + 4, shade(self.wood, 0.9), mark)

    def _goods(self, x: float, board: float, width: float, room: float) -> None:
        end = x + width
        while x < end - 14:
            colour, size = self._pick(_GOODS), self._rng.uniform(16, 34)
            tall, kind = room * self._rng.uniform(0.55, 0.95), self._rng.integers(3)
            for _ in range(int(self._rng.integers(1, 5))):
                if x + size > end:
                    break
                self._item(int(kind), x, board - 7, size - 3, tall, colour)
                x += size
            x += self._rng.uniform(2, 14)

    def _item(self, kind: int, x: float, board: float, width: float, height: float, colour: Colour) -> None:
        canvas = self._canvas
        if kind == 0:  # a box with a label
            canvas.box(x, board - height, width, height, colour)
            canvas.box(x + 3, board - height * 0.7, width - 6, height * 0.3, shade(colour, 1.3))
        elif kind == 1:  # a bottle
            canvas.box(x + width * 0.33, board - height, width * 0.34, height * 0.4, shade(colour, 0.8))
            canvas.box(x + width * 0.1, board - height * 0.66, width * 0.8, height * 0.66, colour)
            canvas.box(x + width * 0.1, board - height * 0.45, width * 0.8, height * 0.22, (224, 230, 232))
        else:  # a tin
            canvas.box(x, board - height * 0.6, width, height * 0.6, colour)
            canvas.box(x, board - height * 0.6, width, 4, _LIGHT)

    def _door(self, x: float) -> float:
        height = self.perspective * (self.far_floor - self.horizon) * 1.18
        width, top = height * 0.52, self.far_floor - height
        self._canvas.box(x - 9, top - 9, width + 18, height + 9, shade(self.wood, 0.8))
        self._canvas.box(x, top, width, height, (214, 204, 188))
        self._canvas.fill([x + 1j * top, x + width * 0.6 + 1j * top, x + 1j * (top + height * 0.7)], (228, 220, 208))
        self._canvas.box(x, top + height * 0.52, width, 8, _STEEL)
        self._canvas.box(x + width * 0.84, top + height * 0.42, 6, height * 0.22, (70, 70, 72))
        self._sign("EXIT", x + width * 0.5 - 38, top - 46, (88, 150, 62))
        return width + 18

    def _sign(self, text: str, x: float, y: float, colour: Colour) -> None:
        self._canvas.box(x, y, 76, 30, colour)
        self._text(text, x + 10, y + 22, 0.75, (245, 248, 248))

    def _text(self, text: str, x: float, y: float, size: float, colour: Colour) -> None:
        scale = self.background.shape[0] / DESIGN_HEIGHT
        place = round(x * scale), round(y * scale)
        weight = max(1, round(2 * scale))
        cv2.putText(self.background, text, place, cv2.FONT_HERSHEY_DUPLEX, size * scale, colour, weight, cv2.LINE_AA)

    def _window(self, x: float) -> float:
        width, top, bottom = self._rng.uniform(150, 260), 92.0, self.far_floor - 70
        self._canvas.box(x, top, width, bottom - top, (246, 246, 244))
        self._canvas.box(x + 8, top + 8, width - 16, bottom - top - 16, (226, 208, 178))
        self._canvas.box(x + 8, bottom - 68, width - 16, 60, (170, 176, 170))
        for roof in np.arange(x + 14, x + width - 48, 44):
            tall = self._rng.uniform(50, 100)
            self._canvas.box(roof, bottom - 8 - tall, 38, tall, shade((182, 176, 186), self._rng.uniform(0.8, 1.0)))
        self._canvas.box(x + width / 2 - 4, top, 8, bottom - top, (246, 246, 244))
        return width

    def _posters(self, x: float) -> float:
        words = ("SALE", "FRESH", "-20%", "OPEN", "NEW", "2 FOR 1")
        for place in range(2):
            left, top = x + place * 118, self._rng.uniform(96, 140)
            colour = self._pick(_GOODS)
            self._canvas.box(left, top, 100, 130, shade(colour, 1.1))
            self._canvas.box(left + 8, top + 8, 84, 76, (232, 236, 238))
            self._emblem(complex(left + 50, top + 46), int(self._rng.integers(3)))
            self._text(words[self._rng.integers(len(words))], left + 8, top + 116, 0.62, (250, 250, 250))
        return 226

    def _emblem(self, centre: complex, kind: int) -> None:
        colour = self._pick(_GOODS)
        if kind == 0:  # a fruit
            self._canvas.oval(centre + 4j, 24 + 23j, colour)
            self._canvas.box(centre.real - 2, centre.imag - 30, 5, 14, (70, 96, 110))
        elif kind == 1:  # a portrait
            self._canvas.oval(centre + 34j, 32 + 24j, colour)
            self._canvas.oval(centre - 6j, 15 + 19j, (150, 182, 222))
        else:  # a price arrow
            arrow = (-30, -26j, 30, 10, 10 + 26j, -10 + 26j, -10)
            self._canvas.fill([centre + corner for corner in arrow], colour)

    def _furnish_floor(self) -> None:
        """Stand a counter, a low rack, a pillar or a plant on the floor; each hides who walks behind it."""
        rng = self._rng
        near = self.far_floor + (DESIGN_HEIGHT - self.far_floor) * rng.uniform(0.12, 0.4)
        pieces = [(near, self._counter)]
        if rng.random() < 0.6:
            pieces.append((rng.uniform(near + 40, 690), self._gondola))
        if rng.random() < 0.4:
            pieces.append((rng.uniform(near, 640), self._pillar))
        if rng.random() < 0.6:
            pieces.append((self.far_floor + rng.uniform(15, 80), self._plant))
        for depth, draw in sorted(pieces, key=lambda piece: piece[0]):
            self._stand(depth, draw)

    def _stand(self, depth: float, draw: Callable[[float, float], None]) -> None:
        self._stencil[:] = 0
        draw(depth, self.perspective * (depth - self.horizon))
        self.occluders.append(Occluder(depth, self._stencil.copy()))

    def _counter(self, depth: float, tall: float) -> None:
        """A counter at one side, with a till on it; `tall` is a person's height there."""
        width, top = self._rng.uniform(300, 430), depth - 0.56 * tall
        x = self._rng.choice([-40.0, self.breadth - width + 40])
        self._canvas.box(x, top, width, depth - top, self.wood, 255)
        for panel in np.arange(x + 14, x + width - 60, 92):
            self._canvas.box(panel, top + 30, 78, depth - top - 46, shade(self.wood, 0.9))
        self._canvas.box(x, depth - 10, width, 10, shade(self.wood, 0.6), 255)
        self._canvas.box(x - 8, top - 14, width + 16, 24, shade(self.wood, 1.3), 255)
        till = x + width * self._rng.uniform(0.35, 0.65)
        self._till(complex(till, top))

    def _till(self, corner: complex) -> None:
        """A cash register whose lower left corner stands at the counter's edge."""
        self._canvas.box(corner.real, corner.imag - 44, 84, 30, (84, 80, 78), 255)
        self._canvas.fill([corner + p for p in (12 - 44j, 72 - 44j, 66 - 84j, 18 - 84j)], (70, 66, 64), 255)
        self._canvas.fill([corner + p for p in (24 - 52j, 62 - 52j, 59 - 76j, 26 - 76j)], (206, 190, 140), 255)

    def _gondola(self, depth: float, tall: float) -> None:
        width = self._rng.uniform(180, 300)
        height = tall * self._rng.uniform(0.36, 0.6)
        x = self._rng.uniform(0.08, 0.92) * (self.breadth - width)
        self._rack(x, depth - height, width, height, rows=2, solid=True)
        self._canvas.box(x - 4, depth - height - 10, width + 8, 14, shade(self.wood, 1.2), 255)

    def _pillar(self, depth: float, tall: float) -> None:
        width, x = 0.17 * tall, self._rng.uniform(0.1, 0.9) * self.breadth
        colour = self._pick(_WALLS)
        self._canvas.box(x, 0, width, depth, shade(colour, 0.94), 255)
        self._canvas.box(x + width * 0.6, 0, width * 0.4, depth, shade(colour, 0.84), 255)
        self._canvas.box(x - 5, depth - 26, width + 10, 26, shade(colour, 0.7), 255)

    def _plant(self, depth: float, tall: float) -> None:
        foot = complex(self._rng.uniform(0.05, 0.95) * self.breadth, depth)
        root, bulge = foot - 0.15j * tall, 0.035 * tall
        for lean in (-0.9, -0.5, -0.15, 0.2, 0.55, 0.9):
            tip = foot + tall * complex(0.2 * lean, -0.5 + 0.14 * abs(lean))
            middle = (root + tip) / 2
            self._canvas.fill([root, middle - bulge, tip, middle + bulge], shade((84, 134, 84), 1 + 0.2 * lean), 255)
        pot = [foot + tall * corner for corner in (-0.08 - 0.17j, 0.08 - 0.17j, 0.06, -0.06)]
        self._canvas.fill(pot, (96, 120, 184), 255)
