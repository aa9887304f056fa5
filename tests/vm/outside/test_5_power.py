"""The power fails in the middle of a storm of alerts, the kernel hangs, the board is booted: no alert is lost.

What this proves is the order in which the machine commits: QEMU ends at once, with everything that the machine had not
flushed to its disk. It proves nothing about a card that says "flushed" and lies.
"""

from __future__ import annotations

import json
import time
from typing import Any

from tests.chaos.clients import Client
from tests.machines.backend import Papers, every_one_once, first_results
from tests.support import wait_until
from tests.vm.outside.board import Board
from tests.vm.outside.conftest import FIRST_RESULT_S

MANY = 20
LISTED = """
import json, sqlite3
database = sqlite3.connect("file:/var/lib/preact-edge/outbox.db?mode=ro", uri=True)
rows = database.execute("SELECT seq, alert_id FROM alerts ORDER BY seq").fetchall()
print(json.dumps({"rows": rows, "check": database.execute("PRAGMA integrity_check").fetchall()}))
"""


def given(client: Client) -> list[dict[str, Any]]:
    return [each for life in client.lives for each in life.given]


def in_the_storm(client: Client, more: int = MANY) -> None:
    """Return in the middle of it: so many more alerts came."""
    before = len(given(client))
    wait_until(lambda: len(given(client)) >= before + more, 120)


def outbox(device: Board) -> list[tuple[int, str]]:
    """Number and label of every alert on the disk, while nothing is added."""
    device.run("systemctl stop preact-edge")
    try:
        told = json.loads(device.run(f"python3 -c '{LISTED}'"))
    finally:
        device.run("systemctl start preact-edge", timeout=200)
    assert told["check"] == [["ok"]]
    return [(int(seq), str(label)) for seq, label in told["rows"]]


def expect_nothing_lost(device: Board, client: Client, had: list[dict[str, Any]]) -> None:
    """All that the client ``had`` before is on the disk under its number, and in the end it has all that is there."""
    rows = outbox(device)
    numbers = [seq for seq, _ in rows]
    assert numbers == list(range(1, len(rows) + 1)), "a number is missing"
    assert {(each["seq"], each["alert_id"]) for each in had} <= set(rows), "an alert that was received is not there"
    wait_until(lambda: len(given(client)) >= len(rows), 120)
    every_one_once(rows, [each for each in given(client) if each["seq"] <= numbers[-1]])


def test_a_power_cut_in_a_storm_loses_no_alert(
    device: Board, client: Client, papers: Papers, times: dict[str, float]
) -> None:
    in_the_storm(client)
    device.cut_power()
    had = given(client)

    began = time.monotonic()
    device.boot()
    first_results(device, papers, FIRST_RESULT_S)
    times["power back, to the first result"] = time.monotonic() - began

    expect_nothing_lost(device, client, had)
    in_the_storm(client)


def test_a_reboot_needs_no_hands(device: Board, client: Client, papers: Papers, times: dict[str, float]) -> None:
    had = given(client)
    began = time.monotonic()
    device.reboot()
    first_results(device, papers, FIRST_RESULT_S)
    times["reboot, to the first result"] = time.monotonic() - began
    expect_nothing_lost(device, client, had)
    assert device.run("systemctl --failed --no-legend").strip() == ""


def test_a_kernel_that_hangs_is_reset_by_the_watchdog(
    device: Board, client: Client, papers: Papers, times: dict[str, float]
) -> None:
    """It panics, and is told not to start again by itself: it stands still, like one that hangs."""
    assert device.run("cat /sys/class/watchdog/watchdog0/state").strip() == "active"
    before = device.boot_id()
    in_the_storm(client)
    began = time.monotonic()
    device.attempt("sysctl -q kernel.panic=0; echo c >/proc/sysrq-trigger", timeout=30)
    device.come_back(before)
    first_results(device, papers, FIRST_RESULT_S)
    times["hung kernel, to the first result"] = time.monotonic() - began
    expect_nothing_lost(device, client, given(client))
