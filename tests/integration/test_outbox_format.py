"""Two releases whose outboxes differ in format, on one file: refused in words, and nothing is lost on either way."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from edge.errors import StateError
from edge.outbox import copies
from edge.outbox.database import FORMAT
from tests.integration.test_outbox_faults import filled
from tests.outboxes import Told, alert, everything, running


def put_format(folder: Path, number: int) -> None:
    """As the release with this number leaves the file."""
    with contextlib.closing(sqlite3.connect(folder / "outbox.db", isolation_level=None)) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (number,))


def test_a_file_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    """The release before says so, and what is in the file is there for who can read it."""
    before = filled(tmp_path, 3).stored
    put_format(tmp_path, FORMAT + 1)
    told = Told()
    with running(tmp_path, told, wait=False) as outbox:
        assert told.state == "failed"
        assert f"outbox.db: was made by a newer preact-edge (its format is {FORMAT + 1}); install that" in told.reason
        outbox.append(alert(4))
    assert told.stored == []
    assert not [entry for entry in tmp_path.iterdir() if "damaged" in entry.name]
    put_format(tmp_path, FORMAT)
    with running(tmp_path) as outbox:
        assert everything(outbox) == before


def test_the_way_back_to_a_release_with_a_lower_format(tmp_path: Path) -> None:
    """With the copy that was made before the higher one came: edge.outbox.database, at FORMAT."""
    before = filled(tmp_path, 3).stored
    copies.backup(tmp_path, tmp_path / "before.db")
    put_format(tmp_path, FORMAT + 1)
    with pytest.raises(StateError, match="was made by a newer preact-edge"):
        copies.summary(tmp_path)
    with pytest.raises(StateError, match="was made by a newer preact-edge"):
        copies.forget(tmp_path, "backend")
    aside = copies.restore(tmp_path, tmp_path / "before.db")
    told = Told()
    with running(tmp_path, told) as outbox:
        assert [each.alert for each in everything(outbox)] == [each.alert for each in before]
        assert everything(outbox)[0].stream != before[0].stream
    assert aside is not None
    assert copies.summary(tmp_path).next_seq == 4
    with contextlib.closing(sqlite3.connect(aside)) as connection:
        assert connection.execute("SELECT count(*) FROM alerts").fetchone() == (3,), "nothing of it is lost"
