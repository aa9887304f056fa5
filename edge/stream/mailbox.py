"""What one client still has to be sent: bounded, by class, and what is given up when it is too much."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from edge.types import Look, VideoFrame
from edge.wire.framing import ByteOrder, Framing, encode
from edge.wire.requests import Topic

MAX_CONTROL = 32  # answers; full: the client asks without reading, and is closed
MAX_ALERTS = 256  # full: the client is closed, for an alert is never dropped in silence
MAX_RESULTS = 64  # two seconds at 30 frames a second; full: the oldest is dropped and counted
MAX_BYTES = 4 << 20  # of everything that waits for one client, the unit being sent included

Stage: TypeAlias = Literal["pending", "plain", "session", "ending"]


@dataclass(frozen=True, slots=True)
class Form:
    """How a client is spoken to: what its listener's settings say."""

    framing: Framing
    byteorder: ByteOrder
    video: bool


class Encodings:
    """One message in each framing in use, encoded when it is first asked for."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._framed: dict[tuple[Framing, ByteOrder], bytes] = {}

    def of(self, form: Form) -> bytes:
        key = form.framing, form.byteorder
        if key not in self._framed:
            self._framed[key] = encode(self._message, *key)
        return self._framed[key]


class _Kept(NamedTuple):
    """A message that must not be lost; ``instead`` is what a session has of it when hello is said while it waits."""

    message: bytes
    seq: int  # the number of the first alert in it, 0 for none
    instead: tuple[bytes, ...]


class Mailbox:
    """The messages that wait for one client: answers, alerts, results, and one picture and one health, the newest.

    ``stage``: a ``pending`` client has not logged in and gets answers alone; a ``plain`` one gets everything, a
    ``session`` what it subscribed to, an ``ending`` one what waits already. ``wake`` is called, by the publishing
    thread and without a lock, when something came into it. ``overflow`` says why the client must be closed; nothing
    is put in from then on.

    In a session alerts on disk come in the order of their numbers: ``cursor`` is the last one put in, and while
    ``live`` is false they are left out here, since they are being read from the disk.

    Synchronization: none of its own; the hub's lock guards everything in it.
    """

    def __init__(self, form: Form, wake: Callable[[], None], stage: Stage = "plain") -> None:
        self.form = form
        self.wake = wake
        self.stage: Stage = stage
        self.overflow = ""
        self.results_dropped = 0
        self.videos_dropped = 0
        self.topics: frozenset[Topic] = frozenset()
        self.stream = ""  # whose alerts the session's cursor counts
        self.stale = False  # what should come next is not there, or of another stream
        self.cursor = 0
        self.live = False
        self.look: Look | None = None
        self._frame_interval = 0.0
        self._next_frame = 0.0
        self._control: deque[bytes] = deque()
        self._health: bytes | None = None
        self._alerts: deque[_Kept] = deque()
        self._results: deque[bytes] = deque()
        self._video: VideoFrame | None = None
        self._farewell: bytes | None = None
        self._parted = False  # the farewell was taken: nothing follows it
        self._waiting = 0  # bytes in the queues and places above
        self._sending = 0  # bytes of the unit that was taken last

    def wants(self, topic: Topic) -> bool:
        """Whether what is published under this topic is for this client."""
        if topic == "frames" and not self.form.video:
            return False
        if self.stage == "plain":
            return topic != "health"
        return self.stage == "session" and topic in self.topics

    def show(self, look: Look | None, interval: float) -> None:
        """Set how pictures are to be, and how many seconds apart at least."""
        self.look, self._frame_interval, self._next_frame = look, interval, 0.0

    @property
    def alerts_waiting(self) -> int:
        return len(self._alerts)

    @property
    def health_waits(self) -> bool:
        return self._health is not None

    def put_control(self, message: bytes) -> None:
        """Queue an answer."""
        if self.overflow:
            return
        self._clear_way(message)
        if len(self._control) >= MAX_CONTROL or not self._fits(message):
            self.overflow = f"slow_consumer: {len(self._control)} answers waited for it"
            return
        self._control.append(message)
        self._waiting += len(message)

    def put_health(self, message: bytes) -> None:
        """Leave the newest state of the components in the place of an older one."""
        if self.overflow:
            return
        self._waiting += len(message) - len(self._health or b"")
        self._health = message

    def put_alert(self, message: bytes, seq: int = 0, instead: tuple[bytes, ...] | None = None) -> None:
        """Queue a message that must not be lost; what is in its way goes: the picture, then the oldest results.

        ``seq`` is the number of the first alert in it that has one. ``instead`` takes its place when hello is said
        while it waits; left out: itself without a number, else nothing, for that comes from the disk.
        """
        if self.overflow:
            return
        self._clear_way(message)
        if len(self._alerts) >= MAX_ALERTS or not self._fits(message):
            self.overflow = f"slow_consumer: {len(self._alerts)} alerts and {self._waiting} bytes waited for it"
            return
        self._alerts.append(_Kept(message, seq, instead if instead is not None else () if seq else (message,)))
        self._waiting += len(message)
        self.cursor = max(self.cursor, seq)

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

    def put_video(self, video: VideoFrame, now: float) -> None:
        """Leave a picture; one that still lies there is dropped and counted, as is one that is too large.

        One that is not of the look that the client asked for, or sooner than it asked for, is none of its.
        """
        if self.overflow or video.look != self.look or now < self._next_frame:
            return
        in_step = now - self._next_frame < self._frame_interval  # else a new count, after a pause
        self._next_frame = (self._next_frame if in_step else now) + self._frame_interval
        if self._video is not None:
            self._drop_video()
        if not self._fits(video.jpeg):
            self.videos_dropped += 1
            return
        self._video = video
        self._waiting += len(video.jpeg)

    def put_farewell(self, message: bytes) -> None:
        """Leave what is to be said after all that waits; nothing more comes in."""
        self.stage = "ending"
        self._farewell = message
        self._waiting += len(message)

    def greet(self, topics: frozenset[Topic]) -> int:
        """Begin a session: what waits of the plain stream goes. Returns the number of the first alert that went, or 0.

        Alerts without a number stay: they cannot be read from the disk again.
        """
        kept = deque(_Kept(message, 0, ()) for entry in self._alerts for message in entry.instead)
        first = next((entry.seq for entry in self._alerts if entry.seq), 0)
        self._alerts, self._results, self._video = kept, deque(), None
        self._waiting = self._sum()
        self.stage, self.topics = "session", topics
        return first

    def silence(self) -> None:
        """Leave out all that waits but the answers."""
        self.stage = "ending"
        self._alerts, self._results, self._video, self._health = deque(), deque(), None, None
        while len(self._control) >= MAX_CONTROL:
            self._control.popleft()
        self._waiting = self._sum()

    def take(self) -> bytes | VideoFrame | None:
        """What to send next: an answer, an alert, a result, a picture; the unit taken before counts as sent."""
        unit = self._next()
        self._sending = _size(unit)
        self._waiting -= self._sending
        return unit

    def _next(self) -> bytes | VideoFrame | None:
        unit: bytes | VideoFrame | None
        if self._parted:
            return None
        if self._control:
            return self._control.popleft()
        if self._health is not None:
            unit, self._health = self._health, None
        elif self._alerts:
            unit = self._alerts.popleft().message
        elif self._results:
            unit = self._results.popleft()
        elif self._video is not None:
            unit, self._video = self._video, None
        else:
            unit, self._farewell = self._farewell, None
            self._parted = unit is not None
        return unit

    def _fits(self, body: bytes) -> bool:
        return self._waiting + self._sending + len(body) <= MAX_BYTES

    def _clear_way(self, body: bytes) -> None:
        if not self._fits(body) and self._video is not None:
            self._drop_video()
        self._make_room(body)

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

    def _sum(self) -> int:
        messages = [*self._control, *(entry.message for entry in self._alerts), *self._results]
        return sum(map(len, messages)) + sum(map(_size, (self._health, self._video, self._farewell)))


def _size(unit: bytes | VideoFrame | None) -> int:
    if unit is None:
        return 0
    return len(unit) if isinstance(unit, bytes) else len(unit.jpeg)
