"""Backups of the outbox, and bringing one back."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.errors import StateError
from edge.outbox import files, machine, rows
from edge.outbox.consumers import Consumer
from edge.outbox.database import Database
from edge.outbox.faults import translated


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
    with _reading(path) as connection:
        meta = dict(connection.execute("SELECT key, value FROM meta"))
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
    if target.exists():
        raise StateError(f"{target}: exists; give another name")
    with _reading(path) as source:
        _copy(source, target)


def restore(folder: Path, origin: Path, *, machine_id: str | None = None, now: float | None = None) -> Path | None:
    """Put a backup in the place of the outbox, as a new stream; where the present one was moved to, None without one.

    Refused while a program has the outbox; raises StateError, and then the present one is still in its place.
    """
    path = folder / files.DATABASE
    if not origin.is_file():
        raise StateError(f"{origin}: there is no such file")
    if path.exists() and origin.samefile(path):
        raise StateError(f"{origin}: is the outbox itself; give a file that `preact-edge outbox backup` made")
    part = path.with_name(f".{path.name}.restore")
    with _owned(folder), _removed_at_end(part):
        with _reading(origin) as source:
            _copy(source, part)
        identity = machine.machine_id() if machine_id is None else machine_id
        database = Database(part, identity)  # proves that it is a sound outbox
        database.renew()
        database.close()
        aside = files.set_aside(path, "replaced", time.time() if now is None else now) if path.exists() else None
        with translated(path):
            part.rename(path)
            files.sync_folder(folder)
        return aside


def forget(folder: Path, name: str) -> None:
    """Wait for this consumer no longer. Refused while a program has the outbox; raises StateError."""
    path = _existing(folder)
    with _owned(folder):
        database = Database(path, "")
        try:
            known = database.consumers()
            if name not in {consumer.name for consumer in known}:
                names = ", ".join(consumer.name for consumer in known) or "none"
                raise StateError(f"consumer {name}: is not known; known: {names}")
            with database.transaction():
                database.put_consumers(consumer for consumer in known if consumer.name != name)
        finally:
            database.close()


def _existing(folder: Path) -> Path:
    path = folder / files.DATABASE
    if not path.is_file():
        raise StateError(f"{path}: there is no outbox yet; `preact-edge run` makes it")
    return path


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


def _copy(source: sqlite3.Connection, target: Path) -> None:
    """One file, without a log beside it; ``target`` is whole or not there."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with translated(target), _removed_at_end(part):
        with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
        part.rename(target)
        files.sync_folder(target.parent)


def _size(path: Path) -> int:
    found = [path.with_name(path.name + suffix) for suffix in files.SUFFIXES]
    return sum(file.stat().st_size for file in found if file.exists())
