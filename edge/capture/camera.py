"""The capture thread: opens the source, hands over its newest frame, and opens it again when it is lost."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Literal

from edge.capture.source import Picture, Source
from edge.config import Camera
from edge.errors import CaptureError, SourceEnded
from edge.types import Frame
from edge.workers import Latest

logger = logging.getLogger(__name__)
POLL_S = 0.2  # how soon a wait notices that the source is to be opened again
# The longest honest call: a name that three servers do not answer takes 30 s, twice that with a search domain, and a
# GStreamer pipeline 30 s to start. Meanwhile the stream says blind; a driver that hangs longer needs a new process.
OPENING_S = 90.0
LATE_S = 1.0  # a recording that fell this far behind its own pace starts a new count instead of racing


@dataclass(frozen=True, slots=True)
class CameraState:
    """``opening``, ``running``, ``lost`` (with the reason) or ``ended``; ``losses`` counts since start."""

    name: str
    phase: Literal["opening", "running", "lost", "ended"]
    reason: str = ""
    losses: int = 0


class CaptureLoop:
    """``run`` is the capture thread's work: frames into ``slot`` until told to stop or the recording ends.

    A live source's older frame is dropped when nobody took it; a recording played with ``unpaced`` waits instead.
    A source that fails is closed and started again after a wait that doubles up to ``retry_max_s``; one whose
    ``reopens`` are used up raises CaptureError, which ends the program.

    Synchronization: ``state``, ``captured`` and ``live`` may be read, and restart called, from any thread; run belongs
    to one.
    """

    def __init__(self, source: Source, settings: Camera, slot: Latest[Frame]) -> None:
        self.state = CameraState(source.name, "opening")
        self.captured = 0
        self.live = source.live
        self._source = source
        self._settings = settings
        self._slot = slot
        self._waits = settings.unpaced and not source.live
        self._retry_s = settings.retry_min_s
        self._started = False
        self._restart = threading.Event()
        self._restarts = 0
        self._first: Picture | None = None
        self._due = self._running_since = 0.0

    @property
    def limit_s(self) -> float:
        """How long one turn of the loop may take: a call of the driver, and a read that waits ``stall_s``."""
        return OPENING_S + self._settings.stall_s

    def start(self) -> None:
        """Open the source; raises CaptureError.

        A recording is to be opened before the thread starts, its first picture read: one that is bad stays so.
        """
        self._source.start()
        self._first = None if self._source.live else self._source.read()
        self._started = True

    def restart(self) -> None:
        """Have the source closed and opened again, soon; it is no loss. A call that the driver hangs in ends first.

        Raises CaptureError for a recording, after the end, and for a source that may not be opened again.
        """
        name = self._source.name
        if not self._source.live and self._settings.source != "scene":
            raise CaptureError(f"{name}: is a recording; only a camera or the scene can be opened again")
        if self.state.phase == "ended":
            raise CaptureError(f"{name}: has ended; restart preact-edge")
        if self._used_up(self._restarts + self.state.losses + 1):
            raise CaptureError(f"{name}: cannot be opened again in one run of the program; restart preact-edge")
        self._restart.set()

    def run(self, stopping: threading.Event) -> None:
        try:
            while not stopping.is_set():
                if self._restart.is_set():
                    self._close_to_restart()
                try:
                    self._play(stopping)
                except SourceEnded as end:
                    logger.info("%s", end)
                    self._enter("ended", str(end))
                    return
                except CaptureError as error:
                    self._lose(error)
                    self._wait(stopping, self._retry_s)
                    self._retry_s = min(2 * self._retry_s, self._settings.retry_max_s)
        finally:
            self._source.close()
            self._slot.close()

    def _play(self, stopping: threading.Event) -> None:
        if not self._started:
            self._enter("opening", self.state.reason)
            self.start()
        self._due = time.monotonic()
        while not stopping.is_set() and not self._restart.is_set():
            self._pace(stopping)
            picture, self._first = self._first or self._source.read(), None
            if self.state.phase != "running":
                self._found(picture)
            self._hand_over(picture, stopping)

    def _hand_over(self, picture: Picture, stopping: threading.Event) -> None:
        self.captured += 1
        # To the millisecond, as clients see it: an alert's label is the second that its timestamp shows.
        frame = Frame(self.captured, round(time.time(), 3), time.monotonic(), picture.image, picture.lores)
        if not self._waits:
            self._slot.put(frame)
            return
        while not self._slot.hand(frame, timeout=POLL_S) and not (stopping.is_set() or self._restart.is_set()):
            pass

    def _pace(self, stopping: threading.Event) -> None:
        """Wait until a recording's next frame is due."""
        if self._source.live or self._waits:
            return
        now = time.monotonic()
        if now < self._due:
            self._wait(stopping, self._due - now)
        elif now - self._due > LATE_S:
            self._due = now
        self._due += 1 / self._source.fps

    def _wait(self, stopping: threading.Event, seconds: float) -> None:
        """Wait so long, or until told to stop or to restart."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._restart.is_set():
            if stopping.wait(min(left, POLL_S)):
                return

    def _close_to_restart(self) -> None:
        self._restart.clear()
        self._restarts += 1
        logger.info("camera %s: is opened again, as asked", self._source.name)
        self._source.close()
        self._started = False
        self._first = None
        self._retry_s = self._settings.retry_min_s
        self._enter("opening", "it is opened again, as asked")

    def _used_up(self, times: int) -> bool:
        """Whether the source may not be opened again so many times."""
        return self._source.reopens is not None and times > self._source.reopens

    def _found(self, picture: Picture) -> None:
        height, width = picture.image.shape[:2]
        logger.info("camera %s: running, %d x %d", self._source.name, width, height)
        self._running_since = time.monotonic()
        self._enter("running")

    def _lose(self, error: CaptureError) -> None:
        self._source.close()
        self._started = False
        losses = self.state.losses + 1
        if self.state.phase == "running" and time.monotonic() - self._running_since > self._settings.retry_max_s:
            self._retry_s = self._settings.retry_min_s  # it ran well for a while: not one that comes and goes
        if self._used_up(losses + self._restarts):
            raise error
        if str(error) != self.state.reason:
            logger.error("camera lost: %s; trying again, first in %g s", error, self._retry_s)
        self.state = CameraState(self._source.name, "lost", str(error), losses)

    def _enter(self, phase: Literal["opening", "running", "ended"], reason: str = "") -> None:
        self.state = CameraState(self._source.name, phase, reason, self.state.losses)
