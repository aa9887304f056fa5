"""Alerts on disk: one thread, one file, and what happens when the disk does not do its part."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from edge import config
from edge.clock import synchronised
from edge.errors import StateError
from edge.outbox import files, machine, rows
from edge.outbox.consumers import Consumers
from edge.outbox.database import Database
from edge.outbox.faults import Fault
from edge.outbox.ledger import Ledger
from edge.outbox.reports import OutboxCounters, Reports, State
from edge.outbox.waiting import Waiting
from edge.types import Alert, StoredAlert, StreamBounds
from edge.workers import DISK_LIMIT_S, Worker, wait_for

RETRY_S = 1.0  # after a failure
SAVE_S = 0.5  # acknowledgements come in bursts: those of this time are written at once
CLOSE_TIMEOUT_S = 2.0
_STILL_GOOD = ("full", "locked", "readonly", "denied")  # in these the open file can at least be read

logger = logging.getLogger(__name__)


class Outbox:
    """Stores alerts in ``outbox.db`` of ``folder`` and numbers them without a gap; ``on_stored`` is told of each
    commit, in the order of the numbers, from the outbox thread, when ``bounds`` has them already.

    Whatever the disk does, append never blocks and no error reaches the caller. While alerts cannot be stored they
    wait in memory (waiting.MAX_WAITING) and are tried again every second, and ``on_state`` is told ``failed`` with the
    reason. A damaged file is moved aside, never deleted, and a new one with a new stream begun; the state is
    ``degraded``, with the old file's name, until the next start. So the stream of ``bounds`` may change while the
    program runs: compare it with the one that a session began with. Only one program may have the outbox of a folder.

    Acknowledgements are kept in memory and written with the next alerts or within SAVE_S: after a power cut the last
    ones may be missing, and their alerts are sent again. ``on_state`` and ``on_stored`` must return soon.
    ``clock`` gives Unix time; what ``synchronised`` says decides whether anything may be removed by age.

    Synchronization: any method from any thread; read blocks for the disk, start, join and close for the time that
    they are given, no other does.
    """

    def __init__(
        self,
        folder: Path,
        settings: config.Outbox,
        *,
        on_stored: Callable[[Sequence[StoredAlert]], None],
        on_state: Callable[[State, str], None] = lambda *_: None,
        on_death: Callable[[Worker], None] | None = None,
        clock: Callable[[], float] = time.time,
        synchronised: Callable[[], bool] = synchronised,
        machine_id: str | None = None,
    ) -> None:
        self.path = folder / files.DATABASE
        self._on_stored = on_stored
        self._clock = clock
        self._synchronised = synchronised
        self._consumers = Consumers()
        # Guards _waiting, _bounds, _healthy, _reason, _opening, _suspect and _unread.
        self._changed = threading.Condition()
        self._waiting = Waiting()
        self._bounds: StreamBounds | None = None
        self._healthy = False
        self._reason = "it is not open yet"
        self._opening = 0  # counts the openings of the file
        self._suspect: tuple[int, Fault] | None = None  # a reader's finding, and in which opening
        self._unread = 0
        # The outbox thread's own:
        identity = machine.machine_id() if machine_id is None else machine_id
        self._ledger = Ledger(folder, settings, self._consumers, now=self._now, clock=clock, machine_id=identity)
        self._reports = Reports(self.path, on_state)
        self._tried = threading.Event()
        self._worker = Worker("outbox", self._run, limit_s=DISK_LIMIT_S, on_death=on_death)
        self.workers = (self._worker,)

    def start(self, timeout: float = 5.0) -> bool:
        """Open the file in the thread, waiting at most ``timeout`` seconds; False: not open yet, it goes on trying."""
        self._worker.start()
        self._tried.wait(timeout)
        return self.healthy

    def stop(self) -> None:
        """Ask the thread to store what waits, once, and end; returns at once."""
        self._worker.stop()
        self._wake()

    def join(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds; True when the thread has ended (or was never started)."""
        return self._worker.join(timeout)

    def close(self) -> None:
        """Stop and wait shortly; idempotent."""
        self.stop()
        self.join(CLOSE_TIMEOUT_S)

    def append(self, alert: Alert) -> None:
        """Store it soon; where too many wait already, the oldest of them is given up and counted.

        So is an alert that JSON cannot hold, with a confidence of NaN for example; the log names it.
        """
        try:
            rows.encode(alert)
        except ValueError as error:
            logger.error("an alert is given up: %s", error)
            with self._changed:
                self._waiting.given_up += 1
            return
        with self._changed:
            self._waiting.put(alert)
            self._changed.notify_all()

    @property
    def healthy(self) -> bool:
        """False while no file is open or the last commit failed: it makes no sense to wait for the next one."""
        with self._changed:
            return self._healthy

    @property
    def bounds(self) -> StreamBounds | None:
        """What is stored, from memory; None while no file is open."""
        with self._changed:
            return self._bounds

    def counters(self) -> OutboxCounters:
        with self._changed:
            return OutboxCounters(len(self._waiting), self._waiting.given_up, self._unread)

    def register(self, consumer: str, start: int | None = None) -> int | None:
        """The highest acknowledged number of a consumer, OWNER/NAME. A new one begins with ``start``, or the newest;
        one that was forgotten with no more than it had acknowledged.

        None: there is no place for one more, or no file is open. Call it again now and then for a consumer that stays
        connected and acknowledges nothing: one unseen for ledger.FORGET_S is forgotten.
        """
        bounds = self.bounds
        if bounds is None:
            return None
        newest = bounds.next_seq - 1
        acked = self._consumers.register(consumer, newest if start is None else max(0, min(start, newest)), self._now())
        self._wake()
        return acked

    def acknowledge(self, consumer: str, seq: int) -> bool:
        """Everything up to ``seq`` has arrived there; a lower number than before changes nothing.

        False for an unknown consumer, a number that does not exist yet, and while no file is open.
        """
        bounds = self.bounds
        if bounds is None or seq >= bounds.next_seq or not self._consumers.acknowledge(consumer, seq, self._now()):
            return False
        self._wake()
        return True

    def consumers(self) -> dict[str, int]:
        """Name and highest acknowledged number of each known consumer."""
        return self._consumers.acked()

    def read(self, after: int, limit: int) -> tuple[StoredAlert, ...]:
        """The first ``limit`` stored alerts with a number above ``after``, in order and without a gap between them.

        Where retention has removed the next ones, the first comes later than ``after`` + 1. Raises StateError when
        the file cannot be read. A missing or unreadable alert is never skipped: it raises too, and the file is then
        moved aside as damaged.
        """
        with self._changed:
            opening, is_open, reason = self._opening, self._bounds is not None, self._reason
        if not is_open:
            raise StateError(f"the outbox cannot be read: {reason}")
        try:
            return rows.read_page(self.path, after, limit)
        except Fault as fault:
            if fault.kind == "damaged":
                with self._changed:
                    self._suspect = opening, fault
                    self._changed.notify_all()
            raise

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _now(self) -> float:
        """Unix time, 0 while the clock cannot be believed."""
        return self._clock() if self._synchronised() else 0.0

    def _run(self, stopping: threading.Event) -> None:
        try:
            while not stopping.is_set():
                self._work()
                self._tried.set()
                self._pause(stopping)
            self._work()
        finally:
            self._tried.set()
            self._shut()
            self._ledger.close()
            if lost := self.counters().waiting:
                logger.error("%d alerts could not be stored before the end", lost)

    def _pause(self, stopping: threading.Event) -> None:
        """Until there is something to do, or something to try again."""

        def urgent() -> bool:
            return stopping.is_set() or self._suspect is not None or len(self._waiting) > 0

        with self._changed:
            if not self._healthy:
                self._changed.wait_for(stopping.is_set, RETRY_S)
                return
            wait_for(self._changed, lambda: urgent() or self._consumers.dirty, self._ledger.tidy_in())
            self._changed.wait_for(urgent, SAVE_S)

    def _work(self) -> None:
        """Store what waits; afterwards the state says how that went."""
        try:
            try:
                self._serve()
            except Fault as fault:
                if fault.kind != "damaged":
                    raise
                self._closed()
                self._ledger.set_aside(fault)
                self._serve()
        except Fault as fault:
            self._fail(fault)
        else:
            self._reports.say("degraded" if self._ledger.blemish else "ok", self._ledger.blemish)
        self._reports.count(self.counters())

    def _serve(self) -> None:
        database = self._opened()
        while batch := self._take():
            try:
                stored = self._ledger.store(database, batch)
            except BaseException:
                with self._changed:
                    self._waiting.put_back()
                raise
            with self._changed:
                self._waiting.done()
            self._announce(database, stored)
        self._ledger.tidy(database)
        if self._consumers.dirty:
            self._ledger.store(database, ())
        self._publish(database)

    def _opened(self) -> Database:
        """The file as it should be: open, still in its folder, and not suspected by a reader."""
        database = self._ledger.database
        if database is None:
            database, late = self._ledger.open()
            with self._changed:
                self._opening += 1
                self._waiting.remove({each.alert.key for each in late})
            self._announce(database, late)
        elif database.displaced():
            raise Fault(self.path, "gone")
        with self._changed:
            suspect, self._suspect = self._suspect, None
        if suspect is not None and suspect[0] == self._opening:
            raise suspect[1]
        return database

    def _take(self) -> Sequence[Alert]:
        with self._changed:
            return self._waiting.take()

    def _announce(self, database: Database, stored: Sequence[StoredAlert]) -> None:
        self._publish(database)
        if stored:
            self._on_stored(stored)

    def _publish(self, database: Database) -> None:
        with self._changed:
            self._bounds, self._healthy = database.bounds, True
            self._unread = database.totals.unread

    def _fail(self, fault: Fault) -> None:
        with self._changed:
            self._healthy, self._reason = False, str(fault)
        if fault.kind not in _STILL_GOOD:
            self._shut()
        self._reports.say("failed", str(fault))

    def _shut(self) -> None:
        self._closed()
        self._ledger.shut()

    def _closed(self) -> None:
        with self._changed:
            self._bounds, self._healthy = None, False
