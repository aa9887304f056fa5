"""Cameras that OpenCV opens: V4L2, RTSP and other addresses, GStreamer pipelines."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import cv2

from edge.capture.source import Picture
from edge.capture.videocapture import as_image, hush, open_capture
from edge.config import Camera
from edge.errors import CaptureError

OPEN_TIMEOUT_MS = 5000  # a host that is down must not hold the capture thread longer


def open_camera(settings: Camera) -> OpenCVCamera:
    """The camera of ``settings.source``: a number, /dev/videoN, an address with ``://``, or ``gst:PIPELINE``."""
    hush()
    address = settings.source
    if address.startswith("gst:"):
        if not has_gstreamer():
            raise CaptureError(
                "GStreamer pipeline: this OpenCV has no GStreamer (PyPI's never has); use the system's: "
                "apt install python3-opencv and a venv with --system-site-packages"
            )
        return OpenCVCamera("GStreamer pipeline", settings, lambda: _open_gstreamer(address.removeprefix("gst:")))
    if "://" in address:
        # Read by OpenCV when it opens a camera; set here, before there are threads. A user's own stay.
        os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp|fflags;nobuffer")
        return OpenCVCamera(shown(address), settings, lambda: _open_network(address, settings))
    device = f"/dev/video{address}" if address.isdigit() else address
    return OpenCVCamera(device, settings, lambda: _open_v4l2(device, settings))


class OpenCVCamera:
    """A live camera behind cv2.VideoCapture."""

    live = True
    reopens: int | None = None

    def __init__(self, name: str, settings: Camera, opener: Callable[[], cv2.VideoCapture]) -> None:
        self.name = name
        self.fps = settings.fps
        self._open = opener
        self._capture: cv2.VideoCapture | None = None

    def start(self) -> None:
        self.close()
        self._capture = self._open()

    def read(self) -> Picture:
        if self._capture is None:
            raise CaptureError(f"{self.name}: is not open")
        try:
            ok, image = self._capture.read()
        except cv2.error as error:
            raise CaptureError(f"{self.name}: gave a frame that cannot be decoded: {error.err}") from error
        if not ok or image is None:
            raise CaptureError(f"{self.name}: stopped giving frames")
        return Picture(as_image(image))

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def shown(address: str) -> str:
    """Scheme, host and port: user and password may stand before the host, in the path or in the query."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{re.split('[/?#]', rest.rpartition('@')[2])[0]}"


def has_gstreamer() -> bool:
    """Whether this OpenCV was built with GStreamer; its list of backends names it even when it was not."""
    return re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()) is not None


def _open_v4l2(device: str, settings: Camera) -> cv2.VideoCapture:
    if not Path(device).exists():
        raise CaptureError(f"{device}: no such camera; is it plugged in? `ls /dev/video*` lists them")
    if not os.access(device, os.R_OK | os.W_OK):
        raise CaptureError(f"{device}: no right to use it; add the user to the group video")
    parameters = [
        cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"),  # raw pictures overload USB 2 above VGA
        cv2.CAP_PROP_FRAME_WIDTH, settings.width,
        cv2.CAP_PROP_FRAME_HEIGHT, settings.height,
    ]  # fmt: skip
    capture = open_capture(device, cv2.CAP_V4L2, parameters)
    if not capture.isOpened():
        capture = open_capture(device, cv2.CAP_V4L2)
    if not capture.isOpened():
        raise CaptureError(f"{device}: is no camera, or another program uses it")
    capture.set(cv2.CAP_PROP_FPS, settings.fps)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return capture


def _open_network(address: str, settings: Camera) -> cv2.VideoCapture:
    read_timeout = max(1000, round(settings.stall_s * 1000))
    parameters = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC, read_timeout,
    ]  # fmt: skip
    capture = open_capture(address, cv2.CAP_FFMPEG, parameters)
    if not capture.isOpened():
        raise CaptureError(
            f"{shown(address)}: does not answer as a video stream; are host, port, path and login right?"
        )
    return capture


def _open_gstreamer(pipeline: str) -> cv2.VideoCapture:
    capture = open_capture(pipeline, cv2.CAP_GSTREAMER)
    if not capture.isOpened():
        raise CaptureError("GStreamer pipeline: does not start; try it with gst-launch-1.0")
    return capture
