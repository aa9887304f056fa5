"""A log that clients cannot flood."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

LINES = 20  # in each period; what is beyond them is counted
PERIOD_S = 10.0


class Quiet:
    """Passes on at most LINES lines of each level in PERIOD_S seconds; the first line after that says how many were
    left out. So who comes and goes in a flood cannot hide who was sent away, and why.

    Synchronization: one thread.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._since = float("-inf")
        self._lines: Counter[int] = Counter()

    def log(self, level: int, text: str, *values: object) -> None:
        """As ``logging.Logger.log`` does."""
        now = self._clock()
        if now - self._since >= PERIOD_S:
            if left_out := sum(max(0, lines - LINES) for lines in self._lines.values()):
                self._logger.warning("%d lines about clients were left out of the log", left_out)
            self._since, self._lines = now, Counter()
        self._lines[level] += 1
        if self._lines[level] <= LINES:
            self._logger.log(level, text, *values)
