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

Kind: TypeAlias = Literal["full", "readonly", "damaged", "locked", "gone", "io", "other"]

_WORDS: dict[Kind, str] = {
    "full": "the disk is full; make room on it",
    "readonly": "cannot be written; make its folder writable (a worn SD card turns read-only)",
    "damaged": "is damaged",
    "locked": "is used by another program; stop the other one",
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
    errno.EACCES: "readonly",
    errno.EPERM: "readonly",
    errno.ENOENT: "gone",
    errno.ENOTDIR: "gone",
    errno.EIO: "io",
}


class Fault(StateError):
    """The outbox's file cannot be used; ``kind`` says which way."""

    def __init__(self, path: Path, kind: Kind, detail: str = "") -> None:
        words = _WORDS.get(kind)
        super().__init__(f"{path}: {words or detail}" + (f" ({detail})" if words and detail else ""))
        self.kind = kind


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
    for part, kind in _TEXTS:
        if part in text:
            return kind
    if "unable to open" in text:  # it does not say why
        if not path.parent.is_dir():
            return "gone"
        if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
            return "readonly"
    return "other"
