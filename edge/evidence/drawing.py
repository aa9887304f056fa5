"""Boxes on pictures, and pictures as JPEG."""

from __future__ import annotations

from collections.abc import Sequence

import cv2

from edge.errors import EdgeError
from edge.evidence.masks import Masks
from edge.types import Detection, Frame, Image, Result

RELEVANT = (40, 40, 230)  # blue, green, red
OTHER = (200, 160, 60)


def annotate(image: Image, detections: Sequence[Detection], relevant: Sequence[bool] = ()) -> Image:
    """A copy of ``image`` with a box, a name and a score for each detection; crime-relevant ones in red."""
    copy: Image = image.copy()
    scale = max(image.shape[1] / 1280, 0.5)
    for index, detection in enumerate(detections):
        colour = RELEVANT if index < len(relevant) and relevant[index] else OTHER
        _draw_box(copy, detection, colour, scale)
    return copy


def encode_jpeg(image: Image, quality: int) -> bytes:
    """``image`` as JPEG; ``quality`` 0 to 100. Raises EdgeError."""
    try:
        ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error as error:
        raise EdgeError(f"a picture of shape {image.shape} cannot be encoded as JPEG: {error.err}") from error
    if not ok:
        raise EdgeError(f"a picture of {image.shape[1]} x {image.shape[0]} cannot be encoded as JPEG")
    return data.tobytes()


def draw(result: Result, frame: Frame, annotated: bool, masks: Masks) -> Image:
    """The picture of a frame as it may be shown, with boxes if ``annotated``; nobody may write to it.

    Masks are filled once more over the boxes: under a mask every pixel is black. Raises EdgeError where that fails.
    """
    image = masks.cover(frame)
    return masks.fill(annotate(image, result.detections, result.crime_relevant)) if annotated else image


def shrink(image: Image, max_width: int) -> Image:
    """The picture, scaled down where it is wider than ``max_width`` pixels. Raises EdgeError."""
    height, width = image.shape[:2]
    if width <= max_width:
        return image
    size = (max_width, max(1, round(height * max_width / width)))
    try:
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]  # uint8 in, uint8 out
    except cv2.error as error:
        raise EdgeError(f"a picture of shape {image.shape} cannot be scaled to {size}: {error.err}") from error


def _draw_box(image: Image, detection: Detection, colour: tuple[int, int, int], scale: float) -> None:
    box = detection.box
    left, top = round(box.xmin), round(box.ymin)
    line = max(1, round(2 * scale))
    cv2.rectangle(image, (left, top), (round(box.xmax), round(box.ymax)), colour, line)
    text = f"{detection.class_name} {detection.confidence:.2f}"
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.6 * scale
    (width, height), below = cv2.getTextSize(text, font, size, 1)
    base = top - line if top > height + below + line else top + height + below + line
    cv2.rectangle(image, (left, base - height - below), (left + width, base), colour, cv2.FILLED)
    cv2.putText(image, text, (left, base - below + 1), font, size, (255, 255, 255), 1, cv2.LINE_AA)
