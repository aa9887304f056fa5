"""Which alerts a client has: the cursor, where it is kept, and the rule by which it moves."""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import msgspec

from edge.errors import ProtocolError, StateError
from edge.storage import write_atomic
from edge.stream.client.messages import Alert, Gap, HelloOk, Reset
from edge.wire.requests import Seq

MAX_COPIES = 1024  # alerts of which it is known that a copy came; full: the oldest is forgotten

Key: TypeAlias = tuple[str, str, str]  # of one alert, with or without a number: its event, its state and its level


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last alert that was dealt with: number ``seq`` of ``stream``; 0 is before the first."""

    stream: str
    seq: Seq


class CursorStore(Protocol):
    """Where a cursor outlives the program: a file, a database.

    ``load`` is called once, when the Subscriber is made, ``save`` by the thread that iterates. What they raise comes
    out there.
    """

    def load(self) -> Cursor | None: ...

    def save(self, cursor: Cursor) -> None: ...


class FileCursor:
    """A cursor in a file of its own; a reader finds the old one or the new, never a half.

    With ``durable`` (the default) it also survives a power cut, at the price of two fsyncs an alert. Without, an older
    one may come back after a power cut: alerts are then given twice, never lost.

    One program at a time: two that kept their places in one file would skip each other's alerts. Who finds that
    another one has written to it since raises StateError.
    """

    def __init__(self, path: str | Path, *, durable: bool = True) -> None:
        self.path = Path(path)
        self._durable = durable
        self._seen = False
        self._known: tuple[int, int, int] | None = None  # what the file looked like when it was seen last

    def load(self) -> Cursor | None:
        """None where there is no file yet; StateError where it cannot be read, is damaged, or could not be written."""
        try:
            self._known, self._seen = _stamp(self.path), True
            content = self.path.read_bytes() if self._known is not None else b""
        except OSError as error:
            raise StateError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        self._try_to_write()
        if self._known is None:
            return None
        try:
            return msgspec.json.decode(content, type=Cursor)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StateError(f"{self.path}: is no cursor ({error}); remove it to start anew") from error

    def save(self, cursor: Cursor) -> None:
        """Raises StateError."""
        if self._was_changed():
            raise StateError(f"{self.path}: another program writes to it, too; give each a cursor of its own")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self.path, msgspec.json.encode(cursor) + b"\n", durable=self._durable)
            if self._durable:
                _sync(self.path.parent)
            self._known, self._seen = _stamp(self.path), True
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def _was_changed(self) -> bool:
        """Whether another one has written the file since; removing it is allowed."""
        try:
            found = _stamp(self.path)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        return self._seen and found is not None and found != self._known

    def _try_to_write(self) -> None:
        """To be told at the start, not after the first alert."""
        probe = self.path.with_name(f".{self.path.name}.{os.getpid()}.probe")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise _unwritable(self.path, error) from error


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What tells that a file was replaced; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _sync(folder: Path) -> None:
    """The new name, too, outlives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritable(path: Path, error: OSError) -> StateError:
    return StateError(f"{path}: cannot be written: {error.strerror or error}; give a file in a folder that can be")


class Progress:
    """The cursor rule: alerts count from hello_ok on, and their numbers rise by exactly 1.

    ``cursor`` is the last alert received, None while no numbering is known. An alert that was given as a copy without
    a number moves the cursor when it comes with one, and is not given again.

    Synchronization: one thread.
    """

    def __init__(self, cursor: Cursor | None = None) -> None:
        self.cursor = cursor
        self._copies: OrderedDict[Key, bool] = OrderedDict()  # whether the first one had a number

    def begin(self, hello: HelloOk) -> Gap | Reset | None:
        """Start a session; says what was lost since the last one. ProtocolError when that is not told honestly."""
        if hello.resume is None or not hello.stream:
            return None
        had, start = self.cursor, hello.resume.start
        if hello.resume.status == "ok" and had is not None:
            if had.stream != hello.stream or start > had.seq + 1:
                raise ProtocolError(f"alert {had.seq + 1} was asked for, and {start} is to follow")
            return None
        self.cursor = Cursor(hello.stream, start - 1)
        if hello.resume.status == "gap":
            return Gap(hello.resume.missed)
        return Reset(hello.stream) if hello.resume.status == "reset" and had is not None else None

    def admit(self, alert: Alert) -> bool:
        """Whether to give this alert to the application; ProtocolError when one before it did not come."""
        key = (alert.event_uid, alert.state, alert.threat_level)
        if alert.seq is None:
            fresh = not alert.event_uid or key not in self._copies
            self._remember(key, numbered=False)
            return fresh
        if not self._advance(alert.stream, alert.seq):
            return False
        given = alert.event_uid and self._copies.get(key) is False
        self._remember(key, numbered=True)
        return not given

    def _advance(self, stream: str, seq: int) -> bool:
        """Move to the alert; False where it was had before."""
        if self.cursor is not None:
            if stream != self.cursor.stream:
                raise ProtocolError(f"an alert of the stream {stream!r} came in a session of {self.cursor.stream!r}")
            if seq <= self.cursor.seq:
                return False
            if seq > self.cursor.seq + 1:
                raise ProtocolError(f"alert {seq} came where {self.cursor.seq + 1} was due")
        self.cursor = Cursor(stream, seq)
        return True

    def _remember(self, key: Key, *, numbered: bool) -> None:
        if key[0] and key not in self._copies:
            self._copies[key] = numbered
            if len(self._copies) > MAX_COPIES:
                self._copies.popitem(last=False)
