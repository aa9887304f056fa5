"""After all that happened to device-1: its backend was given every alert, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.chaos.clients import Client
from tests.machines.backend import committed, every_one_once
from tests.machines.nspawn import Machine
from tests.support import wait_until


def test_every_alert_of_this_run_was_given_once(blank: Machine, client: Client, tmp_path: Path) -> None:
    wait_until(lambda: client.events, 60)
    blank.run("systemctl stop preact-edge")
    rows = committed(blank, tmp_path / "outbox.db")
    blank.run("systemctl start preact-edge")
    labels, newest = {label for _, label in rows}, rows[-1][0]
    wait_until(lambda: labels <= {each["alert_id"] for each in given(client)}, 60)

    until_then = [each for each in given(client) if each["alert_id"] in labels or (each["seq"] or newest + 1) <= newest]
    every_one_once(rows, until_then)


def given(client: Client) -> list[dict[str, Any]]:
    (life,) = client.lives
    return list(life.given)
