"""Where results, alerts, pictures and states are left, and each client's connection takes them from."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from edge.errors import ProtocolError
from edge.stream.mailbox import Encodings, Form, Mailbox, Stage
from edge.types import Look, Result, StoredAlert, StreamBounds, VideoFrame
from edge.wire import messages
from edge.wire.framing import MAX_JPEG, blob_prefix, encode
from edge.wire.messages import AlertsMode, Copy, Identity
from edge.wire.requests import Topic

logger = logging.getLogger(__name__)

Unit: TypeAlias = tuple[bytes, ...]  # buffers to be sent one after the other with nothing between them


@dataclass(frozen=True, slots=True)
class Counters:
    """``clients`` is now, the rest since start; the dropped ones are summed over all clients there have been."""

    clients: int = 0
    results: int = 0
    alerts: int = 0
    videos: int = 0
    results_dropped: int = 0
    videos_dropped: int = 0
    slow_consumers: int = 0


class Hub:
    """Hands each message to every client's mailbox; it knows no socket.

    Publishing never waits for a client: it encodes the message once for each framing in use and leaves the same
    bytes in every mailbox. What happens when one is full stands in edge.stream.mailbox.

    Synchronization: any thread may call any method.
    """

    def __init__(self, identity: Identity, alerts: AlertsMode = "separate") -> None:
        self.identity = identity
        self._mode = alerts
        # Guards everything below and everything inside each mailbox.
        self._lock = threading.Lock()
        self._mailboxes: set[Mailbox] = set()
        self._counters = Counters()
        self._last: tuple[str, int] = ("", 0)  # stream and number of the last alert published

    def publish_result(self, result: Result, copies: Sequence[Copy] | None = None) -> None:
        """Send a result and its alerts; ``copies`` says how each of them is stored, without it none is."""
        copies = [Copy(alert) for alert in result.alerts] if copies is None else copies
        self._count(results=1, alerts=len(copies))
        try:
            takers = self._deliver(result, copies)
        except ProtocolError as error:
            logger.error("a result was not sent: %s", error)
        else:
            _wake(takers)

    def publish_stored(self, stored: StoredAlert, age_s: float) -> None:
        """Send sessions the numbered copy of an alert that everybody has been sent without a number."""
        copy = Copy(stored.alert, stored, age_s=age_s)
        message = Encodings(messages.alert(copy, self.identity.device_id))
        with self._lock:
            takers = [mailbox for mailbox in self._mailboxes if mailbox.stage == "session" and mailbox.wants("alerts")]
            for mailbox in takers:
                _put_alert(mailbox, message, copy)
            self._note([copy])
        _wake(takers)

    def publish_video(self, video: VideoFrame) -> None:
        """Send a picture to the clients that asked for this look of it."""
        self._count(videos=1)
        if len(video.jpeg) > MAX_JPEG:
            logger.error("a picture of %d bytes was not sent: lower video.max_width or quality", len(video.jpeg))
            return
        now = time.monotonic()
        with self._lock:
            takers = [mailbox for mailbox in self._mailboxes if mailbox.wants("frames")]
            for mailbox in takers:
                mailbox.put_video(video, now)
        _wake(takers)

    def publish_health(self, message: bytes) -> None:
        """Send a health message, not yet framed, to the sessions that want it."""
        encodings = Encodings(message)
        with self._lock:
            takers = [mailbox for mailbox in self._mailboxes if mailbox.wants("health")]
            for mailbox in takers:
                mailbox.put_health(encodings.of(mailbox.form))
        _wake(takers)

    def looks(self) -> frozenset[Look | None]:
        """How pictures are wanted right now; None is: as the settings say. Empty: by nobody."""
        with self._lock:
            return frozenset(mailbox.look for mailbox in self._mailboxes if mailbox.wants("frames"))

    def clients(self) -> int:
        """How many clients are connected, those that have not logged in left out."""
        with self._lock:
            return self._inside()

    def counters(self) -> Counters:
        """What happened up to now."""
        with self._lock:
            return replace(_with_losses(self._counters, self._mailboxes), clients=self._inside())

    def join(self, form: Form, wake: Callable[[], None], stage: Stage = "plain") -> Mailbox:
        """Open a mailbox: it gets what is published from now on."""
        mailbox = Mailbox(form, wake, stage)
        with self._lock:
            self._mailboxes.add(mailbox)
        return mailbox

    def leave(self, mailbox: Mailbox) -> None:
        """Close a mailbox; doing it twice is harmless."""
        with self._lock:
            if mailbox not in self._mailboxes:
                return
            self._mailboxes.remove(mailbox)
            self._counters = _with_losses(self._counters, [mailbox])

    def take(self, mailbox: Mailbox) -> Unit | None:
        """What to send next to this client, None when there is nothing; what was taken before counts as sent."""
        with self._lock:
            unit = mailbox.take()
            dropped = mailbox.videos_dropped
        if not isinstance(unit, VideoFrame):
            return None if unit is None else (unit,)
        form = mailbox.form
        header = encode(messages.video_frame(unit, dropped), form.framing, form.byteorder)
        return header + blob_prefix(len(unit.jpeg), form.byteorder), unit.jpeg

    def tell(self, mailbox: Mailbox, message: bytes) -> None:
        """Leave an answer for this client alone."""
        framed = Encodings(message).of(mailbox.form)
        with self._lock:
            mailbox.put_control(framed)

    def tell_health(self, mailbox: Mailbox, message: bytes) -> None:
        """Leave the state of the components for this client alone, unless one that was published waits: it is newer."""
        framed = Encodings(message).of(mailbox.form)
        with self._lock:
            if not mailbox.health_waits:
                mailbox.put_health(framed)

    def part(self, mailbox: Mailbox, message: bytes | None, *, drop: bool) -> None:
        """Let nothing more into the mailbox; ``message`` is the last word. With ``drop`` what waits is left out."""
        framed = Encodings(message).of(mailbox.form) if message is not None else None
        with self._lock:
            if drop:
                mailbox.silence()
            mailbox.stage = "ending"
            if framed is not None:
                mailbox.put_farewell(framed)

    def begin(self, bounds: StreamBounds) -> None:
        """Say, before the first alert is published, what is stored from before."""
        with self._lock:
            self._last = bounds.stream, bounds.next_seq - 1

    def greet(self, mailbox: Mailbox, topics: frozenset[Topic]) -> tuple[str, int]:
        """Make a session of a connection. Returns stream and number of the first alert that it was not sent: one that
        waited, or the next to be published, which may be on disk already."""
        with self._lock:
            unsent = mailbox.greet(topics)
            stream, seq = self._last
            return stream, unsent or seq + 1

    def place(self, mailbox: Mailbox, stream: str, start: int) -> None:
        """Let the session's numbered alerts begin with number ``start`` of ``stream``, read from the disk at first."""
        with self._lock:
            mailbox.stream, mailbox.cursor, mailbox.stale = stream, start - 1, False

    def subscribe(self, mailbox: Mailbox, topics: frozenset[Topic]) -> None:
        """Change what a session gets. Alerts, when they are new, come from the disk until ``go_live``."""
        with self._lock:
            if "alerts" in topics - mailbox.topics:
                mailbox.live = False
            mailbox.topics = topics

    def show(self, mailbox: Mailbox, look: Look | None, max_fps: float | None) -> None:
        """Set how this client's pictures are to be; None is: as the settings say."""
        with self._lock:
            mailbox.show(look, 1 / max_fps if max_fps else 0.0)

    def replay(self, mailbox: Mailbox, page: Sequence[StoredAlert], now: float) -> bool:
        """Leave alerts from the disk; False when the first is not the next one. ``now`` is Unix time."""
        device_id = self.identity.device_id
        framed = [
            Encodings(messages.alert(Copy(stored.alert, stored, True, now - stored.alert.timestamp), device_id))
            for stored in page
        ]
        with self._lock:
            for stored, message in zip(page, framed, strict=True):
                if (stored.stream, stored.seq) != (mailbox.stream, mailbox.cursor + 1):
                    return False
                mailbox.cursor = stored.seq  # also of one that a full mailbox refused: its session is over
                mailbox.put_alert(message.of(mailbox.form), stored.seq)
        return True

    def go_live(self, mailbox: Mailbox) -> bool:
        """Let alerts in as they are published, if nothing was published that the session has not; else False."""
        with self._lock:
            stream, seq = self._last
            mailbox.live = mailbox.stream != stream or mailbox.cursor >= seq
            return mailbox.live

    def _inside(self) -> int:
        return sum(mailbox.stage in ("plain", "session") for mailbox in self._mailboxes)

    def _deliver(self, result: Result, copies: Sequence[Copy]) -> list[Mailbox]:
        device_id = self.identity.device_id
        alerts = [(copy, Encodings(messages.alert(copy, device_id))) for copy in copies]
        bare = Encodings(messages.detection_result(result, device_id))
        firing = [copy for copy in copies if copy.alert.state == "firing"]
        full = bare if self._mode == "separate" else Encodings(messages.detection_result(result, device_id, firing))
        with self._lock:
            takers = [box for box in self._mailboxes if box.stage in ("plain", "session")]
            for mailbox in takers:
                if mailbox.stage == "plain":
                    self._post_plain(mailbox, alerts, full)
                else:
                    _post_session(mailbox, alerts, bare)
            self._note(copies)
        return takers

    def _post_plain(self, mailbox: Mailbox, alerts: Sequence[tuple[Copy, Encodings]], body: Encodings) -> None:
        firing = [(copy, message) for copy, message in alerts if copy.alert.state == "firing"]
        if self._mode != "batch":
            for copy, message in firing:
                mailbox.put_alert(message.of(mailbox.form), copy.stored.seq if copy.stored else 0)
        if firing and self._mode != "separate":
            _put_batch(mailbox, firing if self._mode == "batch" else (), body)
        else:
            mailbox.put_result(body.of(mailbox.form))

    def _note(self, copies: Sequence[Copy]) -> None:
        for copy in copies:
            if copy.stored is not None:
                self._last = copy.stored.stream, copy.stored.seq

    def _count(self, results: int = 0, alerts: int = 0, videos: int = 0) -> None:
        with self._lock:
            now = self._counters
            self._counters = replace(
                now, results=now.results + results, alerts=now.alerts + alerts, videos=now.videos + videos
            )


def _with_losses(known: Counters, mailboxes: Collection[Mailbox]) -> Counters:
    """What is known, and what these lost."""
    return replace(
        known,
        results_dropped=known.results_dropped + sum(box.results_dropped for box in mailboxes),
        videos_dropped=known.videos_dropped + sum(box.videos_dropped for box in mailboxes),
        slow_consumers=known.slow_consumers + sum(bool(box.overflow) for box in mailboxes),
    )


def _put_batch(mailbox: Mailbox, carried: Sequence[tuple[Copy, Encodings]], body: Encodings) -> None:
    """A result with alerts in it has an alert's place; ``carried`` are those that come in no other way."""
    first = next((copy.stored.seq for copy, _ in carried if copy.stored is not None), 0)
    unstored = tuple(message.of(mailbox.form) for copy, message in carried if copy.stored is None)
    mailbox.put_alert(body.of(mailbox.form), first, unstored)


def _post_session(mailbox: Mailbox, alerts: Sequence[tuple[Copy, Encodings]], body: Encodings) -> None:
    if mailbox.wants("alerts"):
        for copy, message in alerts:
            _put_alert(mailbox, message, copy)
    if mailbox.wants("detections"):
        mailbox.put_result(body.of(mailbox.form))


def _put_alert(mailbox: Mailbox, message: Encodings, copy: Copy) -> None:
    """Into a session's mailbox, where numbered alerts come in order and once."""
    stored = copy.stored
    if stored is None:
        mailbox.put_alert(message.of(mailbox.form))
    elif stored.stream != mailbox.stream or (mailbox.live and stored.seq > mailbox.cursor + 1):
        mailbox.stale = True
    elif mailbox.live and stored.seq > mailbox.cursor:
        mailbox.put_alert(message.of(mailbox.form), stored.seq)


def _wake(mailboxes: Iterable[Mailbox]) -> None:
    for wake in {mailbox.wake for mailbox in mailboxes}:
        wake()
