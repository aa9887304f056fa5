"""One of a client's connections to its device, with what is said on it and when it is made again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge.errors import ConfigError, ProtocolError, StreamError
from edge.stream.client.dialogue import Dialogue, Wish
from edge.stream.client.link import AddressInfo, Backoff, Link
from edge.stream.client.messages import Connected, Event, HelloOk
from edge.stream.client.refusals import NoWelcome
from edge.stream.client.tls import Tls
from edge.text import printable
from edge.wire.requests import encode_request

NEVER = float("inf")
STEADY_S = 10.0  # a plain connection that stood for so long was a good one
MAX_RETRY_AFTER_S = 60.0  # a goodbye may ask for more; who asks for a day is wrong or lying


class Line:
    """A connection that is dialled at ``dial_at`` and after each loss later; NEVER until that is set.

    Synchronization: the client's I/O thread alone.
    """

    def __init__(self, wish: Wish, tls: Tls | None) -> None:
        self.wish = wish
        self.dial_at = NEVER
        self.link: Link | None = None
        self.dialogue: Dialogue | None = None
        self.backoff = Backoff()
        self._tls = tls
        self._open_since = 0.0

    @property
    def session(self) -> HelloOk | None:
        return self.dialogue.session if self.dialogue is not None else None

    @property
    def due(self) -> float:
        """When ``tend`` must be called, or the line dialled, at the latest."""
        if self.link is None:
            return self.dial_at
        return self.dialogue.due if self.dialogue is not None else self.link.deadline

    def dial(self, host: str, addresses: Sequence[AddressInfo], now: float) -> None:
        """Begin a connection; StreamError where that is impossible."""
        self.dialogue = None
        try:
            self.link = Link(host, addresses, self._tls, now)
        except ConfigError as error:  # a certificate that is just being replaced
            raise StreamError(str(error)) from error

    def handle(self, events: int, now: float) -> Iterator[Event]:
        """Do what the socket is ready for; yields what is for the application. StreamError when it is over."""
        link = self.link
        if link is None:
            return
        for message in link.handle(events, now):
            if self.dialogue is not None:
                event = self.dialogue.hear(message, now)
                self._speak()
                if event is not None:
                    yield event
        if link.open and self.dialogue is None:
            self.dialogue = Dialogue(self.wish, now, encrypted=bool(link.encryption))
            self._open_since = now
            host, port = link.peer[4][:2]
            yield Connected(host, port, link.encryption)
        if link.ended:
            raise self._ended()

    def tend(self, now: float, *, deaf: bool = False) -> None:
        """Look at the clock: pings, and StreamError where the device is silent for too long."""
        if self.link is not None:
            self.link.check(now)
            if self.dialogue is not None:
                self.dialogue.check(now, deaf=deaf)
                self._speak()

    def say(self, message: bytes) -> None:
        if self.link is not None:
            self.link.send(message)

    def hang_up(self, error: StreamError, now: float) -> float:
        """End the connection; returns the seconds until the next attempt."""
        dialogue, steady = self.dialogue, now - self._open_since >= STEADY_S
        good = dialogue is not None and (dialogue.session is not None or (dialogue.plain and steady))
        if good and not isinstance(error, ProtocolError):
            self.backoff.reset()
        wait = self.backoff.next_wait()
        if dialogue is not None and dialogue.goodbye is not None:
            wait += min(max(dialogue.goodbye.retry_after_ms / 1000, 0.0), MAX_RETRY_AFTER_S)
        self.close()
        self.dial_at = now + wait
        return wait

    def close(self) -> None:
        if self.link is not None:
            self.link.close()
        self.link = self.dialogue = None

    def _ended(self) -> StreamError:
        if self.dialogue is None or not self.dialogue.greeted:
            return NoWelcome("the device closed the connection before its welcome")
        goodbye = self.dialogue.goodbye
        return Closed(f"the device said goodbye: {printable(goodbye.reason)}" if goodbye else "closed by the device")

    def _speak(self) -> None:
        if self.dialogue is not None and self.link is not None:
            for request in self.dialogue.outgoing:
                self.link.send(encode_request(request))
            self.dialogue.outgoing.clear()


class Closed(StreamError):
    """The device closed the connection between two messages."""
