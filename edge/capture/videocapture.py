"""OpenCV's VideoCapture, kept quiet: what fails is said by our own errors."""

from __future__ import annotations

import os
from collections.abc import Sequence

import cv2
import numpy as np

from edge.errors import CaptureError
from edge.types import Image


def open_capture(address: str, backend: int, parameters: Sequence[int] = ()) -> cv2.VideoCapture:
    """A VideoCapture that may or may not be open. ``parameters``: property, value, property, value ..."""
    try:
        return cv2.VideoCapture(address, backend, list(parameters))
    except cv2.error as error:  # the address may hold a password
        raise CaptureError(f"OpenCV refuses the source: {error.err}") from error


def hush() -> None:
    """Keep OpenCV and FFmpeg from printing on their own; to be called before there are threads."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if hasattr(cv2, "setLogLevel"):  # up to 4.12
        cv2.setLogLevel(0)
    else:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def as_image(array: cv2.typing.MatLike) -> Image:
    """Blue-green-red, 8 bits, whatever the decoder gave (grey, alpha, 16 bits)."""
    if array.dtype != np.uint8:
        array = cv2.normalize(array, np.empty(0), 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    if array.ndim == 2 or array.shape[2] == 1:
        array = cv2.cvtColor(array, cv2.COLOR_GRAY2BGR)
    elif array.shape[2] == 4:
        array = cv2.cvtColor(array, cv2.COLOR_BGRA2BGR)
    return np.ascontiguousarray(array, dtype=np.uint8)
