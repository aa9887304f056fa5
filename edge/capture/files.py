"""Recordings: a video file, or a folder of pictures."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import cv2

from edge.capture.source import IMAGE_SUFFIXES, Picture
from edge.capture.videocapture import as_image, hush, open_capture
from edge.config import Camera
from edge.errors import CaptureError, SourceEnded

logger = logging.getLogger(__name__)


class VideoFile:
    """A video file at its own frame rate; with ``loop`` it starts again at its end."""

    live = False
    reopens: int | None = None

    def __init__(self, path: Path, settings: Camera) -> None:
        hush()
        self.name = str(path)
        self.fps = settings.fps
        self._path = path
        self._loop = settings.loop
        self._capture: cv2.VideoCapture | None = None
        self._frames = 0

    def start(self) -> None:
        _check_file(self._path)
        self.close()
        self._capture = open_capture(str(self._path), cv2.CAP_ANY)
        if not self._capture.isOpened():
            raise CaptureError(
                f"{self._path}: is no video that OpenCV can read; convert it, for example to H.264 in mp4"
            )
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        if 0 < fps <= 240:
            self.fps = fps
        self._frames = 0

    def read(self) -> Picture:
        ok, image = self._next()
        if not ok and self._loop and self._frames:
            self.start()
            ok, image = self._next()
        if not ok and not self._frames:
            raise CaptureError(f"{self._path}: holds no frame that can be decoded; is the file whole?")
        if not ok or image is None:
            raise SourceEnded(f"{self._path}: ended after {self._frames} frames")
        self._frames += 1
        return Picture(as_image(image))

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _next(self) -> tuple[bool, cv2.typing.MatLike | None]:
        if self._capture is None:
            raise CaptureError(f"{self._path}: is not open")
        try:
            return self._capture.read()
        except cv2.error as error:
            raise CaptureError(f"{self._path}: cannot be decoded: {error.err}") from error


class PictureFolder:
    """The pictures of a folder in the order of their names, or one picture, at the configured frame rate."""

    live = False
    reopens: int | None = None

    def __init__(self, path: Path, settings: Camera) -> None:
        self.name = str(path)
        self.fps = settings.fps
        self._path = path
        self._loop = settings.loop
        self._files: list[Path] = []
        self._skipped: set[Path] = set()  # said once
        self._next = 0
        self._readable = 0

    def start(self) -> None:
        try:
            self._files = self._list()
        except CaptureError:
            raise
        except OSError as error:
            raise CaptureError(f"{self._path}: cannot be listed: {error.strerror}") from error
        if not self._files:
            raise CaptureError(f"{self._path}: holds no picture ({', '.join(sorted(IMAGE_SUFFIXES))})")
        self._next = self._readable = 0

    def read(self) -> Picture:
        while True:
            if self._next == len(self._files):
                self._rewind()
            file = self._files[self._next]
            self._next += 1
            image = cv2.imread(str(file), cv2.IMREAD_COLOR)
            if image is not None:
                self._readable += 1
                return Picture(as_image(image))
            if file not in self._skipped:
                self._skipped.add(file)
                logger.warning("%s: cannot be read as a picture; skipped", file)

    def close(self) -> None:
        self._files = []

    def _list(self) -> list[Path]:
        if not os.path.isdir(self._path):
            _check_file(self._path)
            return [self._path]
        return sorted(file for file in self._path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)

    def _rewind(self) -> None:
        if not self._readable:
            raise CaptureError(f"{self._path}: holds no picture that can be read")
        if not self._loop:
            raise SourceEnded(f"{self._path}: ended after {self._readable} pictures")
        self._next = self._readable = 0


def _check_file(path: Path) -> None:
    if os.path.exists(path) and not os.path.isfile(path):  # opening a named pipe would wait for its other end
        raise CaptureError(f"{path}: is no file; give a video, a picture or a folder of pictures")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise CaptureError(f"{path}: cannot be read: {error.strerror}; is the name right?") from error
    if empty:
        raise CaptureError(f"{path}: is empty; is the file whole?")
