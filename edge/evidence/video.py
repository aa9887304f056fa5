"""The pictures of the stream."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace

from edge.config import Video
from edge.errors import EdgeError
from edge.evidence.drawing import draw, encode_jpeg, shrink
from edge.evidence.masks import Masks
from edge.types import Frame, Look, Result, VideoFrame
from edge.workers import Latest

logger = logging.getLogger(__name__)
MAX_LOOKS = 4  # each costs a JPEG a frame


class VideoEncoder:
    """``submit`` takes results from the inference thread; ``run`` is a thread's work: JPEGs of them to ``publish``.

    ``wanted`` tells the looks that are asked for now; None is the one of ``settings``. Each is encoded once, at most
    ``max_fps`` times a second and only while somebody wants it. Where more than MAX_LOOKS differ, what is too many is
    served with the settings' own; who asked is told by ``look``, and by ``annotated`` what it is. The newest frame
    wins: ``skipped`` counts the frames that were due and made way for a newer one. What cannot be masked or encoded is
    not published, and the first of a row is logged.

    Synchronization: submit belongs to one thread and run to another; ``settings`` may be replaced and ``skipped``
    read from any.
    """

    def __init__(
        self,
        settings: Video,
        wanted: Callable[[], Collection[Look | None]],
        publish: Callable[[VideoFrame], None],
        masks: Masks,
    ) -> None:
        self.settings = settings
        self._wanted = wanted
        self._publish = publish
        self._masks = masks
        self._slot: Latest[tuple[Result, Frame, Collection[Look | None]]] = Latest()
        self._last_due: float | None = None

    @property
    def skipped(self) -> int:
        return self._slot.dropped

    def submit(self, result: Result) -> None:
        """Never blocks."""
        now, interval = time.monotonic(), 1 / self.settings.max_fps
        due = now if self._last_due is None else self._last_due + interval
        if result.frame is None or now < due:
            return
        looks = self._wanted()
        if not looks:
            return
        self._last_due = due if now - due < interval else now  # in step, or a new count after a pause
        self._slot.put((result, result.frame, looks))

    def run(self, stopping: threading.Event) -> None:
        failing = False
        while not stopping.is_set():
            item = self._slot.take(timeout=0.25)
            if item is None:
                continue
            try:
                self._encode(*item)
                failing = False
            except EdgeError as error:
                if not failing:
                    logger.error("no picture for the stream: %s", error)
                failing = True

    def _encode(self, result: Result, frame: Frame, looks: Collection[Look | None]) -> None:
        settings = self.settings
        made: dict[Look, VideoFrame] = {}
        for look, real in _plan(looks, Look(settings.quality, settings.annotated)).items():
            if real not in made:
                made[real] = self._video_frame(result, frame, real, settings.max_width)
            self._publish(replace(made[real], look=look))

    def _video_frame(self, result: Result, frame: Frame, look: Look, max_width: int) -> VideoFrame:
        image = shrink(draw(result, frame, look.annotated, self._masks), max_width)
        return VideoFrame(
            frame_id=frame.sequence,
            timestamp=frame.captured_at,
            camera_id=result.camera_id,
            width=image.shape[1],
            height=image.shape[0],
            annotated=look.annotated,
            jpeg=encode_jpeg(image, look.quality),
        )


def _plan(looks: Collection[Look | None], own: Look) -> dict[Look | None, Look]:
    """For each look that is asked for the one that is made."""
    different = {look or own for look in looks}
    if len(different) > MAX_LOOKS:
        others = sorted(different - {own}, key=lambda look: (look.quality, look.annotated))
        different = {own, *others[: MAX_LOOKS - 1]}
    return {look: look if look in different and look is not None else own for look in looks}
