"""One picture as JPEG, small enough for where it goes."""

from __future__ import annotations

from dataclasses import dataclass

from edge.errors import EdgeError
from edge.evidence.drawing import draw, encode_jpeg, shrink
from edge.evidence.masks import Masks
from edge.types import Look, Result

LEAST_QUALITY = 30  # a picture that must be small loses quality down to this, and then size
LEAST_WIDTH = 64


@dataclass(frozen=True, slots=True)
class Still:
    """One picture as JPEG, with the size and the quality that it really has."""

    jpeg: bytes
    width: int
    height: int
    quality: int


def still(result: Result, look: Look, max_width: int, max_bytes: int, masks: Masks) -> Still:
    """The frame of ``result`` as JPEG of at most ``max_bytes``: less good, then smaller, until it fits.

    Raises EdgeError where there is no frame, or no picture of it is small enough.
    """
    if result.frame is None:
        raise EdgeError("there is no frame to make a picture of")
    whole = draw(result, result.frame, look.annotated, masks)
    quality, width = look.quality, min(max_width, whole.shape[1])
    while True:
        image = shrink(whole, width)
        jpeg = encode_jpeg(image, quality)
        if len(jpeg) <= max_bytes:
            return Still(jpeg, image.shape[1], image.shape[0], quality)
        if quality > LEAST_QUALITY:
            quality = max(LEAST_QUALITY, quality - 15)
        elif width > LEAST_WIDTH:
            width = max(LEAST_WIDTH, width * 3 // 4)
        else:
            raise EdgeError(f"no picture of the frame fits into {max_bytes} bytes")
