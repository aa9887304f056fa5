"""Where the pipeline leaves results and pictures, and each client's connection takes them from."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from edge.errors import ProtocolError
from edge.stream.mailbox import Form, Mailbox
from edge.types import Result, VideoFrame
from edge.wire import messages
from edge.wire.framing import MAX_JPEG, ByteOrder, Framing, blob_prefix, encode
from edge.wire.messages import AlertsMode, Identity

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
        # Guards _mailboxes, everything inside each of them, and _counters.
        self._lock = threading.Lock()
        self._mailboxes: set[Mailbox] = set()
        self._counters = Counters()

    def publish_result(self, result: Result) -> None:
        """Send a result, and its alerts in the way that the settings ask for."""
        self._count(results=1, alerts=len(result.alerts))
        if not self.clients():
            return
        try:
            self._deliver(*self._messages(result))
        except ProtocolError as error:
            logger.error("a result was not sent: %s", error)

    def publish_video(self, video: VideoFrame) -> None:
        """Send a picture to the clients of listeners with video."""
        self._count(videos=1)
        if len(video.jpeg) > MAX_JPEG:
            logger.error("a picture of %d bytes was not sent: lower video.max_width or quality", len(video.jpeg))
            return
        with self._lock:
            takers = [mailbox for mailbox in self._mailboxes if mailbox.form.video]
            for mailbox in takers:
                mailbox.put_video(video)
        _wake(takers)

    def wants_video(self) -> bool:
        """True while a client is connected that pictures are sent to."""
        with self._lock:
            return any(mailbox.form.video for mailbox in self._mailboxes)

    def clients(self) -> int:
        """How many clients are connected."""
        with self._lock:
            return len(self._mailboxes)

    def counters(self) -> Counters:
        """What happened up to now."""
        with self._lock:
            gone = self._counters
            return replace(
                gone,
                clients=len(self._mailboxes),
                results_dropped=gone.results_dropped + sum(box.results_dropped for box in self._mailboxes),
                videos_dropped=gone.videos_dropped + sum(box.videos_dropped for box in self._mailboxes),
            )

    def join(self, form: Form, wake: Callable[[], None]) -> Mailbox:
        """Open a mailbox: it gets what is published from now on."""
        mailbox = Mailbox(form, wake)
        with self._lock:
            self._mailboxes.add(mailbox)
        return mailbox

    def leave(self, mailbox: Mailbox) -> None:
        """Close a mailbox; doing it twice is harmless."""
        with self._lock:
            if mailbox not in self._mailboxes:
                return
            self._mailboxes.remove(mailbox)
            gone = self._counters
            self._counters = replace(
                gone,
                results_dropped=gone.results_dropped + mailbox.results_dropped,
                videos_dropped=gone.videos_dropped + mailbox.videos_dropped,
                slow_consumers=gone.slow_consumers + bool(mailbox.overflow),
            )

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

    def _messages(self, result: Result) -> tuple[list[bytes], list[bytes]]:
        """What has an alert's place in the queues, and what has a result's."""
        device_id = self.identity.device_id
        urgent: list[bytes] = []
        if self._mode != "batch":
            urgent = [messages.alert(alert, device_id) for alert in result.alerts]
        body = messages.detection_result(result, device_id, self._mode)
        if result.alerts and self._mode != "separate":
            return [*urgent, body], []
        return urgent, [body]

    def _deliver(self, urgent: list[bytes], ordinary: list[bytes]) -> None:
        framed: dict[tuple[Framing, ByteOrder], tuple[list[bytes], list[bytes]]] = {}
        with self._lock:
            takers = list(self._mailboxes)
            for mailbox in takers:
                form = mailbox.form.framing, mailbox.form.byteorder
                if form not in framed:
                    framed[form] = ([encode(m, *form) for m in urgent], [encode(m, *form) for m in ordinary])
                first, then = framed[form]
                for message in first:
                    mailbox.put_alert(message)
                for message in then:
                    mailbox.put_result(message)
        _wake(takers)

    def _count(self, results: int = 0, alerts: int = 0, videos: int = 0) -> None:
        with self._lock:
            now = self._counters
            self._counters = replace(
                now, results=now.results + results, alerts=now.alerts + alerts, videos=now.videos + videos
            )


def _wake(mailboxes: Iterable[Mailbox]) -> None:
    for wake in {mailbox.wake for mailbox in mailboxes}:
        wake()
