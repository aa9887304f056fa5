"""The outbox's parts: the queue, the consumers, the machine's answers, the file over a run."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from edge import config
from edge.errors import StateError
from edge.outbox import machine
from edge.outbox.consumers import MAX_CONSUMERS, Consumer, Consumers
from edge.outbox.database import Database
from edge.outbox.faults import _WORDS, Fault, translated
from edge.outbox.files import FolderLock
from edge.outbox.ledger import Ledger
from edge.outbox.rows import read_page
from edge.outbox.waiting import BATCH, MAX_WAITING, Waiting
from tests.outboxes import NOON, Told, alert, everything, running, store
from tests.support import ROOT, wait_until


def test_a_batch_that_is_not_stored_stands_first_again() -> None:
    waiting = Waiting()
    for number in range(BATCH + 10):
        waiting.put(alert(number))
    assert [each.frame_id for each in waiting.take()] == list(range(BATCH))
    waiting.put(alert(BATCH + 10))
    waiting.put_back()
    assert [each.frame_id for each in waiting.take()] == list(range(BATCH))
    waiting.done()
    assert [each.frame_id for each in waiting.take()] == list(range(BATCH, BATCH + 11))
    waiting.done()
    assert (waiting.take(), len(waiting)) == ([], 0)


def test_a_batch_on_its_way_counts_but_is_never_given_up() -> None:
    waiting = Waiting()
    for number in range(MAX_WAITING):
        waiting.put(alert(number))
    waiting.take()
    for number in range(3):
        waiting.put(alert(MAX_WAITING + number))
    assert (len(waiting), waiting.given_up) == (MAX_WAITING, 3)
    waiting.put_back()
    first = [each.frame_id for each in waiting.take()]
    waiting.done()
    assert first == list(range(BATCH))
    assert waiting.take()[0].frame_id == BATCH + 3


def test_consumers_of_another_stream_begin_at_its_first_alert() -> None:
    consumers = Consumers()
    consumers.register("kept", 7, NOON)
    consumers.load([Consumer("other", 3, NOON, NOON), Consumer("kept", 2, NOON, NOON)], 2, new_stream=True)
    assert consumers.acked() == {"kept": 2, "other": 2}
    consumers.load([], 2, new_stream=True)
    assert consumers.acked() == {"kept": 0, "other": 0}
    assert consumers.dirty


def test_consumers_of_the_same_stream_keep_the_highest() -> None:
    consumers = Consumers()
    consumers.register("a", 7, NOON)
    rows = [Consumer("a", 5, NOON, NOON), *(Consumer(f"c{n}", n, NOON, NOON) for n in range(MAX_CONSUMERS))]
    consumers.load(rows, 9, new_stream=False)
    assert len(consumers.acked()) == MAX_CONSUMERS
    assert consumers.acked()["a"] == 7
    assert consumers.lowest() == 0


def test_what_is_saved_is_dirty_again_only_by_a_change() -> None:
    consumers = Consumers()
    assert not consumers.dirty
    consumers.register("a", 1, NOON)
    snapshot = consumers.snapshot()
    consumers.acknowledge("a", 2, NOON)
    consumers.saved(snapshot)
    assert consumers.dirty, "the newer acknowledgement is not in it"
    consumers.saved(consumers.snapshot())
    consumers.acknowledge("a", 2, NOON)
    consumers.register("a", 0, NOON)
    assert not consumers.dirty


@pytest.mark.parametrize(("text", "expected"), [("abc\n", "abc"), ("uninitialized\n", ""), ("", ""), ("é", "")])
def test_the_machine_id(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "machine-id"
    file.write_text(text)
    assert machine.machine_id(file) == expected
    assert machine.machine_id(tmp_path / "missing") == ""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (sqlite3.OperationalError("database or disk is full"), "full"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "gone"),
        (sqlite3.OperationalError("unable to open database file"), "gone"),
        (sqlite3.OperationalError("disk I/O error"), "io"),
        (sqlite3.OperationalError("database is locked"), "locked"),
        (sqlite3.DatabaseError("file is not a database"), "damaged"),
        (sqlite3.DatabaseError("database disk image is malformed"), "damaged"),
        (sqlite3.DatabaseError("something new"), "other"),
        (PermissionError(13, "Permission denied"), "denied"),
        (OSError(30, "Read-only file system"), "readonly"),
        (OSError(28, "No space left on device"), "full"),
    ],
)
def test_what_went_wrong_in_words(tmp_path: Path, error: Exception, kind: str) -> None:
    path = tmp_path / "missing" / "outbox.db"
    with pytest.raises(Fault, match=rf"^{path}: ") as caught, translated(path):
        raise error
    assert caught.value.kind == kind
    assert isinstance(caught.value, StateError)
    assert caught.value.__cause__ is error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("words", _WORDS.values())
def test_each_fault_is_explained_in_the_operations_guide(words: str) -> None:
    assert f"`...: {words.split(';')[0].split(' (')[0]}` |" in (ROOT / "docs" / "operations.md").read_text()


def test_the_lock_of_a_folder_that_was_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    first, second = FolderLock(folder), FolderLock(folder)
    first.acquire()
    with pytest.raises(Fault, match="in use by another preact-edge"):
        second.acquire()
    folder.rename(tmp_path / "old")
    folder.mkdir()
    second.acquire()
    with pytest.raises(Fault, match="in use by another preact-edge"):
        first.acquire()
    second.release()
    second.release()
    first.acquire()
    first.release()


def test_a_commit_that_failed_but_is_on_disk_is_told_once(tmp_path: Path) -> None:
    """As when the disk's error comes after the data is written."""
    folder, away = tmp_path / "state", tmp_path / "away"
    folder.mkdir()
    told = Told()
    with running(folder, told) as outbox:
        store(outbox, told, [alert(1)])
        folder.rename(away)
        outbox.append(alert(2))
        outbox.append(alert(3))
        wait_until(lambda: told.state == "failed")
        database = Database(away / "outbox.db", "this")
        with database.transaction():
            database.insert([alert(2)], NOON)
        database.close()
        away.rename(folder)
        wait_until(lambda: told.state == "ok")
        assert told.numbers == [1, 2, 3]
        assert told.seqs == [1, 2, 3]
        assert everything(outbox) == told.stored


def test_a_ledger_that_cannot_join_its_file_is_not_open(tmp_path: Path) -> None:
    def ledger(consumers: Consumers) -> Ledger:
        return Ledger(
            tmp_path, config.Outbox(), consumers, now=lambda: NOON, clock=lambda: NOON, machine_id="this"
        )  # fmt: skip

    first, second = ledger(Consumers()), ledger(Consumers())
    database, late = first.open()
    assert (list(late), first.database) == ([], database)
    assert [each.seq for each in first.store(database, [alert(1)])] == [1]
    with pytest.raises(Fault, match="in use by another preact-edge"):
        second.open()
    assert second.database is None
    first.close()
    first.close()
    database, _ = second.open()
    assert database.bounds.next_seq == 2
    second.close()


def test_a_page_stops_at_a_missing_alert(tmp_path: Path) -> None:
    database = Database(tmp_path / "outbox.db", "this")
    with database.transaction():
        database.insert([alert(number) for number in range(5)], NOON)
    database.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "outbox.db", isolation_level=None)) as connection:
        connection.execute("DELETE FROM alerts WHERE seq = 3")
    connection.close()
    assert len(read_page(tmp_path / "outbox.db", 0, 2)) == 2
    with pytest.raises(Fault, match="alert 3 is missing"):
        read_page(tmp_path / "outbox.db", 0, 3)
