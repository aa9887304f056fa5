"""The camera fails in the ways that it can here: the service says so, is not restarted, and sees again."""

from __future__ import annotations

import pytest

from tests.machines.backend import Papers, first_results
from tests.support import wait_until
from tests.vm.outside.board import Board


def blind(board: Board) -> bool:
    return "blind" in board.service("StatusText")


@pytest.fixture
def process(device: Board) -> str:
    """The program's, while it sees."""
    wait_until(lambda: not blind(device), 60)
    return device.service("MainPID")


@pytest.mark.parametrize(("fault", "end"), [("unplug", "plug"), ("freeze", "thaw")])
def test_a_lost_camera_is_a_state(device: Board, papers: Papers, process: str, fault: str, end: str) -> None:
    device.hardware(fault)
    try:
        wait_until(lambda: blind(device), 30)
        assert device.service("ActiveState") == "active"
    finally:
        device.hardware(end)
    wait_until(lambda: not blind(device), 60)
    assert first_results(device, papers)[-1].status == "ok"
    assert device.service("MainPID") == process


def test_a_camera_that_is_gone_for_a_moment_is_opened_again(device: Board, papers: Papers, process: str) -> None:
    began = device.run("date '+%F %T'").strip()
    device.hardware("disconnect")
    told = f"journalctl -u preact-edge --no-pager --since '{began}'"
    wait_until(lambda: "camera /dev/video0: running" in device.run(told).partition("camera lost: /dev/video0")[2], 60)
    assert first_results(device, papers)[-1].status == "ok"
    assert device.service("MainPID") == process


def test_a_camera_that_is_gone_for_longer_than_the_watchdogs_time(device: Board, process: str) -> None:
    """That no picture comes is no hang: every thread passes its loop."""
    device.hardware("unplug")
    try:
        wait_until(lambda: blind(device), 30)
        began = float(device.run("cut -d' ' -f1 /proc/uptime"))
        wait_until(lambda: float(device.run("cut -d' ' -f1 /proc/uptime")) > began + 30, 120)
        assert (device.service("MainPID"), blind(device)) == (process, True)
    finally:
        device.hardware("plug")
    wait_until(lambda: not blind(device), 60)
