"""What has come and was not taken yet: one place between the thread that reads and the one that iterates."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from edge.errors import EdgeError
from edge.stream.client.cursor import Cursor
from edge.stream.client.messages import Event

MAX_KEPT = 256  # alerts and all else that is never dropped: at so many, reading pauses, ...
MAX_ASKING = 4096  # ... or at so many while a command waits for its answer, which may stand behind them
MAX_RESULTS = 64  # detection results: the oldest is dropped and counted
MAX_FRAMES = 4  # pictures, 8 MiB at most each: the oldest is dropped and counted


@dataclass(frozen=True, slots=True)
class Item:
    """An event, and the cursor that holds once it was dealt with; without an event the cursor alone moves."""

    number: int
    event: Event | None
    cursor: Cursor | None = None


class Inbox:
    """Three bounded queues, taken from in the order in which things came, pictures last.

    Synchronization: one thread puts, any number take; every method may be called by any thread.
    """

    def __init__(self) -> None:
        # Guards everything below.
        self._changed = threading.Condition()
        self._kept: deque[Item] = deque()
        self._results: deque[Item] = deque()
        self._frames: deque[Item] = deque()
        self._number = 0
        self._closed = False
        self._failure: EdgeError | None = None
        self.results_dropped = 0
        self.frames_dropped = 0

    def full(self, *, asking: bool = False) -> bool:
        """Nothing more should be read; what a read brought already may still be put."""
        with self._changed:
            return len(self._kept) >= (MAX_ASKING if asking else MAX_KEPT)

    def put(self, event: Event | None, cursor: Cursor | None = None) -> None:
        """Leave what is never dropped."""
        with self._changed:
            self._append(self._kept, event, cursor)

    def put_result(self, event: Event) -> None:
        with self._changed:
            if len(self._results) >= MAX_RESULTS:
                self._results.popleft()
                self.results_dropped += 1
            self._append(self._results, event)

    def put_frame(self, event: Event) -> None:
        with self._changed:
            if len(self._frames) >= MAX_FRAMES:
                self._frames.popleft()
                self.frames_dropped += 1
            self._append(self._frames, event)

    def take(self, timeout: float | None = None) -> Item | None:
        """Wait for an item; None when ``timeout`` seconds passed or none will come. Raises what broke the reader."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not (queue := self._first()) and not self._closed:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return None
                self._changed.wait(left)
            if queue:
                return queue.popleft()
            if self._failure is not None:
                raise self._failure
            return None

    def close(self, failure: EdgeError | None = None) -> None:
        """Wake who waits. With a failure, what has come is still given before it is raised; without, nothing is."""
        with self._changed:
            self._failure = self._failure or failure
            self._closed = True
            if failure is None:
                for queue in (self._kept, self._results, self._frames):
                    queue.clear()
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        with self._changed:
            return self._closed

    def _append(self, queue: deque[Item], event: Event | None, cursor: Cursor | None = None) -> None:
        if not self._closed:
            self._number += 1
            queue.append(Item(self._number, event, cursor))
            self._changed.notify()

    def _first(self) -> deque[Item] | None:
        """The queue to take from; None when all are empty."""
        if self._kept and (not self._results or self._kept[0].number < self._results[0].number):
            return self._kept
        return self._results or self._frames or None
