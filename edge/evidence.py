"""Pictures made from frames: drawn boxes, and the JPEGs of the stream."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

import cv2

from edge.config import Video
from edge.errors import EdgeError
from edge.types import Detection, Frame, Image, Result, VideoFrame
from edge.workers import Latest

logger = logging.getLogger(__name__)
RELEVANT = (40, 40, 230)  # blue, green, red
OTHER = (200, 160, 60)


def annotate(image: Image, detections: Sequence[Detection], relevant: Sequence[bool] = ()) -> Image:
    """A copy of ``image`` with a box, a name and a score for each detection; crime-relevant ones in red."""
    copy: Image = image.copy()
    scale = max(image.shape[1] / 1280, 0.5)
    for index, detection in enumerate(detections):
        colour = RELEVANT if index < len(relevant) and relevant[index] else OTHER
        _draw_box(copy, detection, colour, scale)
    return copy


def encode_jpeg(image: Image, quality: int) -> bytes:
    """``image`` as JPEG; ``quality`` 0 to 100."""
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise EdgeError(f"a picture of {image.shape[1]} x {image.shape[0]} cannot be encoded as JPEG")
    return data.tobytes()


class VideoEncoder:
    """``submit`` takes results from the inference thread; ``run`` is a thread's work: JPEGs of them to ``publish``.

    The newest frame wins; nothing is encoded while nobody ``wanted()`` it, and at most ``max_fps`` a second.
    """

    def __init__(self, settings: Video, wanted: Callable[[], bool], publish: Callable[[VideoFrame], None]) -> None:
        self._settings = settings
        self._wanted = wanted
        self._publish = publish
        self._slot: Latest[tuple[Result, Frame]] = Latest()
        self._next_due = 0.0

    def submit(self, result: Result) -> None:
        """Never blocks."""
        now = time.monotonic()
        if result.frame is None or now < self._next_due or not self._wanted():
            return
        interval = 1 / self._settings.max_fps
        in_step = now - self._next_due < interval
        self._next_due = (self._next_due if in_step else now) + interval
        self._slot.put((result, result.frame))

    def run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            item = self._slot.take(timeout=0.25)
            if item is not None:
                self._publish(self._encode(*item))

    def _encode(self, result: Result, frame: Frame) -> VideoFrame:
        image = frame.image
        if self._settings.annotated:
            image = annotate(image, result.detections, result.crime_relevant)
        image = _shrink(image, self._settings.max_width)
        return VideoFrame(
            frame_id=frame.sequence,
            timestamp=frame.captured_at,
            camera_id=result.camera_id,
            width=image.shape[1],
            height=image.shape[0],
            annotated=self._settings.annotated,
            jpeg=encode_jpeg(image, self._settings.quality),
        )


def _shrink(image: Image, max_width: int) -> Image:
    height, width = image.shape[:2]
    if width <= max_width:
        return image
    size = (max_width, max(1, round(height * max_width / width)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]  # uint8 in, uint8 out


def _draw_box(image: Image, detection: Detection, colour: tuple[int, int, int], scale: float) -> None:
    box = detection.box
    left, top = round(box.xmin), round(box.ymin)
    line = max(1, round(2 * scale))
    cv2.rectangle(image, (left, top), (round(box.xmax), round(box.ymax)), colour, line)
    text = f"{detection.class_name} {detection.confidence:.2f}"
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.6 * scale
    (width, height), below = cv2.getTextSize(text, font, size, 1)
    base = top - line if top > height + below + line else top + height + below + line
    cv2.rectangle(image, (left, base - height - below), (left + width, base), colour, cv2.FILLED)
    cv2.putText(image, text, (left, base - below + 1), font, size, (255, 255, 255), 1, cv2.LINE_AA)
