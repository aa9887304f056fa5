"""The SQLite file: alerts with contiguous numbers, what is known about them, who has read how far."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from edge.outbox import files, rows
from edge.outbox.consumers import MAX_LEFT, Consumer
from edge.outbox.faults import Fault, translated
from edge.types import Alert, StoredAlert, StreamBounds

# The number of the file's format, kept in it as meta.schema. It rises only where a release that knows the lower number
# could no longer read the file or would spoil it; a new key of meta or a new field of an alert, which such a release
# leaves alone, is no reason. Whoever raises it
# - changes a file of the lower number when it is opened, in one transaction that writes the new number too, so that a
#   power cut leaves the old format or the new, and never touches one of a higher number (Fault "newer");
# - says in CHANGELOG.md that there is no way back without the copy.
# A bundle carries the number, and the installer compares it: before it switches to a release with a higher one it makes
# a copy with `outbox backup` and says so. The release before refuses the changed file, loses nothing of it, and goes on
# with the copy after `outbox restore`: as a new stream, and without the alerts since, which stay in the changed file.
FORMAT = 1
ROW_BYTES = 150  # what a row takes beside its JSON: label twice (table and index), event, time, page overhead
LOG_BYTES = 4 << 20  # the log file is cut back to this after it grew

_TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
    "CREATE TABLE alerts (seq INTEGER PRIMARY KEY AUTOINCREMENT, alert_id TEXT NOT NULL UNIQUE,"
    " event_uid TEXT NOT NULL, created REAL NOT NULL, body BLOB NOT NULL)",
    "CREATE INDEX undated ON alerts (seq) WHERE created = 0",
    "CREATE TABLE consumers (name TEXT PRIMARY KEY, acked INTEGER NOT NULL, first_seen REAL NOT NULL,"
    " last_seen REAL NOT NULL) WITHOUT ROWID",
)


class Left(NamedTuple):
    """A consumer that was forgotten: alerts after ``acked`` up to ``newest`` were for it, and it never came."""

    name: str
    acked: int
    newest: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Alerts ``oldest_seq`` to ``next_seq`` - 1 are there and take ``size`` bytes; ``unread`` of those that are not
    gave way before every consumer, those of ``left`` too, had acknowledged them."""

    oldest_seq: int
    next_seq: int
    size: int
    unread: int
    left: tuple[Left, ...] = ()


def refuse_newer(path: Path, schema: object) -> None:
    """Raise Fault where the file's number is above FORMAT: nobody here knows what it says."""
    if isinstance(schema, int) and schema > FORMAT:
        advice = "install that one, or move the file away with its -wal and -shm"
        raise Fault(path, "newer", f"was made by a newer preact-edge (its format is {schema}); {advice}")


class Database:
    """An open outbox file. Every method raises Fault.

    Synchronization: one thread; only one Database may be open on a file (FolderLock).
    """

    stream: str
    totals: Totals

    def __init__(self, path: Path, machine_id: str) -> None:
        """Open the file or make it; ``damaged`` where it is no sound outbox. A file that another machine recorded
        begins a new stream with the alerts that it holds."""
        self._path = path
        self._labels = rows.Labels()
        with translated(path):
            self._connection = sqlite3.connect(path, timeout=rows.BUSY_S, isolation_level=None)
        try:
            with translated(path):
                files.adopt(path)
                self._set_up()
                if not self._connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                    self._create(machine_id)
                self._load()
            self._recognise(machine_id)
            self._inodes = self._present_inodes()
        except BaseException:
            self.close()
            raise

    @property
    def bounds(self) -> StreamBounds:
        return StreamBounds(self.stream, self.totals.oldest_seq, self.totals.next_seq)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block or nothing is on disk, and known to be, when it ends."""
        before = self.totals
        with translated(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                if self.totals != before:
                    left = msgspec.json.encode(self.totals.left).decode()
                    self._put_meta(size=self.totals.size, unread=self.totals.unread, left=left)
                self._connection.execute("COMMIT")
            except BaseException:
                self.totals = before
                self._labels.forget()
                if self._connection.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        self._connection.execute("ROLLBACK")
                raise

    def insert(self, alerts: Iterable[Alert], created: float) -> list[StoredAlert]:
        """Add them, each with its number and a label that no other has; in a transaction.

        ``created`` is Unix time, 0 where the clock cannot be believed. Raises ValueError for an alert that JSON
        cannot hold (rows.encode).
        """
        stored = []
        for alert in alerts:
            alert = replace(alert, alert_id=self._labels.free(self._connection, alert))
            body = rows.encode(alert)
            seq = self._connection.execute(
                "INSERT INTO alerts (alert_id, event_uid, created, body) VALUES (?, ?, ?, ?)",
                (alert.alert_id, alert.event_uid, created, body),
            ).lastrowid
            if seq != self.totals.next_seq:
                raise Fault(self._path, "damaged", f"number {seq} was given where {self.totals.next_seq} is next")
            self.totals = replace(self.totals, next_seq=seq + 1, size=self.totals.size + len(body) + ROW_BYTES)
            stored.append(StoredAlert(self.stream, seq, alert))
        return stored

    def beyond(self, max_alerts: int, max_bytes: int) -> int:
        """The first number to keep when only so many alerts, and only so many bytes of them, may stay."""
        first = max(self.totals.oldest_seq, self.totals.next_seq - max_alerts)
        excess = self.totals.size - max_bytes
        if excess <= 0:
            return first
        for seq, size in self._connection.execute("SELECT seq, length(body) FROM alerts ORDER BY seq"):
            if excess <= 0:
                return max(first, int(seq))
            excess -= size + ROW_BYTES
        return self.totals.next_seq

    def older(self, created: float) -> int:
        """The first number whose alert was not created before ``created``, undated ones as new; in a transaction."""
        query = "SELECT seq FROM alerts WHERE created >= ? OR created = 0 ORDER BY seq LIMIT 1"
        row = self._connection.execute(query, (created,)).fetchone()
        return int(row[0]) if row else self.totals.next_seq

    def trim(self, first: int, lowest_ack: int | None) -> None:
        """Remove the alerts before number ``first``; in a transaction.

        Those above ``lowest_ack``, what every consumer has acknowledged, are counted, and those that a forgotten one
        never had; None: there is no consumer.
        """
        before = self.totals
        if first <= before.oldest_seq:
            return
        (size,) = self._connection.execute(
            "SELECT total(length(body)) FROM alerts WHERE seq < ?", (first,)
        ).fetchone()  # fmt: skip
        removed = self._connection.execute("DELETE FROM alerts WHERE seq < ?", (first,)).rowcount
        lowest = first if lowest_ack is None else lowest_ack
        spans = [(lowest, first), *((each.acked, each.newest) for each in before.left)]
        unread = sum(any(after < seq <= last for after, last in spans) for seq in range(before.oldest_seq, first))
        self.totals = replace(
            before,
            oldest_seq=first,
            size=max(0, before.size - int(size) - removed * ROW_BYTES),
            unread=before.unread + unread,
        )

    def leave(self, forgotten: Iterable[Left], known: Container[str]) -> None:
        """Note what these never had, as long as they are not ``known`` again; in a transaction.

        Also when all of that is gone: who comes back is told so.
        """
        left = [each for each in (*self.totals.left, *forgotten) if each.name not in known]
        self.totals = replace(self.totals, left=tuple(left[-MAX_LEFT:]))

    def date(self, now: float) -> None:
        """Alerts stored while the clock could not be believed count as of now; in a transaction."""
        self._connection.execute("UPDATE alerts SET created = ? WHERE created = 0", (now,))

    def consumers(self) -> list[Consumer]:
        with translated(self._path):
            found = self._connection.execute("SELECT name, acked, first_seen, last_seen FROM consumers ORDER BY name")
            return [Consumer(*row) for row in found]

    def put_consumers(self, consumers: Iterable[Consumer]) -> None:
        """These and no others; in a transaction."""
        self._connection.execute("DELETE FROM consumers")
        self._connection.executemany(
            "INSERT INTO consumers (name, acked, first_seen, last_seen) VALUES (?, ?, ?, ?)",
            [(each.name, each.acked, each.first_seen, each.last_seen) for each in consumers],
        )

    def page(self, after: int, limit: int) -> Sequence[StoredAlert]:
        with translated(self._path):
            return rows.page(self._connection, self._path, self.stream, after, limit)

    def renew(self) -> None:
        """A new stream id for the same alerts with the same numbers: whoever has a place in the old one is told so."""
        stream = secrets.token_hex(8)
        with self.transaction():
            self._put_meta(stream=stream)
        self.stream = stream

    def displaced(self) -> bool:
        """Whether the files that are open here are no longer those in the folder: what is written would be lost."""
        return self._present_inodes() != self._inodes

    def close(self) -> None:
        """Idempotent; a failing disk is not told once more."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def _set_up(self) -> None:
        (mode,) = self._connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise Fault(self._path, "other", f"its disk cannot keep SQLite's log (journal mode {mode}); use another")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        (verdict,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise Fault(self._path, "damaged", str(verdict).splitlines()[-1])

    def _create(self, machine_id: str) -> None:
        self.stream, self.totals = secrets.token_hex(8), Totals(1, 1, 0, 0)
        with self.transaction():
            for table in _TABLES:
                self._connection.execute(table)
            self._put_meta(schema=FORMAT, stream=self.stream, machine_id=machine_id, size=0, unread=0)

    def _load(self) -> None:
        meta = dict(self._connection.execute("SELECT key, value FROM meta"))
        schema, stream, size, unread = (meta.get(key) for key in ("schema", "stream", "size", "unread"))
        refuse_newer(self._path, schema)
        if not (isinstance(stream, str) and stream and isinstance(size, int) and isinstance(unread, int)):
            raise Fault(self._path, "damaged", "its meta table is not complete")
        try:
            left = msgspec.json.decode(str(meta.get("left", "[]")), type=tuple[Left, ...])
        except msgspec.DecodeError as error:
            raise Fault(self._path, "damaged", f"its meta table: {error}") from error
        oldest, newest, count = self._connection.execute("SELECT min(seq), max(seq), count(*) FROM alerts").fetchone()
        (last,) = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'alerts'").fetchone() or (0,)
        following = max(last, newest or 0) + 1
        oldest = following if oldest is None else oldest
        if count != following - oldest:
            raise Fault(self._path, "damaged", f"{following - oldest - count} alerts are missing in it")
        self.stream, self.totals = stream, Totals(oldest, following, size, unread, left)
        self._recorded_machine = str(meta.get("machine_id", ""))

    def _recognise(self, machine_id: str) -> None:
        """An id that is empty on either side tells nothing."""
        if not machine_id or machine_id == self._recorded_machine:
            return
        if self._recorded_machine:
            self.renew()
        with self.transaction():
            self._put_meta(machine_id=machine_id)

    def _put_meta(self, **values: str | int) -> None:
        self._connection.executemany("REPLACE INTO meta (key, value) VALUES (?, ?)", values.items())

    def _present_inodes(self) -> tuple[tuple[int, int] | None, ...]:
        return files.inode(self._path), files.inode(self._path.with_name(self._path.name + "-wal"))
