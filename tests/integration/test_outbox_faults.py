"""The outbox when files, folders and other programs do it harm: it says so, keeps what it was given, and goes on."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.errors import StateError
from edge.outbox import files
from edge.outbox.rows import BUSY_S
from tests.outboxes import Told, alert, everything, running, store
from tests.support import ROOT, wait_until

DAMAGED = re.compile(r"outbox\.db\.damaged-20251009T085320Z(_\d)?")


def filled(folder: Path, count: int = 200) -> Told:
    """An outbox with so many alerts, closed."""
    told = Told()
    with running(folder, told) as outbox:
        outbox.register("backend", 0)
        store(outbox, told, [alert(number) for number in range(count)])
    return told


def overwrite(path: Path, start: int, length: int) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * length)


def begins_anew(folder: Path, old_stream: str) -> None:
    """The damaged file is kept, a new one with a new stream is there and works."""
    told = Told()
    with running(folder, told) as outbox:
        aside = [entry.name for entry in folder.iterdir() if DAMAGED.fullmatch(entry.name)]
        assert len(aside) == 1
        assert told.state == "degraded"
        assert aside[0] in told.reason
        store(outbox, told, [alert(900)])
        assert (told.seqs, told.state) == ([1], "degraded")
        assert told.stored[0].stream != old_stream
        assert everything(outbox) == told.stored
    with running(folder, told):
        assert told.state == "ok", "at the next start all is well"


@pytest.mark.parametrize(
    ("start", "length"), [(0, 100), (0, 4096), (4096, 60_000), (20_000, 30_000)], ids=str
)  # fmt: skip
def test_a_file_damaged_while_closed(tmp_path: Path, start: int, length: int) -> None:
    stream = filled(tmp_path).stored[0].stream
    overwrite(tmp_path / "outbox.db", start, length)
    begins_anew(tmp_path, stream)


@pytest.mark.parametrize(
    "harm",
    [
        "DELETE FROM alerts WHERE seq = 7",
        "DELETE FROM meta WHERE key = 'size'",
        "UPDATE meta SET value = 1 WHERE key = 'stream'",
        "DROP TABLE meta",
        "DROP TABLE alerts",
        "DROP TABLE consumers",
    ],
)
def test_a_file_with_something_missing(tmp_path: Path, harm: str) -> None:
    stream = filled(tmp_path).stored[0].stream
    with contextlib.closing(sqlite3.connect(tmp_path / "outbox.db", isolation_level=None)) as connection:
        connection.execute(harm)
    connection.close()
    begins_anew(tmp_path, stream)


def test_a_damaged_file_cut_short_and_names_that_are_taken(tmp_path: Path) -> None:
    filled(tmp_path)
    taken = tmp_path / "outbox.db.damaged-20251009T085320Z"
    taken.write_text("of an earlier accident")
    os.truncate(tmp_path / "outbox.db", 10_000)
    told = Told()
    with running(tmp_path, told):
        assert told.state == "degraded"
        assert f"{taken.name}_2" in told.reason
    assert taken.read_text() == "of an earlier accident"


def test_an_empty_file_is_a_new_outbox(tmp_path: Path) -> None:
    (tmp_path / "outbox.db").touch()
    told = Told()
    with running(tmp_path, told) as outbox:
        store(outbox, told, [alert(1)])
        assert (told.seqs, told.state) == ([1], "ok")


def test_a_row_that_cannot_be_read_is_not_skipped(tmp_path: Path) -> None:
    old = filled(tmp_path, 20).stored[0].stream
    with contextlib.closing(sqlite3.connect(tmp_path / "outbox.db", isolation_level=None)) as connection:
        connection.execute("UPDATE alerts SET body = 'nonsense' WHERE seq = 7")
    connection.close()
    told = Told()
    with running(tmp_path, told) as outbox:
        assert [each.seq for each in outbox.read(0, 6)] == [1, 2, 3, 4, 5, 6]
        with pytest.raises(StateError, match=r"outbox\.db: is damaged \(alert 7 cannot be read"):
            outbox.read(0, 100)
        wait_until(lambda: told.state == "degraded")
        assert outbox.consumers() == {"backend": 0}, "known still, and waits for all of the new stream"
        store(outbox, told, [alert(21)])
        assert told.stored[0].stream != old
        assert everything(outbox) == told.stored
    with running(tmp_path) as outbox:
        assert outbox.consumers() == {"backend": 0}


def test_a_file_damaged_while_it_is_open(tmp_path: Path) -> None:
    filled(tmp_path, 2000)
    told = Told()
    with running(tmp_path, told) as outbox:
        overwrite(outbox.path, 0, outbox.path.stat().st_size)
        with pytest.raises(StateError, match="is damaged"):
            everything(outbox)
        for number in range(50):
            outbox.append(alert(number))
        wait_until(lambda: told.state == "degraded" and outbox.counters().waiting == 0)
        assert told.numbers == list(range(50)), "all of them, in their order"
        assert everything(outbox) == told.stored
    assert len([entry for entry in tmp_path.iterdir() if DAMAGED.fullmatch(entry.name)]) == 1


def test_damage_that_comes_again_and_again_does_not_fill_the_disk(tmp_path: Path) -> None:
    told = Told()
    with running(tmp_path, told) as outbox:
        for _ in range(4):
            wait_until(lambda: outbox.bounds)
            store(outbox, told, [alert(1)])
            with contextlib.closing(sqlite3.connect(outbox.path, isolation_level=None)) as connection:
                connection.execute("UPDATE alerts SET body = 'nonsense'")
            connection.close()
            with pytest.raises(StateError, match="is damaged"):
                outbox.read(0, 1)
            stream = told.stored[-1].stream
            wait_until(lambda stream=stream: not outbox.bounds or outbox.bounds.stream != stream)
        wait_until(lambda: told.state == "failed")
        assert "was damaged 3 times since the start; check the disk" in told.reason
    assert len([entry for entry in tmp_path.iterdir() if DAMAGED.fullmatch(entry.name)]) == 3


def test_the_log_goes_with_the_damaged_file(tmp_path: Path) -> None:
    told = Told()
    with running(tmp_path, told) as outbox:
        store(outbox, told, [alert(1)])
        aside = files.set_aside(outbox.path, "damaged", 1_760_000_000.0)
        assert sorted(entry.name for entry in tmp_path.iterdir()) == [
            aside.name, f"{aside.name}-shm", f"{aside.name}-wal", "outbox.lock",
        ]  # fmt: skip
        wait_until(lambda: _after_append(told, lambda: outbox.append(alert(2))))
        assert told.seqs[1] == 1
    kept = sqlite3.connect(aside)
    assert kept.execute("SELECT count(*) FROM alerts").fetchone() == (1,)
    kept.close()


def _after_append(told: Told, append: Callable[[], None]) -> bool:
    """Whether something was stored in another stream; appends once."""
    if not told.batches[1:]:
        append()
    return len(told.stored) > 1 and told.stored[-1].stream != told.stored[0].stream


@pytest.mark.parametrize("harm", ["file", "folder"])
def test_what_is_removed_under_its_feet(tmp_path: Path, harm: str) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    told = Told()
    with running(folder, told) as outbox:
        outbox.register("backend", 0)
        store(outbox, told, [alert(1), alert(2)])
        if harm == "folder":
            shutil.rmtree(folder)
        else:
            (folder / "outbox.db").unlink()
        outbox.append(alert(3))
        wait_until(lambda: told.state == "failed")
        assert "was removed, or its folder was" in told.reason
        assert not outbox.healthy
        with pytest.raises(StateError, match=r"the outbox cannot be read: .*was removed"):
            outbox.read(0, 1)
        folder.mkdir(exist_ok=True)
        wait_until(lambda: told.state == "degraded")
        assert "removed or replaced while it was in use" in told.reason
        wait_until(lambda: told.numbers == [1, 2, 3])
        assert told.seqs == [1, 2, 1]
        assert told.stored[2].stream != told.stored[1].stream
        assert outbox.consumers() == {"backend": 0}
        assert everything(outbox) == told.stored[2:]


def test_an_older_copy_in_its_place_begins_a_new_stream(tmp_path: Path) -> None:
    filled(tmp_path, 5)
    copy = tmp_path / "copy"
    shutil.copy(tmp_path / "outbox.db", copy)
    told = Told()
    with running(tmp_path, told) as outbox:
        store(outbox, told, [alert(number) for number in range(5, 8)])
        copy.replace(outbox.path)
        for suffix in ("-wal", "-shm"):
            outbox.path.with_name(outbox.path.name + suffix).unlink()
        outbox.append(alert(8))
        wait_until(lambda: len(told.stored) == 4)
        assert told.seqs == [6, 7, 8, 6]
        assert told.stored[3].stream != told.stored[2].stream, "number 6 of the first stream is another alert"
        assert told.state == "degraded"


def test_another_programs_lock_blocks_nobody(tmp_path: Path) -> None:
    told = Told()
    with running(tmp_path, told) as outbox:
        store(outbox, told, [alert(1)])
        other = sqlite3.connect(outbox.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for number in range(2, 20):
            outbox.append(alert(number))
        assert outbox.bounds
        assert (outbox.bounds.next_seq, outbox.counters().waiting) == (2, 18), "nobody waited"
        assert outbox.read(0, 10) == tuple(told.stored), "reading goes on"
        wait_until(lambda: not outbox.healthy, BUSY_S + 10)
        wait_until(lambda: told.state == "failed")
        assert "is locked by another program, such as sqlite3; stop that one" in told.reason
        assert outbox.register("backend") == 1
        other.execute("ROLLBACK")
        other.close()
        wait_until(lambda: told.state == "ok")
        assert told.seqs == list(range(1, 20))
        assert told.numbers == list(range(1, 20))


def test_the_second_program_waits_for_the_first_to_end(tmp_path: Path) -> None:
    second = Told()
    with running(tmp_path) as first, running(tmp_path, second, wait=False) as outbox:
        assert (second.state, outbox.bounds, outbox.healthy) == ("failed", None, False)
        words = "is in use by another preact-edge; stop that one first, a service with `systemctl stop`"
        assert second.reason == f"{tmp_path / 'outbox.db'}: {words}"
        assert outbox.register("backend") is None
        assert not outbox.acknowledge("backend", 0)
        outbox.append(alert(1))
        first.close()
        wait_until(lambda: second.seqs == [1])
        assert second.state == "ok"


def test_two_processes(tmp_path: Path) -> None:
    told = Told()
    script = "import sys; from edge.outbox.files import FolderLock; from pathlib import Path\n"
    script += "FolderLock(Path(sys.argv[1])).acquire(); print('mine', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout
        assert child.stdout.readline() == "mine\n"
        with running(tmp_path, told, wait=False):
            assert told.state == "failed"
            assert "is in use by another preact-edge" in told.reason
            child.kill()
            wait_until(lambda: told.state == "ok")


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "outbox.db").mkdir()
    told = Told()
    with running(tmp_path, told, wait=False) as outbox:
        assert told.state == "failed"
        outbox.append(alert(1))
        (tmp_path / "outbox.db").rmdir()
        wait_until(lambda: told.seqs == [1])


def test_a_disk_that_takes_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By the limit on the size of this process's files, which needs no rights; test_outbox_disk has real disks."""
    told = Told()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with running(tmp_path, told) as outbox, caplog.at_level(logging.WARNING):
        store(outbox, told, [alert(number) for number in range(20)])
        caplog.clear()
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
            for number in range(20, 40):
                outbox.append(alert(number))
            wait_until(lambda: told.state == "failed")
            assert not outbox.healthy
            assert outbox.counters().waiting == 20
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        wait_until(lambda: told.state == "ok")
        assert told.numbers == list(range(40)), "each once"
        assert everything(outbox) == told.stored
    assert caplog.text.count("alerts are not stored") == 1, "one line, not one each second"
    assert caplog.text.count("alerts are stored again") == 1
