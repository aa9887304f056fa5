"""The outbox's file over a run of the program: opened, found damaged, moved aside, begun anew."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from edge import config
from edge.outbox import files
from edge.outbox.consumers import Consumers
from edge.outbox.database import Database, Left
from edge.outbox.faults import Fault
from edge.types import Alert, StoredAlert, StreamBounds

TIDY_S = 600.0  # between two looks at what has become too old
MAX_ASIDE = 3  # damaged files moved aside in one run: a disk that damages each one must not be filled with them
DAY_S = 86400.0
FORGET_S = 30 * DAY_S  # a consumer unseen for so long is no longer waited for
PATIENCE_S = DAY_S  # but not before this run gave it so long to come
JUMP_S = 3600.0  # a clock that was set by so much says nothing about how long somebody was away

logger = logging.getLogger(__name__)


class Ledger:
    """The database of ``folder``, open or not. ``blemish`` is why it is less than it was when the run began, or empty.

    ``now`` gives Unix time, or 0 while the clock cannot be believed; ``clock`` gives it in any case, for names;
    ``monotonic`` gives seconds of this run. Every method but shut and close raises Fault.

    Synchronization: one thread, except for ``consumers``.
    """

    def __init__(
        self,
        folder: Path,
        settings: config.Outbox,
        consumers: Consumers,
        *,
        now: Callable[[], float],
        clock: Callable[[], float],
        machine_id: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = folder / files.DATABASE
        self.blemish = ""
        self.database: Database | None = None
        self._settings = settings
        self._consumers = consumers
        self._now = now
        self._clock = clock
        self._machine_id = machine_id
        self._monotonic = monotonic
        self._lock = files.FolderLock(folder)
        self._last: StreamBounds | None = None  # as of the last commit, also while the file is closed
        self._aside = 0
        self._tidy_at = float("-inf")
        self._offset = math.nan  # of the believed clock from monotonic, at the last look
        self._steady_since = math.inf
        self._leaving: list[Left] = []  # forgotten, and not on disk as such

    def open(self) -> tuple[Database, Sequence[StoredAlert]]:
        """Open the file, and what it holds that this run did not know to be stored: a commit that failed may be on
        disk all the same."""
        self._lock.acquire()
        database = Database(self.path, self._machine_id)
        try:
            late = self._join(database)
        except BaseException:
            database.close()
            raise
        self.database, self._last, self._tidy_at = database, database.bounds, float("-inf")
        logger.info("outbox %s: stream %s, next alert %d", self.path, database.stream, database.totals.next_seq)
        return database, late

    def store(self, database: Database, batch: Sequence[Alert]) -> Sequence[StoredAlert]:
        """One commit: the batch, what has to give way for it, and the consumers."""
        settings, snapshot = self._settings, self._consumers.snapshot()
        with database.transaction():
            stored = database.insert(batch, self._now())
            database.trim(database.beyond(settings.max_alerts, settings.max_mb * 1_000_000), self._consumers.lowest())
            if self._consumers.dirty:
                database.put_consumers(snapshot.consumers)
        self._consumers.saved(snapshot)
        self._last = database.bounds
        return stored

    def tidy(self, database: Database) -> None:
        """Every TIDY_S: remove what is too old, with a clock that is right; what a consumer waits for stays."""
        if self.tidy_in() > 0:
            return
        self._tidy_at = self._monotonic() + TIDY_S
        now = self._now()
        steady = self._steady_s(now)
        if not now:
            return
        lowest = self._consumers.lowest()  # before anybody is forgotten: what goes now was waited for until now
        self._settle(now, now - FORGET_S if steady >= PATIENCE_S else 0.0, database.bounds)
        snapshot = self._consumers.snapshot()
        with database.transaction():
            database.leave(self._leaving, {each.name for each in snapshot.consumers})
            if self._consumers.dirty:
                database.put_consumers(snapshot.consumers)  # at once: who comes back is on disk in one of the two
            database.date(now)
            first = database.older(now - self._settings.max_age_days * DAY_S)
            database.trim(first if lowest is None else min(first, lowest + 1), lowest)
        self._leaving.clear()
        self._consumers.saved(snapshot)

    def tidy_in(self) -> float:
        """Seconds until tidy has something to do."""
        return max(0.0, self._tidy_at - self._monotonic())

    def set_aside(self, fault: Fault) -> None:
        """Move the damaged file away; the next open makes a new one, with a new stream.

        It is moved while it is still open: closing it afterwards cannot touch the new one's log.
        """
        if self._aside >= MAX_ASIDE:
            words = f"was damaged {MAX_ASIDE} times since the start; check the disk, replace a worn SD card"
            raise Fault(self.path, "other", words) from fault
        try:
            kept = files.set_aside(self.path, "damaged", self._clock())
        except Fault as error:
            raise Fault(self.path, "other", f"is damaged and cannot be moved aside; {error}") from error
        self._aside += 1
        self.shut()
        self.blemish = f"{self.path} was damaged and is kept as {kept.name}; a new stream was begun"
        logger.error("%s; it is kept as %s and a new stream begun", fault, kept.name)

    def shut(self) -> None:
        """Close the file and stay its owner; idempotent."""
        database, self.database = self.database, None
        if database is not None:
            database.close()

    def close(self) -> None:
        """Close the file and let others have it; idempotent."""
        self.shut()
        self._lock.release()

    def _steady_s(self, now: float) -> float:
        """For how long, in this run, the clock was believed and not set: only then could consumers come and be seen."""
        moment = self._monotonic()
        offset = now - moment if now else math.nan
        if not abs(offset - self._offset) < JUMP_S:  # also where one of them is not known
            self._steady_since = moment
        self._offset = offset
        return moment - self._steady_since

    def _settle(self, now: float, unseen_since: float, bounds: StreamBounds) -> None:
        """Date who was seen without a clock, forget who was unseen for long, and note what those never had."""
        for name, acked in self._consumers.settle(now, unseen_since).items():
            words = "consumer %s was not seen for %d days and is forgotten; %d alerts that it never had may go"
            logger.warning(words, name, FORGET_S // DAY_S, bounds.next_seq - max(acked + 1, bounds.oldest_seq))
            self._leaving.append(Left(name, acked, bounds.next_seq - 1))

    def _join(self, database: Database) -> Sequence[StoredAlert]:
        """Bring together what this run knows and what the file holds."""
        last, following = self._last, database.totals.next_seq
        new_stream = last is not None and last.stream != database.stream
        if last is not None and not new_stream and following < last.next_seq:
            database.renew()  # an older copy: the numbers to come were given already
            new_stream = True
        if new_stream and not self.blemish:
            self.blemish = f"{self.path} was removed or replaced while it was in use; a new stream was begun"
        if new_stream:
            self._leaving.clear()
        left = {each.name: each.acked for each in (*database.totals.left, *self._leaving)}
        self._consumers.load(database.consumers(), following - 1, new_stream=new_stream, left=left)
        if last is None or new_stream:
            return ()
        return database.page(last.next_seq - 1, following - last.next_seq)
