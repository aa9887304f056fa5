"""Fetch one file: to be resumed, checked before it is used, and put in place in one step."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias
from urllib.parse import urlsplit

from edge.errors import ModelError

Progress: TypeAlias = Callable[[int, int], None]  # bytes so far, bytes in all (0: unknown)

TIMEOUT_S = 30.0  # without a byte
CHUNK = 1 << 16
MOST_BYTES = 512 << 20  # where the size is not known beforehand: no detector for such a device is larger


@dataclass(frozen=True, slots=True)
class Expected:
    """What a file must be: at least one of the hashes is given; ``size`` 0 is unknown."""

    name: str  # for messages
    size: int = 0
    sha256: str = ""
    git_blob: str = ""


def sha256_of(path: Path) -> str:
    """Raises OSError."""
    with path.open("rb") as file:
        return _digest(hashlib.sha256(), file)


def fault(path: Path, expected: Expected) -> str:
    """What is wrong with the file, "" where it is as expected; raises OSError."""
    size = path.stat().st_size
    if expected.size and size != expected.size:
        return f"{size} bytes instead of {expected.size}"
    if expected.sha256:
        return "" if sha256_of(path) == expected.sha256 else "its SHA-256 is another"
    # Not for secrecy: git names its objects so, and no other hash of these files is published.
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as file:
        return "" if _digest(digest, file) == expected.git_blob else "its git id is another"


def fetch(url: str, target: Path, expected: Expected, progress: Progress, advice: str) -> None:
    """Fetch ``url`` into ``target``.

    Bytes gather in ``target.part``, which a later call goes on with. ``target`` is replaced only by a file that was
    checked and is on disk. Raises ModelError, its message ending in ``advice`` where the source is at fault.
    """
    part = target.with_name(target.name + ".part")
    with _exclusive(part, expected) as file:
        resumed = _receive(url, file, expected, progress, advice)
        wrong = fault(part, expected)
        if wrong and resumed:  # the beginning may be of another file: once more, from the start
            file.truncate(0)
            _receive(url, file, expected, progress, advice)
            wrong = fault(part, expected)
        if wrong:
            part.unlink()
            raise ModelError(f"model {expected.name}: {url} is not the right file ({wrong}), it was not kept; {advice}")
        _put(part, target, file)


def copy(source: Path, target: Path, expected: Expected, progress: Progress, advice: str) -> None:
    """The same from a file on this machine."""
    part = target.with_name(target.name + ".part")
    try:
        wrong = fault(source, expected)
    except OSError as error:
        raise ModelError(f"model {expected.name}: {source}: cannot be read: {error.strerror}; {advice}") from error
    if wrong:
        raise ModelError(f"model {expected.name}: {source} is not the right file ({wrong}); {advice}")
    with _exclusive(part, expected) as file, source.open("rb") as origin:
        file.truncate(0)
        try:
            shutil.copyfileobj(origin, file, CHUNK)
            file.flush()
        except OSError:
            os.truncate(part, 0)  # a copy is never gone on with: it would only fill the disk
            raise
        if wrong := fault(part, expected):
            part.unlink()
            raise ModelError(f"model {expected.name}: {source} changed while it was copied ({wrong}); {advice}")
        progress(part.stat().st_size, part.stat().st_size)
        _put(part, target, file)


def _receive(url: str, file: IO[bytes], expected: Expected, progress: Progress, advice: str) -> bool:
    """Append what is missing to ``file``; True when it went on where an earlier call had stopped."""
    where = f"model {expected.name}: {url}"
    start = file.seek(0, os.SEEK_END)
    if expected.size and start >= expected.size:
        return True
    try:
        with _open(url, start) as answer:
            if not _continues(answer, start):
                start = 0
            file.truncate(start)
            total = _length(answer, start) or expected.size
            done = _pour(answer, file, start, total, progress, expected)
    except ModelError:  # the disk's fault, and already said so
        raise
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return True  # it was whole already, or it is of another file: the check will tell
        raise ModelError(f"{where}: the server answered {error.code} {error.reason}; {advice}") from error
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ModelError(f"{where}: cannot be fetched: {reason}; {advice}") from error
    if total and done < total:
        raise ModelError(
            f"{where}: the connection broke after {done} of {total} bytes; run it again to go on from there"
        )
    return start > 0


def _pour(answer: Any, file: IO[bytes], done: int, total: int, progress: Progress, expected: Expected) -> int:
    most = expected.size or MOST_BYTES
    while chunk := answer.read(min(CHUNK, most + 1 - done)):
        with _saving(Path(str(file.name)), expected):
            file.write(chunk)
        done += len(chunk)
        progress(done, total)
        if done > most:  # the check of the size will say so
            break
    with _saving(Path(str(file.name)), expected):
        file.flush()
    return done


class _SameOrSafer(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not from https to anything else."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise urllib.error.URLError(f"it redirects to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str, start: int) -> Any:
    if urlsplit(url).scheme not in ("https", "http", "file"):
        raise ValueError("only https, and for a mirror http and file, are supported")
    request = urllib.request.Request(url, headers={"User-Agent": "preact-edge"})  # noqa: S310 - checked above
    if start:
        request.add_header("Range", f"bytes={start}-")
    return urllib.request.build_opener(_SameOrSafer).open(request, timeout=TIMEOUT_S)


def _continues(answer: Any, start: int) -> bool:
    """Whether the server sends the rest only, and from the right place."""
    ranged = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range") or "")
    return answer.status == http.client.PARTIAL_CONTENT and ranged is not None and int(ranged[1]) == start


def _length(answer: Any, start: int) -> int:
    length = answer.headers.get("Content-Length") or ""
    return start + int(length) if length.isdigit() else 0


def _put(part: Path, target: Path, file: IO[bytes]) -> None:
    os.fsync(file.fileno())
    part.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _exclusive(part: Path, expected: Expected) -> Iterator[IO[bytes]]:
    """The open ``.part`` file, held by this process alone."""
    with _saving(part, expected):
        part.parent.mkdir(parents=True, exist_ok=True)
        file = part.open("ab")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ModelError(f"model {expected.name}: another process is pulling it; wait for that one") from error
        if not part.exists() or not os.path.samestat(part.stat(), os.fstat(file.fileno())):
            raise ModelError(f"model {expected.name}: another process has just pulled it; run it again")
        try:
            with _saving(part, expected):
                yield file
        finally:
            if part.exists() and not part.stat().st_size:
                part.unlink()


@contextmanager
def _saving(path: Path, expected: Expected) -> Iterator[None]:
    """Tell a full or read-only disk from a broken connection."""
    try:
        yield
    except OSError as error:
        raise ModelError(
            f"model {expected.name}: {path} cannot be written: {error.strerror}; free some space or give --store DIR"
        ) from error


def _digest(digest: Any, file: IO[bytes]) -> str:
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return str(digest.hexdigest())
