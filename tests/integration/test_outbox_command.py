"""``preact-edge outbox`` as a user calls it."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.outboxes import Told, alert, everything, running, store
from tests.support import ROOT


def outbox_command(*arguments: object, state: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge", "outbox", *map(str, arguments), "--set", f"storage.state_dir={state}"]
    plain = {key: value for key, value in os.environ.items() if not key.startswith("PREACT_EDGE_")}
    return subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True, check=False)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "my state"
    folder.mkdir()
    return folder


def test_show_also_while_the_program_runs(state: Path) -> None:
    told = Told()
    with running(state, told) as outbox:
        outbox.register("backend", 0)
        store(outbox, told, [alert(1), alert(2), alert(3)])
        outbox.acknowledge("backend", 2)
        outbox.register("late")
        store(outbox, told, [alert(4)])
        done = outbox_command("show", state=state)
    again = outbox_command("show", state=state)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [re.sub(r"  +", "  ", line) for line in done.stdout.splitlines()]
    assert lines[0] == f"path  {state / 'outbox.db'}"
    assert re.fullmatch(r"size  0\.\d MB", lines[1])
    assert lines[2:7] == [
        f"stream  {told.stored[0].stream}", "alerts  4, 1 to 4", "next  5",
        "unread  0 trimmed before every consumer had them", "consumers  2",
    ]  # fmt: skip
    assert lines[7].startswith("  backend  acknowledged 2, 2 behind, last seen 2025-10-09 ")
    assert lines[8].startswith("  late  acknowledged 3, 1 behind, ")
    assert again.stdout.splitlines()[2:] == done.stdout.splitlines()[2:]


def test_backup_while_the_program_runs_and_restore(state: Path, tmp_path: Path) -> None:
    told, file = Told(), tmp_path / "alerts of monday.db"
    with running(state, told) as outbox:
        outbox.register("backend", 0)
        store(outbox, told, [alert(number) for number in range(100)])
        outbox.acknowledge("backend", 40)
        store(outbox, told, [alert(100)])
        done = outbox_command("backup", file, state=state)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{file}: ok\n", "")
        again = outbox_command("backup", file, state=state)
        assert again.returncode == 1
        assert again.stderr == f"preact-edge: {file}: exists; give another name\n"
        store(outbox, told, [alert(101)])
        refused = outbox_command("restore", file, state=state)
        assert refused.returncode == 1
        words = "is in use by another preact-edge; stop that one first, a service with `systemctl stop`"
        assert refused.stderr == f"preact-edge: {state / 'outbox.db'}: {words}\n"
    assert [entry.name for entry in tmp_path.iterdir() if entry != state] == [file.name], "one file, no log beside it"
    done = outbox_command("restore", file, state=state)
    assert (done.returncode, done.stderr) == (0, "")
    aside, restored = done.stdout.splitlines()
    assert re.fullmatch(rf"{state}/outbox\.db\.replaced-\d{{8}}T\d{{6}}Z: what was there before", aside)
    assert restored == f"{state / 'outbox.db'}: restored, as a new stream"
    connection = sqlite3.connect(aside.split(": ")[0])
    assert connection.execute("SELECT count(*) FROM alerts").fetchone() == (102,)
    connection.close()
    with running(state, machine_id="") as outbox:
        kept = everything(outbox)
        assert [each.alert for each in kept] == [each.alert for each in told.stored[:101]]
        assert kept[0].stream != told.stored[0].stream
        assert outbox.consumers() == {"backend": 40}
        assert outbox.bounds
        assert outbox.bounds.next_seq == 102
    assert not [entry for entry in state.iterdir() if "restore" in entry.name]


def test_what_is_no_backup_replaces_nothing(state: Path, tmp_path: Path) -> None:
    told = Told()
    with running(state, told) as outbox:
        store(outbox, told, [alert(1)])
    wrong = tmp_path / "wrong"
    wrong.write_text("no database" * 1000)
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE songs (name)")
    connection.close()
    for file, words in (
        (wrong, "is damaged"),
        (other, "is damaged"),
        (tmp_path / "missing", "there is no such file"),
        (state / "outbox.db", "is the outbox itself"),
    ):
        done = outbox_command("restore", file, state=state)
        assert done.returncode == 1
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
    assert sorted(entry.name for entry in state.iterdir()) == ["outbox.db", "outbox.lock"]
    with running(state, machine_id="") as outbox:
        assert everything(outbox) == told.stored


def test_restore_where_there_is_nothing_yet(state: Path, tmp_path: Path) -> None:
    told = Told()
    with running(state, told) as outbox:
        store(outbox, told, [alert(1)])
    file, fresh = tmp_path / "copy", tmp_path / "fresh device"
    assert outbox_command("backup", file, state=state).returncode == 0
    done = outbox_command("restore", file, state=fresh)
    assert (done.returncode, done.stdout) == (0, f"{fresh / 'outbox.db'}: restored, as a new stream\n")
    with running(fresh, machine_id="") as outbox:
        assert [each.alert for each in everything(outbox)] == [told.stored[0].alert]


def test_restore_where_only_a_log_was_left(state: Path, tmp_path: Path) -> None:
    with running(state):
        pass
    file = tmp_path / "copy"
    assert outbox_command("backup", file, state=state).returncode == 0
    (state / "outbox.db").rename(state / "outbox.db-wal")
    done = outbox_command("restore", file, state=state)
    aside, restored = done.stdout.splitlines()
    assert (done.returncode, restored) == (0, f"{state / 'outbox.db'}: restored, as a new stream")
    assert aside.endswith("Z-*: what was there before")
    assert Path(aside.partition("*")[0] + "wal").exists()


def test_forget_a_consumer(state: Path) -> None:
    with running(state) as outbox:
        outbox.register("backend", 0)
        outbox.register("old", 0)
        refused = outbox_command("forget", "old", state=state)
        assert refused.returncode == 1
        assert "is in use by another preact-edge; stop that one first" in refused.stderr
    assert outbox_command("forget", "old", state=state).stdout == "old: forgotten\n"
    unknown = outbox_command("forget", "old", state=state)
    assert unknown.stderr == "preact-edge: consumer old: is not known; known: backend\n"
    with running(state) as outbox:
        assert outbox.consumers() == {"backend": 0}


@pytest.mark.parametrize("action", [("show",), ("backup", "file"), ("forget", "backend")])
def test_no_outbox_yet(state: Path, action: tuple[str, ...]) -> None:
    done = outbox_command(*action, state=state)
    assert done.returncode == 1
    words = "`preact-edge run` makes it; if it is elsewhere, give -c FILE or --set storage.state_dir=DIR"
    assert done.stderr.endswith(f"outbox.db: there is no outbox yet; {words}\n")
    assert not list(state.iterdir())
