"""After all that happened to device-1: its backend was given every alert, once."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.clients import Client
from tests.machines.backend import committed, every_one_once
from tests.machines.nspawn import Machine
from tests.support import wait_until


def test_every_alert_of_this_run_was_given_once(blank: Machine, client: Client, tmp_path: Path) -> None:
    wait_until(lambda: client.events, 60)
    blank.run("systemctl stop preact-edge")
    rows = committed(blank, tmp_path / "outbox.db")
    blank.run("systemctl start preact-edge")
    wait_until(lambda: {label for _, label in rows} <= {each["alert_id"] for each in given(client)}, 60)
    first = rows[-1][0]

    (life,) = client.lives
    every_one_once(rows, [each for each in life.given if each["seq"] is None or each["seq"] <= first])


def given(client: Client) -> list[dict[str, object]]:
    return [each for life in client.lives for each in life.given]
