"""Backups of the outbox, and bringing one back."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.errors import StateError
from edge.outbox import files, machine, rows
from edge.outbox.consumers import Consumer
from edge.outbox.database import Database, refuse_newer
from edge.outbox.faults import Fault, translated

_MEND = "the program moves it aside when it starts; or put a backup in its place with `preact-edge outbox restore`"
_GIVE = "give a file that `preact-edge outbox backup` made"


@dataclass(frozen=True, slots=True)
class Summary:
    """What an outbox file holds; ``size`` is what its files take on disk, bytes; ``unread`` as in OutboxCounters."""

    path: Path
    stream: str
    oldest_seq: int
    next_seq: int
    unread: int
    size: int
    consumers: tuple[Consumer, ...]


def summary(folder: Path) -> Summary:
    """Of the folder's outbox, also while a program has it; raises StateError."""
    path = _existing(folder)
    with _damage_of(path, _MEND), _reading(path) as connection:
        meta = dict(connection.execute("SELECT key, value FROM meta"))
        refuse_newer(path, meta.get("schema"))
        oldest, newest = connection.execute("SELECT min(seq), max(seq) FROM alerts").fetchone()
        (last,) = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'alerts'").fetchone() or (0,)
        listed = connection.execute("SELECT name, acked, first_seen, last_seen FROM consumers ORDER BY name")
        consumers = tuple(Consumer(*row) for row in listed)
    following = max(last, newest or 0) + 1
    stream, unread = str(meta.get("stream")), int(meta.get("unread", 0))
    return Summary(path, stream, oldest or following, following, unread, _size(path), consumers)


def backup(folder: Path, target: Path) -> None:
    """Copy the outbox as it is at one moment to a new file, also while a program has it; raises StateError."""
    path = _existing(folder)
    if _status(target) is not None:
        raise StateError(f"{target}: exists; give another name")
    if files.left(target):
        raise StateError(f"{target}: the log of another file of that name is there (-wal, -shm); give another name")
    if not _is_folder(target.parent):
        raise StateError(f"{target}: there is no such folder; make it, or give another")
    with _damage_of(path, _MEND), _reading(path) as source:
        _copy(source, target, like=path, adopt=target.parent.samefile(folder))


def restore(folder: Path, origin: Path, *, machine_id: str | None = None, now: float | None = None) -> Path | None:
    """Put a backup in the place of the outbox, as a new stream; where the present one was moved to, None without one.
    Of one whose file is gone that is the log (``-wal``, ``-shm``) alone.

    Refused while a program has the outbox; raises StateError, and then the present one is still in its place. What
    root makes is the folder's owner's.
    """
    path = folder / files.DATABASE
    _check_origin(origin, path)
    _make(folder)
    part = path.with_name(f".{path.name}.restore")
    with _owned(folder), _removed_at_end(part):
        with _damage_of(origin, _GIVE):
            with _reading(origin) as source:
                source.execute("SELECT 1 FROM meta")  # an empty file is a database too
                _copy(source, part, like=path if path.exists() else origin, adopt=True)
            identity = machine.machine_id() if machine_id is None else machine_id
            with contextlib.closing(Database(part, identity)) as database:  # proves that it is a sound outbox
                database.renew()
        aside = files.set_aside(path, "replaced", time.time() if now is None else now) if files.left(path) else None
        with translated(path):
            part.rename(path)
            files.sync_folder(folder)
        return aside


def forget(folder: Path, name: str) -> None:
    """Wait for this consumer no longer. Refused while a program has the outbox; raises StateError."""
    path = _existing(folder)
    with _owned(folder), _damage_of(path, _MEND), contextlib.closing(Database(path, "")) as database:
        known = database.consumers()
        if name not in {consumer.name for consumer in known}:
            names = ", ".join(consumer.name for consumer in known) or "none"
            raise StateError(f"consumer {name}: is not known; known: {names}")
        with database.transaction():
            database.put_consumers(consumer for consumer in known if consumer.name != name)


def _existing(folder: Path) -> Path:
    path = folder / files.DATABASE
    if _status(path) is None:
        words = "`preact-edge run` makes it; if it is elsewhere, give -c FILE or --set storage.state_dir=DIR"
        raise StateError(f"{path}: there is no outbox yet; {words}")
    return path


def _check_origin(origin: Path, path: Path) -> None:
    found, present = _status(origin), _status(path)
    if found is None:
        raise StateError(f"{origin}: there is no such file")
    if not stat.S_ISREG(found.st_mode):
        raise StateError(f"{origin}: is no file; {_GIVE}")
    if present is not None and os.path.samestat(found, present):
        raise StateError(f"{origin}: is the outbox itself; {_GIVE}")


def _status(path: Path) -> os.stat_result | None:
    """None where there is nothing; raises Fault where that cannot be known."""
    with translated(path):
        try:
            return path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None


def _is_folder(path: Path) -> bool:
    status = _status(path)
    return status is not None and stat.S_ISDIR(status.st_mode)


def _make(folder: Path) -> None:
    if _status(folder) is None:
        with translated(folder):
            folder.mkdir(parents=True)
            files.adopt(folder)
    elif not _is_folder(folder):
        raise StateError(f"{folder}: is no folder; give another with --set storage.state_dir=DIR")


@contextmanager
def _damage_of(path: Path, advice: str) -> Iterator[None]:
    """What is wrong with the data is told of ``path``, whichever copy of it showed it, and what to do."""
    try:
        yield
    except Fault as fault:
        if fault.kind == "damaged":
            raise StateError(f"{path}: is damaged ({fault.detail}); {advice}") from fault
        if fault.kind == "newer":
            raise Fault(path, "newer", fault.detail) from fault
        raise


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    with translated(path), contextlib.closing(rows.connect_readonly(path)) as connection:
        connection.execute("BEGIN")
        yield connection


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    lock = files.FolderLock(folder)
    try:
        lock.acquire()
        yield
    finally:
        lock.release()


@contextmanager
def _removed_at_end(path: Path) -> Iterator[None]:
    try:
        yield
    finally:
        for suffix in files.SUFFIXES:
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def _copy(source: sqlite3.Connection, target: Path, *, like: Path, adopt: bool) -> None:
    """One file with the mode of ``like``, without a log beside it; ``target`` is whole or not there."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with translated(target), _removed_at_end(part):
        _touch(part, stat.S_IMODE(like.stat().st_mode) | stat.S_IRUSR | stat.S_IWUSR)
        if adopt:
            files.adopt(part)
        with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
        part.rename(target)
        files.sync_folder(target.parent)


def _touch(path: Path, mode: int) -> None:
    """A new empty file with just this mode, whatever lay there before; FAT, on a stick, keeps no modes."""
    path.unlink(missing_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with contextlib.suppress(PermissionError):
        os.fchmod(file, mode)
    os.close(file)


def _size(path: Path) -> int:
    found = [path.with_name(path.name + suffix) for suffix in files.SUFFIXES]
    return sum(file.stat().st_size for file in found if file.exists())
