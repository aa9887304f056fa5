"""Who is forgotten, when, and what becomes of the alerts that they never had."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge import config
from edge.outbox.consumers import MAX_LEFT, Consumers
from edge.outbox.database import Database, Left
from edge.outbox.faults import Fault
from edge.outbox.ledger import DAY_S, FORGET_S, PATIENCE_S, TIDY_S, Ledger
from tests.outboxes import NOON, alert


class Device:
    """Its outbox, its two clocks, and whether the wall clock is believed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wall, self.moment, self.believed = NOON, 100.0, True

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """One run of the program."""
        self.consumers = Consumers()
        self.ledger = Ledger(
            self.folder, config.Outbox(), self.consumers,
            now=self.now, clock=lambda: self.wall, machine_id="this", monotonic=lambda: self.moment,
        )  # fmt: skip
        self.database, _ = self.ledger.open()
        try:
            yield
        finally:
            self.ledger.store(self.database, ())
            self.ledger.close()

    def off(self, days: float) -> None:
        self.wall += days * DAY_S
        self.moment = 50.0  # as after a boot

    def now(self) -> float:
        return self.wall if self.believed else 0.0

    def store(self, count: int) -> None:
        self.ledger.store(self.database, [alert(number) for number in range(count)])

    def tidy(self, seconds: float = TIDY_S) -> None:
        """Let ``seconds`` pass; then it is time to tidy."""
        self.wall += seconds
        self.moment += seconds
        self.ledger.tidy(self.database)

    @property
    def left(self) -> tuple[int, int]:
        """The oldest alert and how many went unread."""
        return self.database.totals.oldest_seq, self.database.totals.unread


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """Off for 40 days; it holds alerts 1 to 10, and the one consumer has the first four."""
    device = Device(tmp_path)
    with device.on():
        device.consumers.register("backend", 0, device.now())
        device.store(10)
        device.consumers.acknowledge("backend", 4, device.now())
    device.off(40)
    return device


def test_time_switched_off_makes_nobody_forgotten(device: Device) -> None:
    with device.on():
        device.tidy()
        assert device.consumers.acked() == {"backend": 4}
        assert device.left == (5, 0), "old, and it has them; the others wait for it"
        device.tidy(PATIENCE_S - 2 * TIDY_S)
        assert device.consumers.register("backend", 0, device.now()) == 4
        device.tidy(PATIENCE_S)
        assert device.consumers.acked() == {"backend": 4}, "it came within the first day"
        device.tidy(FORGET_S)
        assert device.consumers.acked() == {}
        assert device.left == (5, 0), "what it waited for until now is still there"


def test_who_does_not_come_within_a_day_is_forgotten_and_what_it_never_had_is_counted(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    with device.on(), caplog.at_level(logging.WARNING):
        device.tidy()
        device.tidy(PATIENCE_S)
        assert device.consumers.acked() == {}
        assert device.left == (5, 0)
        device.store(3)
    assert [record.getMessage() for record in caplog.records] == [
        "consumer backend was not seen for 30 days and is forgotten; 6 alerts that it never had may go"
    ]
    with device.on():
        device.tidy()
        assert device.left == (11, 6), "also after a restart"
        device.tidy(40 * DAY_S)
        assert device.left == (14, 6), "11 to 13 came later: nobody was waited for"
        device.tidy()
    with device.on():
        assert device.consumers.register("backend", 13, device.now()) == 4, "it is told what is gone, also a year later"
        device.tidy()
        assert device.database.totals.left == ()


def test_each_alert_that_went_unread_counts_once(device: Device) -> None:
    with device.on():
        device.consumers.register("other", 0, device.now())
        device.consumers.acknowledge("other", 8, device.now())
        device.tidy()
        device.tidy(PATIENCE_S)
        device.tidy()
        assert device.left == (9, 4), "5 to 8, which backend never had"
        with device.database.transaction():
            device.database.trim(11, device.consumers.lowest())
        assert device.left == (11, 6), "9 and 10, which neither had"


def test_who_comes_back_misses_nothing_that_is_still_there(device: Device) -> None:
    with device.on():
        device.tidy()
        device.tidy(PATIENCE_S)
        assert device.database.totals.left == (Left("backend", 4, 10),)
        assert device.consumers.register("backend", 4, device.now()) == 4
        device.tidy()
        assert device.left == (5, 0)
        device.consumers.acknowledge("backend", 10, device.now())
        device.tidy()
        assert device.left == (11, 0)


@pytest.mark.parametrize("restarted", [False, True])
def test_who_comes_back_begins_where_it_was(device: Device, restarted: bool) -> None:
    """It asks for its last ack, and not for a number: what it never had is given to it, or counted when it goes."""
    with device.on():
        device.tidy()
        device.tidy(PATIENCE_S)
        device.store(3)
        if not restarted:
            assert device.consumers.register("backend", 13, device.now()) == 4
    with device.on():
        if restarted:
            assert device.consumers.register("backend", 13, device.now()) == 4
        device.tidy()
        assert device.database.totals.left == ()
        assert device.left == (5, 0), "it is waited for again"
        with device.database.transaction():
            device.database.trim(9, device.consumers.lowest())
        assert device.left == (9, 4)
    with device.on():
        assert device.consumers.acked() == {"backend": 4}


def test_who_comes_back_with_a_lower_number_begins_there(device: Device) -> None:
    with device.on():
        device.tidy()
        device.tidy(PATIENCE_S)
        assert device.consumers.register("backend", 2, device.now()) == 2
        assert device.consumers.register("another", 10, device.now()) == 10


def test_who_comes_back_before_the_disk_knows_that_it_left(device: Device) -> None:
    with device.on():
        device.tidy()
        other = sqlite3.connect(device.ledger.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Fault, match="is locked by another program"):
            device.tidy(PATIENCE_S)
        other.close()
        assert device.consumers.register("backend", 10, device.now()) == 4
        device.tidy()
        assert device.left == (5, 0)


def test_who_came_back_is_on_disk_when_it_is_no_longer_among_those_that_left(device: Device) -> None:
    with device.on():
        device.tidy()
        device.tidy(PATIENCE_S)
        device.consumers.register("backend", 10, device.now())
        device.tidy()
        assert device.database.totals.left == ()
        assert [(each.name, each.acked) for each in device.database.consumers()] == [("backend", 4)]


def test_a_day_without_a_believed_clock_does_not_count(device: Device) -> None:
    with device.on():
        for believed in (True, False, True):
            device.believed = believed
            device.tidy(PATIENCE_S - TIDY_S)
        assert device.consumers.acked() == {"backend": 4}
        device.tidy(PATIENCE_S - TIDY_S)
        assert device.consumers.acked() == {"backend": 4}
        device.tidy()
        assert device.consumers.acked() == {}


def test_a_clock_that_jumps_makes_nobody_forgotten_at_once(tmp_path: Path) -> None:
    device = Device(tmp_path)
    with device.on():
        device.consumers.register("backend", 0, device.now())
        device.tidy()
        device.tidy(PATIENCE_S)
        device.wall += 3650 * DAY_S
        device.tidy()
        assert device.consumers.acked() == {"backend": 0}
        device.consumers.register("backend", 0, device.now())  # as every session does each hour
        device.tidy(PATIENCE_S)
        assert device.consumers.acked() == {"backend": 0}


def test_a_forgetting_that_the_disk_refused_is_noted_later(device: Device) -> None:
    with device.on():
        device.tidy()
        other = sqlite3.connect(device.ledger.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Fault, match="is locked by another program"):
            device.tidy(PATIENCE_S)
        other.close()
        assert device.consumers.acked() == {}
        device.tidy()
        assert device.left == (11, 6)


def test_the_number_of_those_remembered_is_bounded(tmp_path: Path) -> None:
    database = Database(tmp_path / "outbox.db", "this")
    with database.transaction():
        database.insert([alert(1)], NOON)
        database.leave([Left(f"c{number}", 0, 1) for number in range(MAX_LEFT + 5)], ())
    database.close()
    database = Database(tmp_path / "outbox.db", "this")
    assert [each.name for each in database.totals.left] == [f"c{number}" for number in range(5, MAX_LEFT + 5)]
    database.close()


@pytest.mark.parametrize(("left", "sound"), [(None, True), ("[[1]]", False), ("no JSON", False)])
def test_a_file_that_knows_nobody_who_left(tmp_path: Path, left: str | None, sound: bool) -> None:
    """None: as an older release made it."""
    path = tmp_path / "outbox.db"
    Database(path, "this").close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM meta WHERE key = 'left'")
        if left is not None:
            connection.execute("INSERT INTO meta VALUES ('left', ?)", (left,))
    if sound:
        with contextlib.closing(Database(path, "this")) as database:
            assert database.totals.left == ()
    else:
        with pytest.raises(Fault, match=r"is damaged \(its meta table: "):
            Database(path, "this")
