"""What the outbox tells about itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

REPORT_S = 600.0  # at most one line about given up or trimmed alerts in this time

logger = logging.getLogger(__name__)
State: TypeAlias = Literal["ok", "degraded", "failed"]


@dataclass(frozen=True, slots=True)
class OutboxCounters:
    """``waiting`` for the disk now; ``given_up`` since start: never stored; ``unread``: in the whole life of the file,
    trimmed before every consumer, also one that was forgotten, had acknowledged them."""

    waiting: int
    given_up: int
    unread: int


class Reports:
    """The state, told and logged when it changes, and the counters, logged now and then.

    Synchronization: one thread.
    """

    def __init__(self, path: Path, on_state: Callable[[State, str], None]) -> None:
        self._path = path
        self._on_state = on_state
        self._state: tuple[State, str] | None = None
        self._count_at = float("-inf")
        self._counted = 0, 0

    def say(self, state: State, reason: str) -> None:
        if (state, reason) == self._state:
            return
        if state == "failed":
            logger.error("alerts are not stored: %s", reason)
        elif self._state is not None and self._state[0] == "failed":
            logger.warning("alerts are stored again in %s", self._path)
        self._state = state, reason
        self._on_state(state, reason)

    def count(self, counters: OutboxCounters) -> None:
        """One line, at most every REPORT_S, about alerts that somebody will miss."""
        given_up, unread = counters.given_up - self._counted[0], counters.unread - self._counted[1]
        if time.monotonic() < self._count_at or (given_up <= 0 and unread <= 0):
            return
        self._count_at = time.monotonic() + REPORT_S
        self._counted = counters.given_up, counters.unread
        logger.warning("%d alerts were given up unstored, %d trimmed before every consumer had them", given_up, unread)
