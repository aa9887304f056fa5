"""The outbox on a disk that does its part."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from pathlib import Path

import pytest

from edge import config
from edge.outbox import ledger
from edge.outbox.outbox import Outbox
from edge.types import StreamBounds
from tests.outboxes import NOON, Told, alert, everything, running, store
from tests.support import wait_until

DAY = 86400.0


def settings(**values: float) -> config.Outbox:
    return config.Outbox(**values)  # type: ignore[arg-type]


def test_alerts_get_numbers_in_their_order(tmp_path: Path) -> None:
    told = Told()
    with running(tmp_path / "a folder", told, wait=False) as outbox:
        assert outbox.bounds is None, "the folder is not there"
        (tmp_path / "a folder").mkdir()
        wait_until(lambda: outbox.bounds)
        store(outbox, told, [alert(number, NOON + number) for number in range(300)])
        assert told.seqs == list(range(1, 301))
        assert told.numbers == list(range(300))
        assert told.threads == {"outbox"}
        stream = told.stored[0].stream
        assert outbox.bounds == StreamBounds(stream, 1, 301)
        assert everything(outbox, page=77) == told.stored
        assert outbox.read(298, 10) == tuple(told.stored[298:])
        assert outbox.read(300, 10) == ()
        assert outbox.counters().waiting == 0


def test_numbers_and_stream_survive_a_restart(tmp_path: Path) -> None:
    told = Told()
    with running(tmp_path, told) as outbox:
        store(outbox, told, [alert(1), alert(2)])
    with running(tmp_path, told) as outbox:
        assert outbox.bounds == StreamBounds(told.stored[0].stream, 1, 3)
        store(outbox, told, [alert(3)])
        assert [each.seq for each in everything(outbox)] == [1, 2, 3]
    assert told.states == [("ok", ""), ("ok", "")]


def test_many_waiting_alerts_are_one_commit(tmp_path: Path) -> None:
    told = Told()
    outbox = Outbox(tmp_path, config.Outbox(), on_stored=told.on_stored, machine_id="this")
    for number in range(200):
        outbox.append(alert(number))
    assert outbox.counters().waiting == 200
    outbox.start()
    wait_until(lambda: len(told.stored) == 200)
    outbox.close()
    assert told.batches == [200]


def test_the_oldest_of_too_many_waiting_alerts_is_given_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told = Told()
    outbox = Outbox(tmp_path, config.Outbox(), on_stored=told.on_stored, machine_id="this")
    for number in range(1030):
        outbox.append(alert(number))
    assert (outbox.counters().waiting, outbox.counters().given_up) == (1024, 6)
    with caplog.at_level(logging.WARNING):
        outbox.start()
        wait_until(lambda: len(told.stored) == 1024)
        outbox.close()
    assert told.numbers == list(range(6, 1030))
    assert told.seqs == list(range(1, 1025))
    assert caplog.text.count("6 alerts were given up unstored") == 1


def test_stop_stores_what_waits(tmp_path: Path) -> None:
    told = Told()
    with running(tmp_path, told) as outbox:
        for number in range(500):
            outbox.append(alert(number))
    assert told.numbers == list(range(500))


def test_labels_of_one_second_differ_also_after_a_restart_in_it(tmp_path: Path) -> None:
    told = Told()
    with running(tmp_path, told) as outbox:
        store(outbox, told, [alert(1), alert(2), alert(3, NOON + 0.9)])
    with running(tmp_path, told) as outbox:
        store(outbox, told, [alert(4), alert(5, alert_id="alert_1760000000_2"), alert(6, NOON + 1)])
        read = everything(outbox)
    labels = [each.alert.alert_id for each in told.stored]
    second = "alert_1760000000"
    assert labels == [second, f"{second}_2", f"{second}_3", f"{second}_4", f"{second}_5", "alert_1760000001"]
    assert read == told.stored


def test_an_alert_that_json_cannot_hold_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told = Told()
    with running(tmp_path, told) as outbox:
        outbox.append(alert(1, confidence=float("nan")))
        outbox.append(alert(2, camera_id="\ud800"))
        store(outbox, told, [alert(3)])
        assert outbox.counters().given_up == 2
    assert told.seqs == [1]
    assert caplog.text.count("cannot be written as JSON") == 2


def test_a_newer_release_may_add_fields(tmp_path: Path) -> None:
    told = Told()
    with running(tmp_path, told) as outbox:
        store(outbox, told, [alert(1)])
        with contextlib.closing(sqlite3.connect(outbox.path, isolation_level=None)) as connection:
            connection.execute("""UPDATE alerts SET body = replace(body, '{"alert_id', '{"new":[1],"alert_id')""")
        connection.close()
        assert outbox.read(0, 1) == (told.stored[0],)


def test_only_the_newest_alerts_are_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told = Told()
    with running(tmp_path, told, settings=settings(max_alerts=10)) as outbox:
        store(outbox, told, [alert(number) for number in range(25)])
        assert outbox.bounds == StreamBounds(told.stored[0].stream, 16, 26)
        assert [each.seq for each in everything(outbox)] == list(range(16, 26))
        assert outbox.counters().unread == 0, "nobody waits for them"
        assert outbox.register("backend") == 25
        store(outbox, told, [alert(number) for number in range(25, 38)])
        assert outbox.counters().unread == 3, "26 to 28 of 26 to 38 are gone, and backend had none of them"
        store(outbox, told, [alert(38)])
        assert outbox.counters().unread == 4
    assert caplog.text.count("trimmed before every consumer had them") == 1
    with running(tmp_path, settings=settings(max_alerts=10)) as outbox:
        assert outbox.counters().unread == 4


def test_bytes_are_bounded_too(tmp_path: Path) -> None:
    told = Told()
    with running(tmp_path, told, settings=settings(max_mb=1)) as outbox:
        for start in range(0, 400, 50):
            store(outbox, told, [alert(number, rule="x" * 5000) for number in range(start, start + 50)])
        bounds = outbox.bounds
        assert bounds is not None
        assert 180 <= bounds.next_seq - bounds.oldest_seq <= 188
        assert [each.seq for each in everything(outbox)] == list(range(bounds.oldest_seq, 401))
        assert outbox.path.stat().st_size < 2_500_000
    connection = sqlite3.connect(outbox.path)
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    (real,) = connection.execute("SELECT sum(length(body) + 150) FROM alerts").fetchone()
    connection.close()
    assert meta["size"] == real


def test_age_removes_only_what_everybody_acknowledged(tmp_path: Path) -> None:
    told = Told()
    with running(tmp_path, told) as outbox:
        outbox.register("fast", 0)
        outbox.register("slow", 0)
        store(outbox, told, [alert(number) for number in range(10)])
        assert outbox.acknowledge("fast", 10)
        assert outbox.acknowledge("slow", 4)
    later = {"clock": lambda: NOON + 20 * DAY, "settings": settings(max_age_days=10)}
    with running(tmp_path, synchronised=lambda: False, **later) as outbox:
        assert outbox.bounds == StreamBounds(told.stored[0].stream, 1, 11), "the clock may be wrong"
    with running(tmp_path, **later) as outbox:
        wait_until(lambda: outbox.bounds and outbox.bounds.oldest_seq == 5)
        assert outbox.counters().unread == 0
        outbox.acknowledge("slow", 10)
    with running(tmp_path, told, **later) as outbox:
        wait_until(lambda: outbox.bounds and outbox.bounds.oldest_seq == 11)
        store(outbox, told, [alert(11)])
        assert told.seqs[-1] == 11, "an empty outbox goes on counting"


def test_alerts_of_an_unset_clock_age_from_when_it_was_set(tmp_path: Path) -> None:
    told = Told()
    with running(tmp_path, told, clock=lambda: 5.0, synchronised=lambda: False) as outbox:
        store(outbox, told, [alert(1, 5.0)])
    with running(tmp_path, clock=lambda: NOON) as outbox:
        assert outbox.bounds
        assert outbox.bounds.oldest_seq == 1, "stored just now, not in 1970"
    with running(tmp_path, clock=lambda: NOON + 31 * DAY) as outbox:
        wait_until(lambda: outbox.bounds and outbox.bounds.oldest_seq == 2)


def test_a_clock_that_jumps_by_years_both_ways(tmp_path: Path) -> None:
    told = Told()
    now = [NOON]
    with running(tmp_path, told, clock=lambda: now[0], synchronised=lambda: False) as outbox:
        outbox.register("backend")
        for number, years in enumerate([0, 20, -50, 0, 60, -10, 0]):
            now[0] = NOON + years * 365 * DAY
            store(outbox, told, [alert(number, now[0])])
        read = everything(outbox)
    assert [each.seq for each in read] == list(range(1, 8))
    assert len({each.alert.alert_id for each in read}) == 7
    with running(tmp_path, clock=lambda: NOON + 30 * 365 * DAY, synchronised=lambda: True) as outbox:
        assert len(everything(outbox)) == 7, "backend has acknowledged none of them"
        assert outbox.consumers() == {"backend": 0}


def test_consumers_and_their_acknowledgements_survive(tmp_path: Path) -> None:
    told = Told()
    with running(tmp_path, told) as outbox:
        assert outbox.register("first", 0) == 0
        store(outbox, told, [alert(number) for number in range(5)])
        assert outbox.register("second") == 5
        assert outbox.register("third", 99) == 5, "no further than the newest alert"
        assert outbox.register("first", 3) == 0, "known: its own"
        assert outbox.acknowledge("first", 4)
        assert outbox.acknowledge("first", 2), "lower: nothing happens"
        assert not outbox.acknowledge("first", 6), "there is no such alert"
        assert not outbox.acknowledge("nobody", 1)
        assert outbox.consumers() == {"first": 4, "second": 5, "third": 5}
    with running(tmp_path) as outbox:
        assert outbox.consumers() == {"first": 4, "second": 5, "third": 5}


def test_acknowledgements_are_written_soon_and_together(tmp_path: Path) -> None:
    told = Told()
    with running(tmp_path, told) as outbox:
        outbox.register("backend", 0)
        store(outbox, told, [alert(number) for number in range(200)])
        for seq in range(1, 201):
            outbox.acknowledge("backend", seq)
        connection = sqlite3.connect(outbox.path)
        version = [connection.execute("PRAGMA data_version").fetchone()[0]]

        def acked() -> int:
            if (newest := connection.execute("PRAGMA data_version").fetchone()[0]) != version[-1]:
                version.append(newest)
            return int(connection.execute("SELECT acked FROM consumers").fetchone()[0])

        wait_until(lambda: acked() == 200)
        assert len(version) <= 3, "not one commit for each acknowledgement"
        connection.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Consumers get no day to come."""
    monkeypatch.setattr(ledger, "PATIENCE_S", 0.0)


@pytest.mark.usefixtures("impatient")
def test_the_seventeenth_consumer_finds_no_place_until_one_is_forgotten(tmp_path: Path) -> None:
    with running(tmp_path) as outbox:
        for number in range(16):
            assert outbox.register(f"owner-{number % 2}/c{number}") == 0
        assert outbox.register("owner-2/one too many") is None
        assert outbox.register("owner-1/c3") == 0
    later = {"clock": lambda: NOON + 31 * DAY}
    with running(tmp_path, synchronised=lambda: False, **later) as outbox:
        assert len(outbox.consumers()) == 16, "the clock may be wrong"
        assert outbox.register("owner-1/c3") == 0
    with running(tmp_path, **later) as outbox:
        wait_until(lambda: not outbox.consumers())


@pytest.mark.usefixtures("impatient")
def test_a_consumer_seen_before_the_clock_was_set_is_not_forgotten(tmp_path: Path) -> None:
    with running(tmp_path, clock=lambda: 7.0, synchronised=lambda: False) as outbox:
        outbox.register("backend")
    with running(tmp_path, clock=lambda: NOON) as outbox:
        assert outbox.consumers() == {"backend": 0}
    with running(tmp_path, clock=lambda: NOON + 29 * DAY) as outbox:
        assert outbox.consumers() == {"backend": 0}
    with running(tmp_path, clock=lambda: NOON + 31 * DAY) as outbox:
        wait_until(lambda: not outbox.consumers())


def test_another_machine_begins_another_stream_with_the_same_alerts(tmp_path: Path) -> None:
    told = Told()
    with running(tmp_path, told, machine_id="one") as outbox:
        outbox.register("backend", 0)
        store(outbox, told, [alert(1), alert(2)])
    first = told.stored[0].stream
    for unknown in ("one", ""):
        with running(tmp_path, machine_id=unknown) as outbox:
            assert outbox.bounds == StreamBounds(first, 1, 3)
    with running(tmp_path, told, machine_id="two") as outbox:
        assert outbox.bounds
        second = outbox.bounds.stream
        assert second != first
        assert outbox.bounds == StreamBounds(second, 1, 3)
        assert [(each.stream, each.seq) for each in everything(outbox)] == [(second, 1), (second, 2)]
        store(outbox, told, [alert(3)])
        assert (told.stored[-1].stream, told.seqs[-1]) == (second, 3)
    with running(tmp_path, machine_id="two") as outbox:
        assert outbox.bounds == StreamBounds(second, 1, 4)


def test_a_machine_that_had_no_id_keeps_its_stream_when_it_gets_one(tmp_path: Path) -> None:
    streams = set()
    for identity in ("", "one", "one"):
        with running(tmp_path, machine_id=identity) as outbox:
            assert outbox.bounds
            streams.add(outbox.bounds.stream)
    assert len(streams) == 1
    with running(tmp_path, machine_id="two") as outbox:
        assert outbox.bounds
        assert outbox.bounds.stream not in streams


def test_many_threads_at_once(tmp_path: Path) -> None:
    told = Told()
    with running(tmp_path, told) as outbox:
        outbox.register("backend", 0)
        wrong: list[object] = []

        def write(first: int) -> None:
            for number in range(first, first + 100):
                outbox.append(alert(number))
                outbox.acknowledge("backend", number)

        def read() -> None:
            for _ in range(30):
                found = [each.seq for each in everything(outbox, 50)]
                if found != list(range(1, len(found) + 1)):
                    wrong.append(found)

        threads = [threading.Thread(target=write, args=(first,)) for first in (0, 100, 200, 300)]
        threads += [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        wait_until(lambda: len(told.stored) == 400)
        assert not wrong
        assert told.seqs == list(range(1, 401))
        assert sorted(told.numbers) == list(range(400))
        assert len({each.alert.alert_id for each in told.stored}) == 400
