"""What the drawn timeline is painted with: colours, words, dots, see-through areas. Pixels, blue-green-red."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge.types import Image

Colour = tuple[int, int, int]
Point = tuple[int, int]

GROUND: Colour = (38, 34, 32)
PANEL: Colour = (28, 24, 22)
INK: Colour = (238, 238, 238)
FAINT: Colour = (165, 160, 155)
RULER: Colour = (70, 64, 60)
BLACK: Colour = (0, 0, 0)
LEVELS: dict[str, Colour] = {
    "low": (235, 190, 90),
    "medium": (60, 205, 250),
    "high": (50, 140, 255),
    "critical": (80, 70, 245),
}
ZONE: Colour = (200, 200, 60)
EXCLUDED: Colour = (150, 150, 150)
LINE: Colour = (90, 235, 255)
WAYS: tuple[Colour, ...] = (
    (120, 220, 90),
    (240, 150, 90),
    (220, 120, 240),
    (110, 230, 230),
    (150, 150, 255),
    (230, 220, 120),
    (90, 190, 160),
    (200, 170, 200),
)
FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, slots=True)
class Brush:
    """Paints on ``image``, in place."""

    image: Image

    def area(self, points: Sequence[Point], colour: Colour, cover: float) -> None:
        """A see-through polygon with its outline; ``cover`` 0 to 1."""
        outline = np.array(points, np.int32)
        painted = self.image.copy()
        cv2.fillPoly(painted, [outline], colour)
        cv2.addWeighted(painted, cover, self.image, 1.0 - cover, 0.0, dst=self.image)
        cv2.polylines(self.image, [outline], True, colour, 2, cv2.LINE_AA)

    def way(self, points: Sequence[Point], colour: Colour, thickness: int = 3) -> None:
        cv2.polylines(self.image, [np.array(points, np.int32)], False, BLACK, thickness + 2, cv2.LINE_AA)
        cv2.polylines(self.image, [np.array(points, np.int32)], False, colour, thickness, cv2.LINE_AA)

    def arrow(self, start: Point, end: Point, colour: Colour) -> None:
        for thickness, shade in ((7, BLACK), (3, colour)):
            cv2.arrowedLine(self.image, start, end, shade, thickness, cv2.LINE_AA, tipLength=0.4)

    def bar(self, first: Point, last: Point, colour: Colour) -> None:
        cv2.rectangle(self.image, first, last, colour, cv2.FILLED)

    def dot(self, centre: Point, radius: int, colour: Colour) -> None:
        cv2.circle(self.image, centre, radius + 2, BLACK, cv2.FILLED, cv2.LINE_AA)
        cv2.circle(self.image, centre, radius, colour, cv2.FILLED, cv2.LINE_AA)

    def mark(self, centre: Point, number: int, colour: Colour, radius: int = 17) -> None:
        """A numbered dot."""
        self.dot(centre, radius, colour)
        words, size = str(number), 0.72 if number < 100 else 0.55
        (width, height), _ = cv2.getTextSize(words, FONT, size, 2)
        place = (centre[0] - width // 2, centre[1] + height // 2)
        cv2.putText(self.image, words, place, FONT, size, BLACK, 2, cv2.LINE_AA)

    def words(self, place: Point, text: str, colour: Colour = INK, size: float = 0.7, *, framed: bool = False) -> int:
        """Text whose baseline begins at ``place``, on a dark ground where ``framed``; its width in pixels."""
        shown = plain(text)
        (width, height), below = cv2.getTextSize(shown, FONT, size, 2)
        x, y = place
        if framed:
            x = max(4, min(x, self.image.shape[1] - width - 6))
            y = max(height + 4, min(y, self.image.shape[0] - below - 2))
            cv2.rectangle(self.image, (x - 5, y - height - 5), (x + width + 5, y + below), PANEL, cv2.FILLED)
        thickness = 2 if size >= 0.7 else 1
        cv2.putText(self.image, shown, (x, y), FONT, size, colour, thickness, cv2.LINE_AA)
        return int(width)


def plain(text: str) -> str:
    """The text in the letters that OpenCV's fonts have: accents fall, what has no likeness becomes a question mark."""
    letters = unicodedata.normalize("NFKD", text.replace("\u00df", "ss"))
    return (
        "".join(letter for letter in letters if not unicodedata.combining(letter)).encode("ascii", "replace").decode()
    )


def fitting(text: str, width: int, size: float) -> str:
    """The text, cut with two dots where it is wider than ``width`` pixels."""
    shown = plain(text)
    while len(shown) > 3 and cv2.getTextSize(shown, FONT, size, 2)[0][0] > width:
        shown = shown[:-3].rstrip() + ".."
    return shown
