"""Short clips: a ring of the last JPEGs, and what is made of it around an alert."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from edge.config import Evidence
from edge.evidence.avi import Picture, avi
from edge.evidence.drawing import draw, encode_jpeg, shrink
from edge.evidence.masks import Masks
from edge.types import Frame, Result
from edge.workers import Latest

RING_BYTES = 16 << 20  # of JPEGs; full: the oldest go, and a clip begins later
LAG_S = 2.0  # a frame is looked at so long after it was captured, at most; the ring is longer by it
EARLY = 0.2  # of the time between two frames: cameras are not that exact, and the next frame may be far
MOST_CLIPS = 8  # that are waited for at once; full: a further event has none


class Ring:
    """The pictures of the last ``seconds``, at most ``max_bytes`` of them.

    Synchronization: none; it belongs to one thread.
    """

    def __init__(self, seconds: float, max_bytes: int = RING_BYTES) -> None:
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._bytes = 0
        self._pictures: deque[Picture] = deque()

    def put(self, picture: Picture) -> None:
        self._pictures.append(picture)
        self._bytes += len(picture.jpeg)
        while self._bytes > self._max_bytes or picture.monotonic - self._pictures[0].monotonic > self._seconds:
            self._bytes -= len(self._pictures.popleft().jpeg)
            if not self._pictures:
                return

    def between(self, begin: float, end: float) -> list[Picture]:
        """The pictures from ``begin`` to ``end``, monotonic seconds, that have the size of the last of them."""
        found = [picture for picture in self._pictures if begin <= picture.monotonic <= end]
        return [picture for picture in found if picture.size == found[-1].size]

    @property
    def size(self) -> int:
        """Bytes of the JPEGs in it."""
        return self._bytes


class Clips:
    """Films all the time, and cuts clips out of it: ``pre_s`` seconds before an alert to ``post_s`` after it.

    Each frame of the film is a JPEG, without boxes, that is made when it is taken. The newest frame wins where ``film``
    is too slow.

    Synchronization: offer and begin belong to one thread, film and ready to another; expects may be called from any.
    """

    def __init__(self, settings: Evidence, masks: Masks) -> None:
        self._settings = settings
        self._masks = masks
        self._slot: Latest[tuple[Result, Frame]] = Latest()
        self._offered_at = float("-inf")
        self._ring = Ring(settings.pre_s + settings.post_s + LAG_S)
        # Guards _begun.
        self._lock = threading.Lock()
        self._begun: dict[str, float] = {}  # by event: the time of its alert

    def offer(self, result: Result, frame: Frame) -> bool:
        """Whether the frame is one of the film. Never blocks."""
        step = 1 / self._settings.clip_fps
        late = frame.monotonic - self._offered_at - step
        if late < -EARLY * step:
            return False
        self._offered_at = frame.monotonic - (late if late < step else 0.0)  # in step, or a new count after a pause
        self._slot.put((result, frame))
        return True

    def begin(self, uid: str, monotonic: float) -> None:
        """A clip of the event is wanted, whose alert was at this time."""
        with self._lock:
            if len(self._begun) < MOST_CLIPS:
                self._begun.setdefault(uid, monotonic)

    def expects(self, uid: str) -> bool:
        """Whether a clip of the event is to be made."""
        with self._lock:
            return uid in self._begun

    def film(self) -> bool:
        """Take the frame that waits; False when there is none. Raises EdgeError for one that cannot be masked."""
        offered = self._slot.take(timeout=0)
        if offered is None:
            return False
        result, frame = offered
        image = shrink(draw(result, frame, False, self._masks), self._settings.max_width)
        jpeg = encode_jpeg(image, self._settings.quality)
        self._ring.put(Picture(frame.monotonic, (image.shape[1], image.shape[0]), jpeg))
        return True

    def ready(self, now: float) -> Iterator[tuple[str, bytes]]:
        """The clips whose time is over at ``now``: their events, and AVI files. Each is expected until it is taken."""
        settings = self._settings
        with self._lock:
            over = [(uid, at) for uid, at in self._begun.items() if now >= at + settings.post_s + LAG_S / 2]
        for uid, at in over:
            if pictures := self._ring.between(at - settings.pre_s, at + settings.post_s):
                yield uid, avi(pictures)
            with self._lock:
                del self._begun[uid]
