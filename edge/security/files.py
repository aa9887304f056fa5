"""The files that [security] names: where they lie, who may read them, whether they changed; and how they are made."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from edge.errors import ConfigError, SecurityError
from edge.paths import expand, substitute

LARGEST = 1 << 20  # bytes; far more than any chain, list or table of keys, far less than the memory
READABLE = 0o644
OTHERS = stat.S_IROTH | stat.S_IWOTH | stat.S_IXOTH
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)  # a file system without hard links, such as a USB stick's

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


def write_new(path: Path, content: bytes, *, private: bool = False) -> None:
    """Make a file, and its folder. It is there whole or not at all, with its mode (0600 for a secret) from the first
    moment; one that exists is left as it is. Raises SecurityError."""
    part = path.with_name(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write(part, content, 0o600 if private else READABLE)
            _name(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritten(path, error) from error


def replace(path: Path, content: bytes, *, like: Path | None = None) -> None:
    """Write a file that is no secret anew; whoever reads it finds the old content or the new. Raises SecurityError.

    Its mode, and where this user may give it away its owner, are those of ``like``, otherwise of the old one.
    """
    part = path.with_name(f".{os.getpid()}.part")
    try:
        try:
            old = _status(like or path)
            _write(part, content, stat.S_IMODE(old.st_mode) if old else READABLE, old)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritten(path, error) from error


def _write(part: Path, content: bytes, mode: int, owner: os.stat_result | None = None) -> None:
    """A new file with just this mode, whatever the umask and what lay there before, on disk; a stick keeps no modes."""
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        if owner is not None:
            with contextlib.suppress(OSError):
                os.fchown(out.fileno(), owner.st_uid, owner.st_gid)
        with contextlib.suppress(PermissionError):
            os.fchmod(out.fileno(), mode)
        out.write(content)
        out.flush()
        os.fsync(out.fileno())


def _status(path: Path) -> os.stat_result | None:
    """None where there is nothing yet; raises OSError."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _name(part: Path, path: Path) -> None:
    """Give a file its name unless that is taken."""
    try:
        os.link(part, path)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        part.replace(path)


def _unwritten(path: Path, error: OSError) -> SecurityError:
    advice = {
        errno.EACCES: "; take a folder that this user may write into, or run the command as its owner",
        errno.ENOSPC: "; make room, then run the same command again",
        errno.EDQUOT: "; make room, then run the same command again",
        errno.EROFS: "; take a folder on another disk",
    }.get(error.errno or 0, "")
    for folder in path.parents:
        if os.path.lexists(folder) and not folder.is_dir():
            return SecurityError(f"{path}: cannot be written: {folder} is no folder; take another one")
    return SecurityError(f"{path}: cannot be written: {error.strerror or error}{advice}")


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
