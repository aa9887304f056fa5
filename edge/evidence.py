"""Pictures made from frames: drawn boxes, and the JPEGs of the stream."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import cv2

from edge.config import Video
from edge.errors import EdgeError
from edge.types import Detection, Frame, Image, Look, Result, VideoFrame
from edge.workers import Latest

logger = logging.getLogger(__name__)
RELEVANT = (40, 40, 230)  # blue, green, red
OTHER = (200, 160, 60)
MAX_LOOKS = 4  # each costs a JPEG a frame
LEAST_QUALITY = 30  # a picture that must be small loses quality down to this, and then size
LEAST_WIDTH = 64


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


@dataclass(frozen=True, slots=True)
class Still:
    """One picture as JPEG, with the size and the quality that it really has."""

    jpeg: bytes
    width: int
    height: int
    quality: int


def still(result: Result, look: Look, max_width: int, max_bytes: int) -> Still:
    """The frame of ``result`` as JPEG of at most ``max_bytes``: less good, then smaller, until it fits.

    Raises EdgeError where there is no frame, or no picture of it is small enough.
    """
    if result.frame is None:
        raise EdgeError("there is no frame to make a picture of")
    whole = _draw(result, result.frame, look.annotated)
    quality, width = look.quality, min(max_width, whole.shape[1])
    while True:
        image = _shrink(whole, width)
        jpeg = encode_jpeg(image, quality)
        if len(jpeg) <= max_bytes:
            return Still(jpeg, image.shape[1], image.shape[0], quality)
        if quality > LEAST_QUALITY:
            quality = max(LEAST_QUALITY, quality - 15)
        elif width > LEAST_WIDTH:
            width = max(LEAST_WIDTH, width * 3 // 4)
        else:
            raise EdgeError(f"no picture of the frame fits into {max_bytes} bytes")


class VideoEncoder:
    """``submit`` takes results from the inference thread; ``run`` is a thread's work: JPEGs of them to ``publish``.

    ``wanted`` tells the looks that are asked for now; None is the one of ``settings``. Each is encoded once, at most
    ``max_fps`` times a second and only while somebody wants it. Where more than MAX_LOOKS differ, what is too many is
    served with the settings' own; who asked is told by ``look``, and by ``annotated`` what it is. The newest frame
    wins: ``skipped`` counts the frames that were due and made way for a newer one.

    Synchronization: submit belongs to one thread and run to another; ``settings`` may be replaced and ``skipped``
    read from any.
    """

    def __init__(
        self,
        settings: Video,
        wanted: Callable[[], Collection[Look | None]],
        publish: Callable[[VideoFrame], None],
    ) -> None:
        self.settings = settings
        self._wanted = wanted
        self._publish = publish
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
        while not stopping.is_set():
            item = self._slot.take(timeout=0.25)
            if item is not None:
                self._encode(*item)

    def _encode(self, result: Result, frame: Frame, looks: Collection[Look | None]) -> None:
        settings = self.settings
        made: dict[Look, VideoFrame] = {}
        for look, real in _plan(looks, Look(settings.quality, settings.annotated)).items():
            if real not in made:
                made[real] = _video_frame(result, frame, real, settings.max_width)
            self._publish(replace(made[real], look=look))


def _plan(looks: Collection[Look | None], own: Look) -> dict[Look | None, Look]:
    """For each look that is asked for the one that is made."""
    different = {look or own for look in looks}
    if len(different) > MAX_LOOKS:
        others = sorted(different - {own}, key=lambda look: (look.quality, look.annotated))
        different = {own, *others[: MAX_LOOKS - 1]}
    return {look: look if look in different and look is not None else own for look in looks}


def _video_frame(result: Result, frame: Frame, look: Look, max_width: int) -> VideoFrame:
    image = _shrink(_draw(result, frame, look.annotated), max_width)
    return VideoFrame(
        frame_id=frame.sequence,
        timestamp=frame.captured_at,
        camera_id=result.camera_id,
        width=image.shape[1],
        height=image.shape[0],
        annotated=look.annotated,
        jpeg=encode_jpeg(image, look.quality),
    )


def _draw(result: Result, frame: Frame, annotated: bool) -> Image:
    return annotate(frame.image, result.detections, result.crime_relevant) if annotated else frame.image


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
