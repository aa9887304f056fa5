"""The outbox's files in the state folder: whose they are, and how they are moved out of the way."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import Literal

from edge.outbox.faults import Fault, translated

DATABASE = "outbox.db"
LOCK = "outbox.lock"
SUFFIXES = ("-wal", "-shm", "")  # the database last: without its log beside it, a new one never meets an old log


class FolderLock:
    """Keeps every other preact-edge off the outbox of ``folder`` while it is held.

    Synchronization: one thread.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._file: int | None = None

    def acquire(self) -> None:
        """Take it, or make sure that it is still held; raises Fault (``owned`` when another has it)."""
        if self._file is not None:
            if _is_open_file(self._path, self._file):
                return
            self.release()  # the folder was removed and made again
        with translated(self._path):
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            try:
                adopt(self._path)
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(file)
                if isinstance(error, BlockingIOError):
                    raise Fault(self._path.with_name(DATABASE), "owned") from error
                raise
        self._file = file

    def release(self) -> None:
        """Give it back; idempotent."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def inode(path: Path) -> tuple[int, int] | None:
    """What tells this file from any other; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def adopt(path: Path) -> None:
    """Give what root made to the owner of its folder, whose service could not open it otherwise.

    SQLite does the same for a database's log files. Where root may not, as on some network shares, it stays as it is.
    """
    with contextlib.suppress(OSError):
        if (owner := heir(path.parent.stat(), os.geteuid())) is not None:
            os.chown(path, *owner, follow_symlinks=False)


def heir(folder: os.stat_result, user: int) -> tuple[int, int] | None:
    """Owner and group for a file that ``user`` made in the folder; None: it stays as it is."""
    return (folder.st_uid, folder.st_gid) if user == 0 else None


def left(path: Path) -> bool:
    """Whether the database is there, or only its log: SQLite would play that into whatever file takes the name."""
    return any(_with_suffix(path, suffix).exists() for suffix in SUFFIXES)


def set_aside(path: Path, word: Literal["damaged", "replaced"], now: float) -> Path:
    """Rename what is there of the database and its log files to ``NAME.WORD-UTC``, a name that was free; the new name.

    All or nothing; raises Fault.
    """
    stem = f"{path.name}.{word}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}"
    target, number = path.with_name(stem), 1
    while left(target):
        number += 1
        target = path.with_name(f"{stem}_{number}")
    with translated(path):
        _rename_all(path, target)
        sync_folder(path.parent)
    return target


def sync_folder(folder: Path) -> None:
    """Make renames in it survive a power cut; raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _rename_all(path: Path, target: Path) -> None:
    moved: list[tuple[Path, Path]] = []
    try:
        for suffix in SUFFIXES:
            source, destination = _with_suffix(path, suffix), _with_suffix(target, suffix)
            if source.exists():
                source.rename(destination)
                moved.append((source, destination))
                adopt(destination)
    except OSError:
        for source, destination in moved:
            with contextlib.suppress(OSError):
                destination.rename(source)
        raise


def _with_suffix(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _is_open_file(path: Path, file: int) -> bool:
    status = os.fstat(file)
    return inode(path) == (status.st_dev, status.st_ino)
