"""The files that [security] names: where they lie, who may read them, whether they changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from edge.errors import ConfigError, SecurityError
from edge.paths import expand, substitute

LARGEST = 1 << 20  # bytes; far more than any chain, list or table of keys, far less than the memory
OTHERS = stat.S_IROTH | stat.S_IWOTH | stat.S_IXOTH

Stamp: TypeAlias = tuple[int, int, int] | None  # of one file: inode, size, time of change; None: it cannot be seen


def locate(key: str, text: str, environ: Mapping[str, str]) -> Path:
    """The path that the setting ``security.<key>`` gives, with variables and ``~`` replaced; raises ConfigError."""
    try:
        return expand(substitute(text, environ))
    except ConfigError as error:
        raise ConfigError(f"security.{key}: {error}") from error


def stamps(paths: Iterable[Path]) -> tuple[Stamp, ...]:
    """What tells that one of the files was changed or replaced."""
    return tuple(_stamp(path) for path in paths)


def read(what: str, path: Path) -> bytes:
    """The file's bytes; ``what`` (a setting's key, or a word for the file) begins the SecurityError."""
    return _read(what, path, private=False)


def read_private(what: str, path: Path) -> bytes:
    """The same for a file with a secret: one that everybody on the machine may open is refused."""
    return _read(what, path, private=True)


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read(what: str, path: Path, *, private: bool) -> bytes:
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise SecurityError(f"{what}: {path}: is no file; give the path of one")
            if private and found.st_mode & OTHERS:
                raise SecurityError(f"{what}: {path}: every user of this machine may open it; run: chmod o= '{path}'")
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise SecurityError(f"{what}: {path}: cannot be read: {error.strerror}") from error
    if len(content) > LARGEST:
        raise SecurityError(f"{what}: {path}: has more than {LARGEST} bytes; is it the right file?")
    return content


def _without_waiting(path: str, flags: int) -> int:
    """Opening a pipe would wait for its writer."""
    return os.open(path, flags | os.O_NONBLOCK)
