"""From a frame to a model's input, and boxes back from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.inference.tensors import Array, Tensor
from edge.types import Frame, Image

GREY = 114  # what YOLO models are trained and exported with around the picture
Resize = Literal["letterbox", "stretch"]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a frame of ``frame_width`` x ``frame_height`` lies in the input, in pixels of the input."""

    frame_width: int
    frame_height: int
    left: int
    top: int
    width: int
    height: int

    def to_frame(self, boxes: NDArray[np.float32], input_width: int, input_height: int) -> NDArray[np.float32]:
        """``boxes`` (n, 4) as xmin, ymin, xmax, ymax in 0..1 of the input -> pixels of the frame, clipped to it."""
        size = np.array([input_width, input_height] * 2, np.float32)
        offset = np.array([self.left, self.top] * 2, np.float32)
        limit = np.array([self.frame_width, self.frame_height] * 2, np.float32)
        scale = limit / np.array([self.width, self.height] * 2, np.float32)
        mapped: NDArray[np.float32] = np.clip((boxes * size - offset) * scale, 0, limit)
        return mapped


class Preprocessor:
    """Fills one input buffer, shape (1, height, width, 3), again and again.

    ``resize`` letterbox: scaled by the smaller ratio to rounded sizes, bilinear, centred on grey 114, as Ultralytics'
    exporter does; stretch: each side to the input's. A quantized input takes 0..1, -1..1 or 0..255 as its own scale
    says; a float input takes 0..1 for YOLO, -1..1 for SSD.

    Raises ModelError for an input that is no picture. Synchronization: one owner thread.
    """

    def __init__(self, tensor: Tensor, resize: Resize, decoder: str) -> None:
        if len(tensor.shape) != 4 or tensor.shape[0] != 1 or tensor.shape[3] != 3 or min(tensor.shape) < 1:
            raise ModelError(f"input {tensor.name} {tensor}: is no picture of the shape [1, height, width, 3]")
        if tensor.dtype not in (np.uint8, np.int8, np.float32):
            raise ModelError(f"input {tensor.name} {tensor}: only uint8, int8 and float32 are supported")
        self.height, self.width = tensor.shape[1:3]
        self.input: Array = np.zeros(tensor.shape, tensor.dtype)
        self._resize = resize
        self._table = pixel_table(tensor, decoder)
        self._mask = _mask(self._table)
        self._lookup = self._table.reshape(256, 1, 3)
        self._placement: Placement | None = None
        self._small: Image = np.empty((1, 1, 3), np.uint8)  # the content, blue-green-red, and then ...
        self._target: Array = self.input[0]  # ... its place in the input

    def content_size(self, frame_width: int, frame_height: int) -> tuple[int, int]:
        """Width and height, in the input, of a frame of the given size: what a camera's scaler should deliver."""
        if self._resize == "stretch":
            return self.width, self.height
        ratio = min(self.width / frame_width, self.height / frame_height)
        return max(1, round(frame_width * ratio)), max(1, round(frame_height * ratio))

    def fill(self, frame: Frame) -> Placement:
        """Put the frame, or its ``lores`` picture where there is one, into ``input``; where it lies there."""
        placement = self._placement
        if placement is None or (placement.frame_width, placement.frame_height) != (frame.width, frame.height):
            placement = self._placement = self._lay_out(frame.width, frame.height)
        source = frame.image if frame.lores is None else frame.lores
        if source.shape[:2] != (placement.height, placement.width):
            cv2.resize(source, (placement.width, placement.height), dst=self._small, interpolation=cv2.INTER_LINEAR)
            source = self._small
        self._convert(source)
        return placement

    def _convert(self, source: Image) -> None:
        if self._mask is None:
            rgb = cv2.cvtColor(source, cv2.COLOR_BGR2RGB, dst=self._small if source is not self._small else None)
            cv2.LUT(rgb, self._lookup, dst=self._target)
            return
        if self._mask:
            source = np.bitwise_xor(source, self._mask, out=self._small)
        cv2.cvtColor(source, cv2.COLOR_BGR2RGB, dst=self._target.view(np.uint8))

    def _lay_out(self, frame_width: int, frame_height: int) -> Placement:
        width, height = self.content_size(frame_width, frame_height)
        left = round((self.width - width) / 2 - 0.1)
        top = round((self.height - height) / 2 - 0.1)
        self.input[0] = self._table[GREY]
        self._target = self.input[0, top : top + height, left : left + width]
        self._small = np.empty((height, width, 3), np.uint8)
        return Placement(frame_width, frame_height, left, top, width, height)


def pixel_table(tensor: Tensor, decoder: str) -> Array:
    """What each pixel value 0..255 becomes in the input: shape (256, 3) for red, green, blue, the tensor's dtype."""
    pixels = np.repeat(np.arange(256, dtype=np.float64)[:, None], 3, axis=1)
    if tensor.quantized and _spans_pixels(tensor):
        return (pixels + np.iinfo(tensor.dtype).min).astype(tensor.dtype)
    if tensor.dtype == np.uint8 and not tensor.quantized:
        return pixels.astype(np.uint8)
    real = pixels / 255 if decoder == "yolo" else (pixels - 127.5) / 127.5
    if not tensor.quantized:
        return np.asarray(real.astype(tensor.dtype))
    limits = np.iinfo(tensor.dtype)
    quantized = np.clip(np.rint(real / tensor.scale) + tensor.zero_point, limits.min, limits.max)
    return np.asarray(quantized.astype(tensor.dtype))


def _mask(table: Array) -> np.uint8 | None:
    """The bits in which each input byte differs from its pixel, where they are the same for all; else None.

    That is 0 for raw pixels and 128 for pixels minus 128: 20 times cheaper than looking each pixel up.
    """
    if table.dtype.itemsize != 1:
        return None
    differing = table.view(np.uint8) ^ np.arange(256, dtype=np.uint8)[:, None]
    return np.uint8(differing[0, 0]) if (differing == differing[0, 0]).all() else None


def _spans_pixels(tensor: Tensor) -> bool:
    """Whether the quantized values stand for 0..1, -1..1 or 0..255: then a step is a pixel's step."""
    low, high = tensor.real_range
    return any(
        abs(low - start) <= 0.03 * (end - start) and abs(high - end) <= 0.03 * (end - start)
        for start, end in ((0, 1), (-1, 1), (0, 255))
    )
