"""Backups and restores: whose the files are afterwards, and what a person is told who may not or cannot."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.errors import StateError
from edge.outbox import copies
from edge.outbox.files import FolderLock, heir
from tests.outboxes import Told, alert, everything, running, store
from tests.support import ROOT

SERVICE = 65_534, 65_533  # a user and a group that are not root's


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A state folder with one alert."""
    folder, told = tmp_path / "my state", Told()
    folder.mkdir()
    with running(folder, told) as outbox:
        outbox.register("backend/nest", 0)
        store(outbox, told, [alert(1)])
    return folder


@pytest.fixture
def of_the_service(filled: Path) -> Path:
    """The same, of another user than root, who runs the test."""
    if os.geteuid() != 0:
        pytest.skip("only root makes files for others")
    try:
        for path in (filled, *filled.iterdir()):
            os.chown(path, *SERVICE)
    except PermissionError:
        pytest.skip("this root may not give files away")
    return filled


@contextlib.contextmanager
def closed_to_us(folder: Path, path: Path) -> Iterator[None]:
    """Without a right to ``path``; root, who always has one, is the ordinary owner of all in ``folder`` meanwhile."""
    root = os.geteuid() == 0
    for each in (folder, *folder.rglob("*")) if root else ():
        os.chown(each, *SERVICE)
    before = stat.S_IMODE(path.stat().st_mode)
    path.chmod(0)
    if root:
        os.setresuid(SERVICE[0], SERVICE[0], 0)
    try:
        yield
    finally:
        if root:
            os.setresuid(0, 0, 0)
        path.chmod(before)


def owners(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.lstat().st_uid, path.lstat().st_gid) for path in folder.iterdir()}


def test_only_what_root_made_changes_its_owner(tmp_path: Path) -> None:
    folder = tmp_path.stat()
    assert heir(folder, 0) == (folder.st_uid, folder.st_gid)
    assert heir(folder, 1000) is None


def test_what_root_makes_belongs_to_the_owner_of_the_folder(of_the_service: Path, tmp_path: Path) -> None:
    folder, file = of_the_service, tmp_path / "copy"
    (folder / "outbox.lock").unlink()
    copies.backup(folder, file)
    copies.backup(folder, folder / "inside")
    os.chown(folder / "outbox.db", 0, 0)  # as an earlier release left it
    aside = copies.restore(folder, file)
    copies.summary(folder)  # SQLite makes its log files for it
    assert aside
    assert set(owners(folder).values()) == {SERVICE}
    assert {"outbox.db", "outbox.db-shm", "outbox.lock", "inside", aside.name} <= set(owners(folder))
    assert file.stat().st_uid == 0, "a copy elsewhere is whose it was made by"
    copies.forget(folder, "backend/nest")
    fresh = folder / "fresh"
    assert copies.restore(fresh, file) is None
    copies.summary(fresh)
    assert set((owners(folder) | owners(fresh)).values()) == {SERVICE}


def killed_after(folder: Path, copy: Path) -> None:
    """A device that stored an alert, then a copy was made, then it stored 50 more, and was killed with them in the log
    alone."""
    code = (
        "import os, sys; from pathlib import Path; from edge.outbox import copies\n"
        "from edge.outbox.database import Database; from tests.outboxes import NOON, alert\n"
        "folder, copy = map(Path, sys.argv[1:]); database = Database(folder / 'outbox.db', 'this')\n"
        "with database.transaction(): database.insert([alert(1)], NOON)\n"
        "copies.backup(folder, copy)\n"
        "for number in range(2, 52):\n"
        "    with database.transaction(): database.insert([alert(number)], NOON)\n"
        "os.kill(os.getpid(), 9)"
    )
    folder.mkdir()
    found = subprocess.run([sys.executable, "-c", code, str(folder), str(copy)], cwd=ROOT, check=False)
    assert found.returncode == -signal.SIGKILL


@pytest.mark.parametrize("gone", [(), ("-shm",)])
def test_the_log_of_a_file_that_was_removed_is_moved_aside(tmp_path: Path, gone: tuple[str, ...]) -> None:
    """SQLite would play it into the file that is put in the place of the one that was removed."""
    folder, copy = tmp_path / "my state", tmp_path / "copy"
    killed_after(folder, copy)
    log = (folder / "outbox.db-wal").read_bytes()
    for suffix in ("", *gone):
        (folder / f"outbox.db{suffix}").unlink()
    aside = copies.restore(folder, copy, machine_id="this", now=0.0)
    assert aside == folder / "outbox.db.replaced-19700101T000000Z"
    assert not aside.exists()
    assert aside.with_name(f"{aside.name}-wal").read_bytes() == log
    assert not (folder / "outbox.db-wal").exists()
    with running(folder) as outbox:
        assert [each.alert.frame_id for each in everything(outbox)] == [1]


def test_no_copy_is_made_beside_the_log_of_another_file(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "copy-wal").touch()
    with pytest.raises(StateError, match=r"copy: the log of another file of that name is there \(-wal, -shm\)"):
        copies.backup(filled, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_copies_have_the_mode_of_what_they_copy_or_replace(filled: Path, tmp_path: Path, mode: int) -> None:
    database, file = filled / "outbox.db", tmp_path / "copy"
    database.chmod(mode)
    copies.backup(filled, file)
    assert stat.S_IMODE(file.stat().st_mode) == mode
    file.chmod(0o400)
    copies.restore(filled, file)
    assert stat.S_IMODE(database.stat().st_mode) == mode
    copies.restore(tmp_path / "fresh", file)
    assert stat.S_IMODE((tmp_path / "fresh" / "outbox.db").stat().st_mode) == 0o600, "the service writes it"


def test_a_disk_without_owners_and_modes_takes_copies_all_the_same(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a memory stick, or a share on which root is nobody."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    monkeypatch.setattr(os, "fchmod", refuse)
    copies.backup(filled, tmp_path / "copy")
    copies.restore(filled, tmp_path / "copy")
    with running(filled) as outbox:
        assert [each.alert for each in everything(outbox)] == [alert(1)]


Action = Callable[[Path, Path], object]
SHOW: Action = lambda state, _: copies.summary(state)  # noqa: E731 - one line each reads best
BACKUP: Action = lambda state, file: copies.backup(state, file.with_name("new"))  # noqa: E731
RESTORE: Action = lambda state, file: copies.restore(state, file)  # noqa: E731
FORGET: Action = lambda state, _: copies.forget(state, "backend/nest")  # noqa: E731


@pytest.mark.parametrize(
    ("action", "closed"),
    [
        *[(action, closed) for action in (SHOW, BACKUP, FORGET) for closed in ("state", "state/outbox.db")],
        *[(action, "state/outbox.lock") for action in (RESTORE, FORGET)],
        *[(RESTORE, closed) for closed in ("state", "copy")],
    ],
)
def test_what_this_user_may_not_use_says_so(action: Action, closed: str) -> None:
    """Not in pytest's own folder: that is root's alone when root runs the tests."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        state, file = folder / "state", folder / "copy"
        state.mkdir()
        with running(state) as outbox:
            outbox.register("backend/nest", 0)
        copies.backup(state, file)
        before = (state / "outbox.db").read_bytes()
        words = "this user has no permission; use sudo, or make this user the owner of it and of its folder"
        with closed_to_us(folder, folder / closed), pytest.raises(StateError, match=words) as caught:
            action(state, file)
        assert str(folder / closed) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert (state / "outbox.db").read_bytes() == before


@pytest.mark.parametrize("parent", ["missing", "my state/outbox.db"])
def test_a_backup_into_a_folder_that_is_not_there(filled: Path, tmp_path: Path, parent: str) -> None:
    target = tmp_path / parent / "copy"
    with pytest.raises(StateError, match=f"^{target}: there is no such folder; make it, or give another$"):
        copies.backup(filled, target)


def test_a_restore_into_what_is_no_folder(filled: Path, tmp_path: Path) -> None:
    copies.backup(filled, tmp_path / "copy")
    with pytest.raises(StateError, match=r"copy: is no folder; give another with --set storage\.state_dir=DIR"):
        copies.restore(tmp_path / "copy", tmp_path / "copy")


@pytest.mark.parametrize("kind", ["empty", "text", "cut short", "newer", "folder"])
def test_what_is_no_backup_is_named_and_replaces_nothing(filled: Path, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "copy"
    copies.backup(filled, file)
    words = r"is damaged \(.*\); give a file that `preact-edge outbox backup` made"
    if kind == "empty":
        file.write_bytes(b"")
    elif kind == "text":
        file.write_text("no database " * 1000)
    elif kind == "cut short":
        file.write_bytes(file.read_bytes()[:20_000])
    elif kind == "newer":
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("UPDATE meta SET value = 2 WHERE key = 'schema'")
        words = r"was made by a newer preact-edge \(its format is 2\)"
    else:
        file.unlink()
        file.mkdir()
        words = "is no file; give a file that `preact-edge outbox backup` made"
    with pytest.raises(StateError, match=f"^{file}: {words}"):
        copies.restore(filled, file)
    assert not [name for name in owners(filled) if "restore" in name or "replaced" in name]
    with running(filled) as outbox:
        assert [each.alert for each in everything(outbox)] == [alert(1)]


@pytest.mark.parametrize("action", [SHOW, BACKUP, FORGET])
def test_a_damaged_outbox_says_what_to_do(filled: Path, tmp_path: Path, action: Action) -> None:
    (filled / "outbox.db").write_text("no database " * 1000)
    words = "the program moves it aside when it starts; or put a backup in its place with `preact-edge outbox restore`"
    with pytest.raises(StateError, match=rf"outbox\.db: is damaged \(file is not a database\); {words}$"):
        action(filled, tmp_path / "copy")


def test_the_lock_follows_no_link(filled: Path, tmp_path: Path) -> None:
    """Else the folder's owner could have root give away any file."""
    (tmp_path / "other").touch()
    (filled / "outbox.lock").unlink()
    (filled / "outbox.lock").symlink_to(tmp_path / "other")
    with pytest.raises(StateError, match=r"outbox\.lock: "):
        FolderLock(filled).acquire()
