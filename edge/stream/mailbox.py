"""What one client still has to be sent: bounded, by class, and what is given up when it is too much."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edge.types import VideoFrame
from edge.wire.framing import ByteOrder, Framing

MAX_ALERTS = 256  # full: the client is closed, for an alert is never dropped in silence
MAX_RESULTS = 64  # two seconds at 30 frames a second; full: the oldest is dropped and counted
MAX_BYTES = 4 << 20  # of everything that waits for one client, the unit being sent included


@dataclass(frozen=True, slots=True)
class Form:
    """How a client is spoken to: what its listener's settings say."""

    framing: Framing
    byteorder: ByteOrder
    video: bool


class Mailbox:
    """The messages that wait for one client: alerts, results, and one picture, the newest.

    ``wake`` is called, by the publishing thread and without a lock, when something came into it. ``overflow`` says
    why the client must be closed; nothing is put in from then on.

    Synchronization: none of its own; the hub's lock guards everything in it.
    """

    def __init__(self, form: Form, wake: Callable[[], None]) -> None:
        self.form = form
        self.wake = wake
        self.overflow = ""
        self.results_dropped = 0
        self.videos_dropped = 0
        self._alerts: deque[bytes] = deque()
        self._results: deque[bytes] = deque()
        self._video: VideoFrame | None = None
        self._waiting = 0  # bytes in the two queues and the picture's place
        self._sending = 0  # bytes of the unit that was taken last

    def put_alert(self, message: bytes) -> None:
        """Queue a message that must not be lost; what is in its way goes: the picture, then the oldest results."""
        if self.overflow:
            return
        if not self._fits(message) and self._video is not None:
            self._drop_video()
        self._make_room(message)
        if len(self._alerts) >= MAX_ALERTS or not self._fits(message):
            self.overflow = f"slow_consumer: {len(self._alerts)} alerts and {self._waiting} bytes waited for it"
            return
        self._alerts.append(message)
        self._waiting += len(message)

    def put_result(self, message: bytes) -> None:
        """Queue a result; where there is no place the oldest results are dropped and counted."""
        if self.overflow:
            return
        if len(self._results) >= MAX_RESULTS:
            self._drop_result()
        self._make_room(message)
        if not self._fits(message):
            self.results_dropped += 1
            return
        self._results.append(message)
        self._waiting += len(message)

    def put_video(self, video: VideoFrame) -> None:
        """Leave a picture; one that still lies there is dropped and counted, as is one that is too large."""
        if self.overflow:
            return
        if self._video is not None:
            self._drop_video()
        if not self._fits(video.jpeg):
            self.videos_dropped += 1
            return
        self._video = video
        self._waiting += len(video.jpeg)

    def take(self) -> bytes | VideoFrame | None:
        """What to send next, an alert before a result before a picture; the unit taken before counts as sent."""
        unit: bytes | VideoFrame | None = None
        if self._alerts:
            unit = self._alerts.popleft()
        elif self._results:
            unit = self._results.popleft()
        else:
            unit, self._video = self._video, None
        self._sending = _size(unit)
        self._waiting -= self._sending
        return unit

    def _fits(self, body: bytes) -> bool:
        return self._waiting + self._sending + len(body) <= MAX_BYTES

    def _make_room(self, body: bytes) -> None:
        while self._results and not self._fits(body):
            self._drop_result()

    def _drop_result(self) -> None:
        self._waiting -= len(self._results.popleft())
        self.results_dropped += 1

    def _drop_video(self) -> None:
        self._waiting -= _size(self._video)
        self._video = None
        self.videos_dropped += 1


def _size(unit: bytes | VideoFrame | None) -> int:
    if unit is None:
        return 0
    return len(unit) if isinstance(unit, bytes) else len(unit.jpeg)
