"""The Raspberry Pi's camera through picamera2: the ISP scales the detector's picture, which costs no CPU."""

from __future__ import annotations

import concurrent.futures
from typing import Any

import cv2
import numpy as np

from edge.capture.source import LoresSize, Picture
from edge.config import Camera
from edge.errors import CaptureError

INSTALL = (
    "picamera: picamera2 is not installed; sudo apt install python3-picamera2, "
    "and make the venv with /usr/bin/python3 -m venv --system-site-packages"
)


class PiCamera:
    """A camera on the CSI connector: ``main`` for pictures, ``lores`` for the detector.

    Opening picamera2 again in one process leaks, so it is reopened once; then the program ends for systemd to restart.
    Raises CaptureError where picamera2 is not installed.
    """

    live = True
    reopens: int | None = 1

    def __init__(self, settings: Camera, lores_size: LoresSize | None) -> None:
        self.name = "picamera"
        self.fps = settings.fps
        self._size = (settings.width, settings.height)
        self._lores = _smaller(_even(lores_size(*self._size)), self._size) if lores_size else None
        self._timeout = settings.stall_s
        self._camera: Any = None
        try:
            from picamera2 import Picamera2
        except (ImportError, ValueError) as error:  # ValueError: simplejpeg built for another numpy
            raise CaptureError(INSTALL if isinstance(error, ImportError) else f"picamera: {error}") from error
        self._make = Picamera2

    def start(self) -> None:
        self.close()
        try:
            self._camera = self._make()
            self._camera.configure(self._configuration())
            self._camera.start()
        except (RuntimeError, IndexError, OSError) as error:  # IndexError: no camera at all
            self.close()
            raise CaptureError(f"picamera: does not start: {error}; `rpicam-hello --list-cameras` shows it?") from error

    def read(self) -> Picture:
        try:
            request = self._camera.capture_request(wait=self._timeout)
        except (TimeoutError, concurrent.futures.TimeoutError, RuntimeError) as error:
            raise CaptureError(f"picamera: no frame within {self._timeout:g} s") from error
        try:
            image = request.make_array("main")
            lores = self._convert(request.make_array("lores")) if self._lores else None
        finally:
            request.release()
        return Picture(image, lores)

    def close(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()

    def _configuration(self) -> Any:
        lores = {"size": self._lores, "format": "YUV420"} if self._lores else None  # before the Pi 5 lores is YUV only
        main = {"size": self._size, "format": "RGB888"}  # libcamera's name for blue-green-red in memory
        return self._camera.create_video_configuration(main=main, lores=lores, controls={"FrameRate": self.fps})

    def _convert(self, planes: np.ndarray[Any, np.dtype[np.uint8]]) -> Any:
        """YUV420 planes, whose rows may be padded at the right, to a blue-green-red picture of the lores size."""
        width, height = self._lores or (0, 0)
        return np.ascontiguousarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420)[:height, :width])


def _even(size: tuple[int, int]) -> tuple[int, int]:
    """YUV420 has one colour for two pixels each way."""
    return size[0] + size[0] % 2, size[1] + size[1] % 2


def _smaller(size: tuple[int, int], main: tuple[int, int]) -> tuple[int, int] | None:
    """picamera2 makes no lores picture that is larger than the main one: then the detector scales that one itself."""
    return size if size[0] <= main[0] and size[1] <= main[1] else None
