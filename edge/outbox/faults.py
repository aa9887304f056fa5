"""What can go wrong with the file, in words for a person."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

from edge.errors import StateError

Kind: TypeAlias = Literal["full", "readonly", "denied", "damaged", "locked", "owned", "gone", "io", "newer", "other"]

_WORDS: dict[Kind, str] = {
    "full": "the disk is full; make room on it",
    "readonly": "cannot be written; mount its disk writable (a worn SD card turns read-only)",
    "denied": "this user has no permission; use sudo, or make this user the owner of it and of its folder",
    "damaged": "is damaged",
    "locked": "is locked by another program, such as sqlite3; stop that one",
    "owned": "is in use by another preact-edge; stop that one first, a service with `systemctl stop`",
    "gone": "was removed, or its folder was; bring the folder back",
    "io": "the disk reports errors; check it, replace a worn SD card",
}
# By SQLite's own texts: Python tells the codes from 3.11 on only.
_TEXTS: tuple[tuple[str, Kind], ...] = (
    ("disk is full", "full"),
    ("readonly", "readonly"),
    ("malformed", "damaged"),
    ("not a database", "damaged"),
    ("no such table", "damaged"),
    ("no such column", "damaged"),
    ("locked", "locked"),
    ("disk I/O error", "io"),
)
_ERRNOS: dict[int | None, Kind] = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EROFS: "readonly",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.ENOENT: "gone",
    errno.ENOTDIR: "gone",
    errno.EIO: "io",
}


class Fault(StateError):
    """The outbox's file cannot be used; ``kind`` says which way, ``detail`` what the system or SQLite said."""

    def __init__(self, path: Path, kind: Kind, detail: str = "") -> None:
        words = _WORDS.get(kind)
        super().__init__(f"{path}: {words or detail}" + (f" ({detail})" if words and detail else ""))
        self.kind = kind
        self.detail = detail


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's and the system's errors about ``path`` become Faults."""
    try:
        yield
    except sqlite3.Error as error:
        raise Fault(path, _kind_of(error, path), str(error)) from error
    except Fault:
        raise
    except OSError as error:
        detail = error.strerror or str(error)
        raise Fault(path, _ERRNOS.get(error.errno, "other"), detail) from error


def _kind_of(error: sqlite3.Error, path: Path) -> Kind:
    text = str(error)
    if "unable to open" in text:
        return _why(path, "other")
    for part, kind in _TEXTS:
        if part in text:
            return _why(path, kind) if kind == "readonly" else kind
    return "other"


def _why(path: Path, otherwise: Kind) -> Kind:
    """SQLite does not say why it cannot open a file, or only to read; ``otherwise`` where nothing is to be seen."""
    try:
        os.stat(os.path.join(path.parent, "."))
        read_only = os.statvfs(path.parent).f_flag & os.ST_RDONLY
    except OSError as error:
        return _ERRNOS.get(error.errno, otherwise)
    if read_only:
        return "readonly"
    folder_is_ours = os.access(path.parent, os.W_OK | os.X_OK)
    file_is_ours = not path.exists() or os.access(path, os.R_OK | os.W_OK)
    return otherwise if folder_is_ours and file_is_ours else "denied"
