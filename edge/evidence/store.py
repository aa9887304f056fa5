"""The files of evidence: written whole or not at all, found by their event, removed when too many or too old."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from edge.config import Evidence
from edge.errors import StateError

Kind: TypeAlias = Literal["jpg", "avi"]
Key: TypeAlias = tuple[str, Kind]
DAY_S = 86400.0
RESERVE_BYTES = 16 << 20  # of the disk that pictures never take: alerts are worth more, and share it
WAITING_BYTES = 24 << 20  # of content that is not on disk yet; full: the oldest is lost
_NAME = re.compile(r"([0-9]{8,15})-([A-Za-z0-9_-]{1,64})\.(jpg|avi)")
_UID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
logger = logging.getLogger(__name__)


def is_reference(text: str) -> bool:
    """Whether an event of this name can have files: nothing in it leads out of the folder."""
    return _UID.fullmatch(text) is not None


@dataclass(slots=True)
class Event:
    """The files of one event: bytes by kind. ``number`` rises with each, whatever the clock does.

    ``dated`` is the Unix time of the files, 0 where the clock could not be believed; ``born`` the monotonic time of an
    event of this run.
    """

    number: int
    uid: str
    dated: float = 0.0
    born: float | None = None
    sizes: dict[Kind, int] = field(default_factory=dict)

    def name(self, kind: Kind) -> str:
        return f"{self.number:08}-{self.uid}.{kind}"


class EvidenceStore:
    """Pictures and clips in ``folder``, which only its owner can read, at most as many as ``settings`` say.

    ``put`` takes content into memory, from where it can be read at once; ``flush`` writes what waits. A file is
    written under another name, brought to the disk and renamed: under its own name it is whole. When the disk has
    less than ``reserve`` bytes left, the oldest events go first; where that would not be enough, none does.

    ``now`` gives Unix time, or 0 while the clock cannot be believed. Nothing is removed by age then, and nothing that
    is younger by the monotonic clock is, however the other one jumps.

    Synchronization: put, flush and tidy belong to one thread; the rest may be called from any.
    """

    def __init__(
        self,
        folder: Path,
        settings: Evidence,
        *,
        now: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
        reserve: int = RESERVE_BYTES,
    ) -> None:
        self.folder = folder
        self.lost = 0
        self._settings = settings
        self._now = now
        self._monotonic = monotonic
        self._reserve = reserve
        self.scanned = False  # whether it is known what earlier runs left
        # Guards _events and _waiting.
        self._lock = threading.Lock()
        self._events: dict[str, Event] = {}  # by their uid, the oldest first
        self._waiting: dict[Key, bytes] = {}  # the oldest first

    def put(self, uid: str, kind: Kind, content: bytes) -> None:
        """Keep it, in the place of what is kept under this name.

        The oldest that waits gives way, and is counted and logged.
        """
        lost: list[Key] = []
        with self._lock:
            self._waiting.pop((uid, kind), None)
            self._waiting[uid, kind] = content
            while len(self._waiting) > 1 and sum(map(len, self._waiting.values())) > WAITING_BYTES:
                lost.append(next(iter(self._waiting)))
                del self._waiting[lost[-1]]
        self.lost += len(lost)
        for gone, its_kind in lost:
            logger.error("the %s of event %s is lost: too much waits for the disk", its_kind, gone)

    def flush(self) -> None:
        """Write what waits; raises StateError, and what was not written waits on."""
        with self._translated():
            self._scan()
            while (first := self._first_waiting()) is not None:
                key, content = first
                self._write(*key, content)
                with self._lock:
                    if self._waiting.get(key) is content:
                        del self._waiting[key]

    def tidy(self) -> None:
        """Remove what is too old, and date what the clock could not date when it was written; raises StateError."""
        with self._translated():
            self._scan()
            now = self._now()
            for event in list(self._events.values()) if now else ():
                if not event.dated:
                    event.dated = now - (0.0 if event.born is None else self._monotonic() - event.born)
                    for kind in event.sizes:
                        with contextlib.suppress(FileNotFoundError):  # somebody removed it
                            os.utime(self.folder / event.name(kind), (event.dated, event.dated))
            self._retain()

    def holds(self, uid: str, kind: Kind = "jpg") -> bool:
        with self._lock:
            return (uid, kind) in self._waiting or (uid in self._events and kind in self._events[uid].sizes)

    def read(self, uid: str, kind: Kind, offset: int = 0, most: int = -1) -> tuple[bytes, int] | None:
        """What begins at byte ``offset``, at most ``most`` bytes where that is not negative, and the size of the whole.

        None where there is no such file. Raises StateError where it cannot be read.
        """
        with self._lock:
            waiting, event = self._waiting.get((uid, kind)), self._events.get(uid)
        if waiting is not None:
            return waiting[offset : None if most < 0 else offset + most], len(waiting)
        if event is None or kind not in event.sizes:
            return None
        path, removed = self.folder / event.name(kind), contextlib.suppress(FileNotFoundError)
        with self._translated(), removed, path.open("rb") as file:
            file.seek(offset)
            return file.read(most), os.fstat(file.fileno()).st_size
        return None

    @property
    def size(self) -> int:
        """Of all files together."""
        with self._lock:
            return sum(sum(event.sizes.values()) for event in self._events.values())

    @property
    def count(self) -> int:
        """How many events there are files of."""
        with self._lock:
            return len(self._events)

    def _first_waiting(self) -> tuple[Key, bytes] | None:
        with self._lock:
            return next(iter(self._waiting.items()), None)

    def _scan(self) -> None:
        """Once: find what earlier runs left, and remove what they left half done."""
        if self.scanned:
            return
        found: list[tuple[Event, Kind, int]] = []
        for entry in os.scandir(self.folder) if self.folder.exists() else ():
            if entry.name.startswith(".") and entry.name.endswith(".part"):
                os.unlink(entry.path)
            elif (match := _NAME.fullmatch(entry.name)) and entry.is_file(follow_symlinks=False):
                stat = entry.stat(follow_symlinks=False)
                kind: Kind = "jpg" if match[3] == "jpg" else "avi"
                found.append((Event(int(match[1]), match[2], stat.st_mtime), kind, stat.st_size))
        events: dict[str, Event] = {}
        for event, kind, size in sorted(found, key=lambda each: each[0].number):
            if events.setdefault(event.uid, event).number == event.number:
                events[event.uid].sizes[kind] = size
            else:  # somebody's copy, which would never be asked for nor grow old
                (self.folder / event.name(kind)).unlink()
        with self._lock:
            self._events = events
        self.scanned = True
        self._retain()

    def _write(self, uid: str, kind: Kind, content: bytes) -> None:
        event = self._events.get(uid) or Event(self._next_number(), uid, born=self._monotonic())
        others = sum(size for other, size in event.sizes.items() if other != kind)
        if len(content) + others > self._settings.max_mb * 1_000_000:
            logger.error(
                "a %s of %d bytes is not kept: evidence.max_mb is %d", kind, len(content), self._settings.max_mb
            )
            self.lost += 1
            return
        self._make_folder()
        self._make_room(len(content), uid)
        dated = self._now()
        self._replace(event.name(kind), content, dated)
        with self._lock:
            event.dated = dated
            event.sizes = {**event.sizes, kind: len(content)}
            self._events[uid] = event
        self._retain(but=uid)

    def _make_folder(self) -> None:
        if not self.folder.is_dir():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._lock:
                self._events.clear()  # what was in it is gone with it

    def _replace(self, name: str, content: bytes, dated: float) -> None:
        part = self.folder / f".{name}.part"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with open(os.open(part, flags, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.utime(file.fileno(), (dated, dated))
                os.fsync(file.fileno())
            part.rename(self.folder / name)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)  # the new name, too
        finally:
            os.close(folder)

    def _make_room(self, size: int, uid: str) -> None:
        """Remove the oldest events, as far as that makes enough room and no further; raises OSError where it cannot."""
        needed = size + self._reserve
        if (free := self._free()) >= needed:
            return
        if free + self.size < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        for event in list(self._events.values()):
            if event.uid != uid and self._free() < needed:
                logger.warning("the disk is full: the evidence of event %s is removed", event.uid)
                self._remove(event)

    def _free(self) -> int:
        disk = os.statvfs(self.folder)
        return disk.f_bavail * disk.f_frsize

    def _retain(self, but: str = "") -> None:
        """Remove the oldest beyond what the settings allow, never the event ``but``."""
        settings, now = self._settings, self._now()
        count, total = self.count, self.size
        for event in list(self._events.values()):
            beyond = count > settings.max_count or total > settings.max_mb * 1_000_000
            if event.uid != but and (beyond or self._is_old(event, now)):
                self._remove(event)
                count, total = count - 1, total - sum(event.sizes.values())

    def _is_old(self, event: Event, now: float) -> bool:
        longest = self._settings.max_age_days * DAY_S
        if event.born is not None:
            return self._monotonic() - event.born > longest
        return bool(now and event.dated) and now - event.dated > longest

    def _remove(self, event: Event) -> None:
        for kind in get_args(Kind):
            (self.folder / event.name(kind)).unlink(missing_ok=True)
        with self._lock:
            self._events.pop(event.uid, None)

    def _next_number(self) -> int:
        return max((event.number for event in self._events.values()), default=0) + 1

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise StateError(f"{self.folder}: the disk is full; make room on it") from error
            if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise StateError(f"{self.folder}: cannot be written; make the folder writable") from error
            raise StateError(f"{self.folder}: {error.strerror}; check the disk") from error


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
