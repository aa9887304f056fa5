"""What a source of pictures is, and how one is chosen by its address."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from edge.config import Camera
from edge.paths import expand
from edge.types import Image

LoresSize: TypeAlias = Callable[[int, int], tuple[int, int]]
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


class Picture(NamedTuple):
    """One picture as a source gives it: blue-green-red, and the scaled-down one where the camera made it."""

    image: Image
    lores: Image | None = None


class Source(Protocol):
    """Something that gives pictures one after the other, used by one thread at a time.

    ``live`` sources give a picture when there is one; the others are recordings that can wait, and play at ``fps``.
    ``reopens``: how often a failed one may be started again in this process (None: without end).
    """

    name: str
    live: bool
    fps: float
    reopens: int | None

    def start(self) -> None:
        """Open it; raises CaptureError."""

    def read(self) -> Picture:
        """The next picture; blocks. Raises SourceEnded after a recording's last one, CaptureError when it is lost."""

    def close(self) -> None:
        """Free it; idempotent, and start() may follow."""


def open_source(settings: Camera, lores_size: LoresSize | None = None) -> Source:
    """The source of ``settings.source``, not started yet.

    ``lores_size`` maps a picture's (width, height) to the size that the detector wants to be given, for cameras whose
    own hardware can scale. Raises CaptureError when the address fits no source.
    """
    address = settings.source
    if address == "scene":
        from edge.capture.synthetic import SceneSource

        return SceneSource(settings)
    if address == "picamera":
        from edge.capture.picamera import PiCamera

        return PiCamera(settings, lores_size)
    if address.isdigit() or address.startswith("/dev/") or "://" in address or address.startswith("gst:"):
        from edge.capture.opencv import open_camera

        return open_camera(settings)
    from edge.capture.files import PictureFolder, VideoFile

    path = expand(address)
    pictures = os.path.isdir(path) or path.suffix.lower() in IMAGE_SUFFIXES
    return PictureFolder(path, settings) if pictures else VideoFile(path, settings)
