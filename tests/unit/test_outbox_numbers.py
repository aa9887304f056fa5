"""Whatever fails in between: numbers without a gap, labels once, sizes right."""

from __future__ import annotations

import resource
import sqlite3
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge.outbox.database import ROW_BYTES, Database
from edge.outbox.faults import Fault
from tests.outboxes import NOON, alert

COUNTS = st.integers(1, 12)
SECONDS = st.integers(0, 3)


class Numbers(RuleBasedStateMachine):
    """A real file and what it must hold: seq -> number of the alert."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name, "outbox.db")
        self.expected: dict[int, int] = {}
        self.following = 1
        self.number = 0
        self.machines = 0

    @initialize()
    def begin(self) -> None:
        self.database = Database(self.path, "0")

    def _batch(self, count: int, second: int) -> list:
        self.number += count
        return [alert(number, NOON + second) for number in range(self.number - count, self.number)]

    def _keep(self, batch: list) -> None:
        for each in batch:
            self.expected[self.following] = each.frame_id
            self.following += 1

    @rule(count=COUNTS, second=SECONDS)
    def store(self, count: int, second: int) -> None:
        batch = self._batch(count, second)
        with self.database.transaction():
            stored = self.database.insert(batch, NOON)
        assert [each.seq for each in stored] == list(range(self.following, self.following + count))
        self._keep(batch)

    @rule(count=COUNTS, second=SECONDS, keep=st.integers(1, 20))
    def store_but_fail_before_the_end(self, count: int, second: int, keep: int) -> None:
        try:
            with self.database.transaction():
                self.database.insert(self._batch(count, second), NOON)
                self.database.trim(self.database.beyond(keep, 1 << 40), None)
                raise OSError(5, "pulled out")
        except Fault:
            pass

    @rule(count=COUNTS, second=SECONDS, room=st.integers(0, 60_000))
    def store_on_a_disk_that_takes_little_more(self, count: int, second: int, room: int) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        batch = self._batch(count, second)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        try:
            with self.database.transaction():
                self.database.insert(batch, NOON)
            stored = True
        except Fault:
            stored = False
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        if stored:
            self._keep(batch)

    @rule(count=COUNTS)
    def trim(self, count: int) -> None:
        with self.database.transaction():
            self.database.trim(self.database.beyond(count, 1 << 40), None)
        self.expected = dict(list(self.expected.items())[-count:])

    @rule()
    def open_again(self) -> None:
        self.database.close()
        self.database = Database(self.path, str(self.machines))

    @rule()
    def open_on_another_machine(self) -> None:
        stream = self.database.stream
        self.machines += 1
        self.open_again()
        assert self.database.stream != stream

    @invariant()
    def holds_what_it_must(self) -> None:
        page = self.database.page(0, 1_000_000)
        assert {each.seq: each.alert.frame_id for each in page} == self.expected
        assert len({each.alert.alert_id for each in page}) == len(page)
        bounds = self.database.bounds
        assert (bounds.oldest_seq, bounds.next_seq) == (min(self.expected, default=self.following), self.following)
        reader = sqlite3.connect(self.path)
        (size,) = reader.execute("SELECT total(length(body)) FROM alerts").fetchone()
        reader.close()
        assert self.database.totals.size == size + len(page) * ROW_BYTES

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()


TestNumbers = Numbers.TestCase
TestNumbers.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
