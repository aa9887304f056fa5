"""The alerts that a session missed: read from the disk a page at a time, until it can be let in on those published."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Protocol

from edge.errors import EdgeError
from edge.stream.desk import Desk
from edge.stream.hub import Hub
from edge.stream.mailbox import Mailbox
from edge.types import StoredAlert, StreamBounds

logger = logging.getLogger(__name__)

PAGE = 64  # alerts read from the disk at a time
PAGE_BELOW = 16  # alerts still waiting when the next page is asked for
RETRY_S = 1.0  # after a page that could not be read


class AlertLog(Protocol):
    """What sessions need of the outbox; nothing of it blocks but ``read``."""

    @property
    def bounds(self) -> StreamBounds | None:
        """What it holds; None while it is not open."""

    def register(self, consumer: str, start: int | None = None) -> int | None:
        """The consumer's ack; a new one begins at ``start`` or now. None: there is no place for it."""

    def acknowledge(self, consumer: str, seq: int) -> bool:
        """Keep its ack; False where the consumer is not known."""

    def read(self, after: int, limit: int) -> tuple[StoredAlert, ...]:
        """Alerts with numbers above ``after``, in order; raises StateError."""


class Replay:
    """One session's. ``begin`` at the mailbox's cursor; ``step`` whenever there may be place for more; ``end`` when
    it wants no alerts any more.

    The mailbox is set ``stale`` where the next alert is gone from the disk.

    Synchronization: the stream thread alone; pages are read at the desk.
    """

    def __init__(self, hub: Hub, outbox: AlertLog | None, reader: Desk, mailbox: Mailbox) -> None:
        self._hub = hub
        self._outbox = outbox
        self._reader = reader
        self._mailbox = mailbox
        self._running = self._reading = False
        self._due = 0.0

    def begin(self, now: float) -> None:
        self._running = True
        self.step(now)

    def end(self) -> None:
        """A page that is still being read is thrown away, unless a new replay began, which it then serves."""
        self._running = False

    def step(self, now: float) -> None:
        """Ask for the next page, if one is due, or end."""
        if not self._running or self._reading or now < self._due or self._mailbox.alerts_waiting > PAGE_BELOW:
            return
        outbox, after = self._outbox, self._mailbox.cursor
        bounds = outbox.bounds if outbox is not None else None
        if outbox is None or bounds is None:
            return
        if bounds.stream != self._mailbox.stream or bounds.oldest_seq > after + 1:
            self._mailbox.stale = True
        elif after + 1 >= bounds.next_seq and self._hub.go_live(self._mailbox):
            self._running = False
        else:
            self._reading = self._reader.ask(lambda: outbox.read(after, PAGE), self._on_page)
            self._due = now if self._reading else now + RETRY_S

    def _on_page(self, page: Sequence[StoredAlert] | EdgeError) -> None:
        self._reading = False
        if not self._running:
            return
        if isinstance(page, EdgeError):
            self._due = time.monotonic() + RETRY_S
            logger.warning("missed alerts cannot be read now: %s", page)
            return
        if not page:  # all of it went meanwhile, or the file was exchanged: the outbox finds that out
            self._due = time.monotonic() + RETRY_S
            return
        if not self._hub.replay(self._mailbox, page, time.time()):
            self._mailbox.stale = True
        self._mailbox.wake()
