"""Alerts as rows: the JSON of one, the label of one, a page of them."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path

import msgspec

from edge.outbox.faults import Fault, translated
from edge.types import Alert, StoredAlert

BUSY_S = 1.0  # how long SQLite waits for another program's lock
_decoder = msgspec.json.Decoder(Alert)  # ignores fields that a newer release added


def encode(alert: Alert) -> bytes:
    """The alert as JSON; raises ValueError for one that could not be read back, such as a confidence of NaN."""
    try:
        body = msgspec.json.encode(alert)
        _decoder.decode(body)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{alert.alert_id!r} of rule {alert.rule!r} cannot be written as JSON: {error}") from error
    return body


class Labels:
    """Finds a label that no stored alert has. It looks first: an insert that fails may leave a gap in the numbers.

    Synchronization: one thread.
    """

    def __init__(self) -> None:
        self._second, self._number = 0, 1  # the last label given: where many alerts share a second, the next is near

    def free(self, connection: sqlite3.Connection, alert: Alert) -> str:
        """The alert's own label if it is free, else ``alert_<unix second>_2``, ``_3`` and so on."""
        label, second = alert.alert_id, math.floor(alert.timestamp)
        if second != self._second:
            self.forget()
            self._second = second
        while connection.execute("SELECT 1 FROM alerts WHERE alert_id = ?", (label,)).fetchone():
            self._number += 1
            label = f"alert_{second}_{self._number}"
        return label

    def forget(self) -> None:
        """Nothing that was given since the last commit was kept."""
        self._second, self._number = 0, 1


def page(connection: sqlite3.Connection, path: Path, stream: str, after: int, limit: int) -> tuple[StoredAlert, ...]:
    """The first ``limit`` alerts with a seq above ``after``, their numbers contiguous.

    Raises Fault ``damaged`` for a row that cannot be read and for a missing one: a reader that moves by +1 would wait
    for it for ever, and one that skipped it would lose an alert in silence.
    """
    found: list[StoredAlert] = []
    query = "SELECT seq, body FROM alerts WHERE seq > ? ORDER BY seq LIMIT ?"
    for seq, body in connection.execute(query, (after, limit)):
        if found and seq != found[-1].seq + 1:
            raise Fault(path, "damaged", f"alert {found[-1].seq + 1} is missing")
        try:
            found.append(StoredAlert(stream, seq, _decoder.decode(body)))
        except (ValueError, TypeError) as error:
            raise Fault(path, "damaged", f"alert {seq} cannot be read: {error}") from error
    return tuple(found)


def read_page(path: Path, after: int, limit: int) -> tuple[StoredAlert, ...]:
    """As ``page``, over a connection of its own that is closed again: nothing holds on to a file that is replaced."""
    with translated(path):
        connection = connect_readonly(path)
        try:
            connection.execute("BEGIN")
            (stream,) = connection.execute("SELECT value FROM meta WHERE key = 'stream'").fetchone() or (None,)
            if not isinstance(stream, str):
                raise Fault(path, "damaged", "it has no stream id")
            return page(connection, path, stream, after, limit)
        finally:
            connection.close()


def connect_readonly(path: Path) -> sqlite3.Connection:
    """A connection that cannot write; raises sqlite3.Error."""
    return sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True, timeout=BUSY_S, isolation_level=None)
