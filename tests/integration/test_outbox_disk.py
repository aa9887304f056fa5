"""The outbox on a full and on a read-only disk: small file systems of our own, in a mount namespace that ends with the
process in it. Needs the right to mount; CI runs as root."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.outbox.faults import Fault
from edge.outbox.files import set_aside
from tests.mounts import fill, mount, run_with_own_mounts, small_disk
from tests.outboxes import NOON, Told, alert, everything, running, store
from tests.support import wait_until


def full_while_it_runs(folder: Path) -> None:
    small_disk(folder)
    told = Told()
    with running(folder, told) as outbox:
        outbox.register("backend", 0)
        store(outbox, told, [alert(number) for number in range(10)])
        filler = fill(folder)
        number = 10
        while told.state == "ok":  # what the log file has room for is still stored
            outbox.append(alert(number))
            number += 1
            waiting = number
            wait_until(lambda: len(told.stored) == waiting or told.state == "failed")  # noqa: B023 - called at once
        assert "the disk is full; make room on it" in told.reason, told.reason
        assert not outbox.healthy
        last = number + 19
        for number in range(last - 19, last + 1):
            outbox.append(alert(number))
        assert outbox.counters().waiting >= 20
        assert everything(outbox) == told.stored, "reading goes on"
        assert outbox.acknowledge("backend", 5), "in memory"
        filler.unlink()
        wait_until(lambda: told.state == "ok")
        assert told.numbers == list(range(last + 1)), "all of them, once, in their order"
        assert everything(outbox) == told.stored
    with running(folder) as outbox:
        assert everything(outbox) == told.stored
        assert outbox.consumers() == {"backend": 5}


def full_from_the_start(folder: Path) -> None:
    small_disk(folder)
    filler = fill(folder)
    told = Told()
    with running(folder, told, wait=False) as outbox:
        assert (told.state, outbox.healthy, outbox.bounds) == ("failed", False, None)
        assert "the disk is full" in told.reason, told.reason
        outbox.append(alert(1))
        filler.unlink()
        wait_until(lambda: told.seqs == [1])
        wait_until(lambda: told.state == "ok")


def full_and_damaged(folder: Path) -> None:
    """Moved aside needs no room; the new file does, and waits for it."""
    small_disk(folder)
    (folder / "outbox.db").write_bytes(b"no database" * 100)
    filler = fill(folder)
    told = Told()
    with running(folder, told, wait=False) as outbox:
        assert told.state == "failed"
        outbox.append(alert(1))
        filler.unlink()
        wait_until(lambda: told.seqs == [1])
        wait_until(lambda: told.state == "degraded")
    assert [entry.read_bytes()[:11] for entry in folder.glob("outbox.db.damaged-*Z")] == [b"no database"]


def read_only_from_the_start(folder: Path) -> None:
    small_disk(folder)
    told = Told()
    with running(folder, told) as outbox:
        store(outbox, told, [alert(1)])
    mount("-o", "remount,ro", str(folder))
    with running(folder, told, wait=False) as outbox:
        assert (told.state, outbox.healthy) == ("failed", False)
        assert "cannot be written; mount its disk writable" in told.reason, told.reason
        outbox.append(alert(2))
        mount("-o", "remount,rw", str(folder))
        wait_until(lambda: told.seqs == [1, 2])
        assert everything(outbox) == told.stored


def read_only_and_damaged(folder: Path) -> None:
    """What cannot be moved aside is not touched."""
    small_disk(folder)
    (folder / "outbox.db").write_bytes(b"no database" * 100)
    (folder / "outbox.lock").touch()
    mount("-o", "remount,ro", str(folder))
    told = Told()
    with running(folder, told, wait=False) as outbox:
        assert told.state == "failed"
        outbox.append(alert(1))
        mount("-o", "remount,rw", str(folder))
        wait_until(lambda: told.state == "degraded")
        wait_until(lambda: told.seqs == [1])


def one_that_lets_only_the_log_be_renamed(folder: Path) -> None:
    """All or nothing: a log without its database, or the other way round, would be a second accident."""
    path, log = folder / "outbox.db", folder / "outbox.db-wal"
    path.write_bytes(b"no database" * 100)
    log.write_bytes(b"its log")
    mount("--bind", str(path), str(path))  # what is mounted cannot be renamed
    with pytest.raises(Fault, match="busy"):
        set_aside(path, "damaged", NOON)
    assert (path.read_bytes()[:11], log.read_bytes()) == (b"no database", b"its log")
    told = Told()
    with running(folder, told, wait=False) as outbox:
        assert told.state == "failed"
        assert "is damaged and cannot be moved aside" in told.reason, told.reason
        assert not list(folder.glob("*damaged*"))
        outbox.append(alert(1))
        subprocess.run(["umount", str(path)], check=True)
        wait_until(lambda: told.seqs == [1])
        wait_until(lambda: told.state == "degraded")


def unmounted(folder: Path) -> None:
    """The disk goes (lazily: files stay open) and an empty folder is in its place."""
    disk = folder / "disk"
    disk.mkdir()
    small_disk(disk)
    state = folder / "state"
    state.mkdir()
    mount("--bind", str(disk), str(state))
    told = Told()
    with running(state, told) as outbox:
        store(outbox, told, [alert(1)])
        subprocess.run(["umount", "--lazy", str(state)], check=True)
        outbox.append(alert(2))
        wait_until(lambda: told.state == "failed")
        wait_until(lambda: told.numbers == [1, 2])
        assert told.seqs == [1, 1]
        assert told.stored[0].stream != told.stored[1].stream
        assert told.state == "degraded"


SCENES: dict[str, Callable[[Path], None]] = {
    scene.__name__: scene
    for scene in (
        full_while_it_runs,
        full_from_the_start,
        full_and_damaged,
        read_only_from_the_start,
        read_only_and_damaged,
        one_that_lets_only_the_log_be_renamed,
        unmounted,
    )
}


@pytest.mark.parametrize("scene", SCENES)
def test_a_disk_that_is(tmp_path: Path, scene: str) -> None:
    run_with_own_mounts("tests.integration.test_outbox_disk", scene, str(tmp_path))


if __name__ == "__main__":
    SCENES[sys.argv[1]](Path(sys.argv[2]))
