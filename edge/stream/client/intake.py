"""What comes from a device, on its way into the inbox: the cursor rule, and which queue."""

from __future__ import annotations

from edge.stream.client.cursor import Progress
from edge.stream.client.inbox import Inbox
from edge.stream.client.messages import Alert, DetectionResult, Event, Gap, HelloOk, VideoFrame
from edge.wire.framing import Message
from edge.wire.requests import MAX_SEQ


class Intake:
    """Takes the main connection's events. ``missed`` counts the alerts that gaps told of.

    Synchronization: the client's I/O thread; any thread may read ``missed``.
    """

    def __init__(self, progress: Progress, inbox: Inbox) -> None:
        self.missed = 0
        self._progress = progress
        self._inbox = inbox

    def take(self, event: Event, *, numbered: bool) -> None:
        """``numbered``: in a session, where alerts follow the cursor rule. ProtocolError where they do not."""
        if numbered and isinstance(event, (Alert, Message)) and _type(event) == "alert":
            self._take_alert(event)
        elif isinstance(event, DetectionResult) and not event.alerts:
            self._inbox.put_result(event)
        elif isinstance(event, VideoFrame):
            self._inbox.put_frame(event)
        else:
            self._inbox.put(event)

    def begin(self, hello: HelloOk) -> None:
        """A session: the alerts go on where the cursor is, or the application is told why not."""
        before = self._progress.cursor
        lost = self._progress.begin(hello)
        cursor = self._progress.cursor
        self._inbox.put(hello, cursor if cursor != before else None)
        if lost is not None:
            self.missed += lost.missed if isinstance(lost, Gap) else 0
            self._inbox.put(lost)

    def _take_alert(self, event: Alert | Message) -> None:
        """An alert has its number even where its fields are wrong: it must not stop those after it."""
        before = self._progress.cursor
        fresh = self._progress.admit(event if isinstance(event, Alert) else _numbered(event))
        cursor = self._progress.cursor
        moved = cursor if cursor != before else None
        if fresh or moved is not None:
            self._inbox.put(event if fresh else None, moved)


def _type(event: Alert | Message) -> str:
    return "alert" if isinstance(event, Alert) else event.type


def _numbered(message: Message) -> Alert:
    """What the cursor rule needs of an alert whose other fields are wrong."""
    names = ("seq", "stream", "event_uid", "state", "threat_level")
    seq, stream, uid, state, level = (message.get(name) for name in names)
    return Alert(
        seq=seq if type(seq) is int and 0 <= seq <= MAX_SEQ else None,
        stream=str(stream or ""),
        event_uid=uid if isinstance(uid, str) else "",
        state=str(state or "firing"),
        threat_level=str(level or ""),
    )
