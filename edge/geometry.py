"""Boxes in the picture's plane."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box: pixels of the full frame, origin at the top left, x to the right, y down."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float

    @property
    def width(self) -> float:
        return max(0.0, self.xmax - self.xmin)

    @property
    def height(self) -> float:
        return max(0.0, self.ymax - self.ymin)

    @property
    def area(self) -> float:
        return self.width * self.height

    @property
    def centre(self) -> tuple[float, float]:
        return (self.xmin + self.xmax) / 2, (self.ymin + self.ymax) / 2

    def iou(self, other: Box) -> float:
        """Area of the intersection over area of the union, 0 to 1; 0 when both are empty."""
        overlap = self.intersection(other)
        union = self.area + other.area - overlap
        return overlap / union if union > 0 else 0.0

    def intersection(self, other: Box) -> float:
        """The common area in square pixels."""
        width = min(self.xmax, other.xmax) - max(self.xmin, other.xmin)
        height = min(self.ymax, other.ymax) - max(self.ymin, other.ymin)
        return max(0.0, width) * max(0.0, height)

    def clip(self, width: float, height: float) -> Box:
        """The part that lies inside a frame of ``width`` x ``height`` pixels."""
        return Box(
            min(max(self.xmin, 0.0), width),
            min(max(self.ymin, 0.0), height),
            min(max(self.xmax, 0.0), width),
            min(max(self.ymax, 0.0), height),
        )

    def scale(self, x: float, y: float) -> Box:
        """Every x times ``x`` and every y times ``y``."""
        return Box(self.xmin * x, self.ymin * y, self.xmax * x, self.ymax * y)

    def shift(self, x: float, y: float) -> Box:
        """The same box ``x`` further right and ``y`` further down."""
        return Box(self.xmin + x, self.ymin + y, self.xmax + x, self.ymax + y)
