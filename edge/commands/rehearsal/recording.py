"""Rules over a recording, by the device's own loop, in the recording's own time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge.capture.source import Picture, Source
from edge.config import Config
from edge.errors import CaptureError, SourceEnded
from edge.inference.detector import Detector
from edge.pipeline import Pipeline, View
from edge.rules.engine import Memory
from edge.types import Frame, Result
from edge.workers import Latest


@dataclass(frozen=True, slots=True)
class Part:
    """What of a recording is looked at, in seconds from its beginning; None: to its end."""

    start_s: float = 0.0
    end_s: float | None = None


class Recording(Latest[Frame]):
    """A slot that is never empty before the recording ends: who takes a frame has it read, so none is dropped.

    A frame's monotonic time is its time in the recording, from 0; its Unix time is that after ``begins_at``. The source
    is started here. Raises CaptureError for one that cannot be read, or that ends before the part begins.

    Synchronization: none; it belongs to the thread that takes.
    """

    def __init__(self, source: Source, part: Part, begins_at: float) -> None:
        super().__init__()
        self._source = source
        self._part = part
        self._begins_at = begins_at
        self._read = 0  # pictures, those before the part included
        source.start()
        self._next: Picture | None = self._first()

    def take(self, timeout: float | None = None) -> Frame | None:  # noqa: ARG002 - it never waits
        picture = self._next
        if picture is None:
            return None
        at, number = self._at, self._read
        self._next = self._picture()
        return Frame(number, round(self._begins_at + at, 3), at, picture.image, picture.lores)

    @property
    def closed(self) -> bool:
        return self._next is None

    @property
    def _at(self) -> float:
        """The time of the picture that was read last."""
        return (self._read - 1) / self._source.fps

    def _first(self) -> Picture:
        while True:
            picture = self._picture()
            if picture is None:
                raise CaptureError(
                    f"{self._source.name}: ends before --start {self._part.start_s:g}; it is "
                    f"{self._read / self._source.fps:.1f} s long"
                )
            if self._at >= self._part.start_s:
                return picture

    def _picture(self) -> Picture | None:
        end_s = self._part.end_s
        if end_s is not None and self._read / self._source.fps >= end_s:
            return None
        try:
            picture = self._source.read()
        except SourceEnded:
            return None
        self._read += 1
        return picture


class Rehearsal(Pipeline):
    """The loop of a device; while it runs, a sink may ask for what the rules remember.

    Synchronization: all of it belongs to one thread.
    """

    def memories(self, monotonic: float) -> tuple[Memory, ...]:
        """What each rule remembers at this time of the recording."""
        return self._engine.memories(monotonic)


def rehearse(
    recording: Recording,
    detector: Detector,
    config: Config,
    observe: Callable[[Result, Sequence[Memory]], None],
    max_frames: int | None = None,
) -> None:
    """Look at every frame; ``observe`` is called with each result and what the rules remember after it."""

    def sink(result: Result) -> None:
        if result.frame is not None:
            observe(result, pipeline.memories(result.frame.monotonic))

    description = detector.description
    pipeline = Rehearsal(
        recording,
        detector,
        config,
        model=description.model,
        degraded=description.degraded,
        view=lambda: View("ok", "", live=False),
        sinks=(sink,),
        max_frames=max_frames,
    )
    pipeline.run(threading.Event())
