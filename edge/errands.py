"""Small errands that other threads have done by the thread that owns a thing, between two of its steps."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from typing import Any, TypeVar

from edge.errors import EdgeError

T = TypeVar("T")
MOST = 16  # full: who asks is refused
GRACE_S = 0.5  # an errand that has begun is short: it is waited for, so that its outcome is known


class Errands:
    """``ask`` waits until the owner's ``serve`` has done what is asked.

    ``owner`` names the thread in errors. An errand that was not begun in time is never done.

    Synchronization: any thread may ask and close; serve belongs to the owner.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        # Guards _waiting and _closed.
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._closed = False

    def ask(self, work: Callable[[], T], timeout: float) -> T:
        """What ``work`` returns or raises, done by the owner; EdgeError when it cannot do it within ``timeout``."""
        answer: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise EdgeError(f"the {self._owner} has ended")
            if len(self._waiting) >= MOST:
                raise EdgeError(f"the {self._owner} is busy; ask again later")
            self._waiting.append((work, answer))
        try:
            return answer.result(timeout)
        except NotInTime:
            if not answer.done() and answer.cancel():
                raise EdgeError(f"the {self._owner} did not answer within {timeout:g} s; nothing was done") from None
        try:
            return answer.result(GRACE_S)
        except NotInTime:
            raise EdgeError(f"the {self._owner} hangs; what was asked may be half done") from None

    def serve(self) -> None:
        """Do all that waits."""
        while (errand := self._next()) is not None:
            work, answer = errand
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                answer.set_result(work())
            except Exception as error:  # noqa: BLE001  # it is raised again in the thread that asked
                answer.set_exception(error)

    def close(self) -> None:
        """Refuse what waits and whatever comes; idempotent."""
        with self._lock:
            self._closed = True
            refused = list(self._waiting)
            self._waiting.clear()
        for _, answer in refused:
            if answer.set_running_or_notify_cancel():
                answer.set_exception(EdgeError(f"the {self._owner} has ended"))

    def _next(self) -> tuple[Callable[[], Any], Future[Any]] | None:
        with self._lock:
            return self._waiting.popleft() if self._waiting else None
