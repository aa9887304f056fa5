"""Whether every thread passes its loop: who does not is named, with the stacks of all, and systemd is told."""

from __future__ import annotations

import faulthandler
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge.systemd import Systemd
from edge.workers import Worker

STDERR = 2  # where the log goes too
LONGEST_STEP_S = 2.0  # more between two looks was a pause of the whole program, which no thread is to blame for
PINGS = 4  # in the time that systemd gives: one that is lost or late does no harm

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Watched:
    """A thread, its passes at the last look, and for how long there was no other one."""

    worker: Worker
    passes: int = -1
    waited_s: float = 0.0
    told: bool = False

    def look(self, step_s: float) -> bool:
        """Whether it hangs, ``step_s`` seconds after the last look. A thread that has ended does not."""
        passes = self.worker.passes
        moved, self.passes = passes != self.passes, passes
        self.waited_s = 0.0 if moved or not self.worker.alive else self.waited_s + step_s
        return self.waited_s > self.worker.limit_s


class Watchdog:
    """``look`` tells systemd that the program lives, as long as each thread passes its loop within its limit.

    A thread that does not is named in the log, with the stacks of all threads on stderr. Where systemd watches, it is
    asked to end the program and start it anew: a thread that hangs cannot be ended from within. Elsewhere the log is
    all that happens, and tells also when the thread goes on.

    Synchronization: none; it belongs to the main thread, which so shows that it passes itself.
    """

    def __init__(self, systemd: Systemd, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._systemd = systemd
        self._clock = clock
        self._watched: list[_Watched] = []
        self._looked_at = clock()
        self._ping_at = float("-inf")

    def watch(self, *workers: Worker) -> None:
        """From now on these are looked at, too."""
        self._watched += map(_Watched, workers)

    def longest_wait(self, wanted_s: float) -> float:
        """How long the main thread may wait between two looks, at most ``wanted_s``."""
        asked = self._systemd.watchdog_s
        return wanted_s if asked is None else min(wanted_s, asked / PINGS)

    def look(self) -> None:
        """See to the threads; to be called every ``longest_wait`` seconds."""
        now = self._clock()
        step_s, self._looked_at = min(now - self._looked_at, LONGEST_STEP_S), now
        hung = [each for each in self._watched if each.look(step_s)]
        self._tell_who_goes_on(hung)
        if fresh := [each for each in hung if not each.told]:
            self._tell_who_hangs(fresh)
        elif not hung and self._systemd.watchdog_s is not None and now >= self._ping_at:
            self._ping_at = now + self._systemd.watchdog_s / PINGS
            self._systemd.alive()

    def _tell_who_hangs(self, hung: list[_Watched]) -> None:
        watched = self._systemd.watchdog_s is not None
        for each in hung:
            each.told = True
            what_next = "; systemd is to end and restart the program" if watched else ""
            logger.critical(
                "the %s thread hangs: for more than %g s it did not pass its loop%s",
                each.worker.name, each.worker.limit_s, what_next,
            )  # fmt: skip
        faulthandler.dump_traceback(STDERR)
        if watched:
            self._systemd.hung()

    def _tell_who_goes_on(self, hung: list[_Watched]) -> None:
        for each in self._watched:
            if each.told and each not in hung:
                each.told = False
                logger.warning("the %s thread passes its loop again", each.worker.name)
