"""A blank board, over ssh and without a network of its own, becomes a device with a camera and a buzzer."""

from __future__ import annotations

from tests.machines.backend import Papers, first_results
from tests.machines.control import Control, Play
from tests.vm.outside.board import Board
from tests.vm.outside.conftest import PLAY_S


def test_a_blank_board_becomes_a_device(site: Play, blank: Board) -> None:
    assert site.recap["device-1"].failed == 0
    assert blank.service("ActiveState") == "active"
    assert blank.run("systemctl --failed --no-legend").strip() == ""


def test_it_sees_through_its_camera(device: Board, papers: Papers) -> None:
    assert [result.status for result in first_results(device, papers)] == ["ok"] * 3
    holders = device.run(f"ls -l /proc/{device.service('MainPID')}/fd")
    assert "/dev/video0" in holders
    assert "/dev/gpiochip0" in holders or "anon_inode:gpio-line" in holders


def test_a_second_run_changes_nothing(device: Board, control: Control, times: dict[str, float]) -> None:
    process = device.service("MainPID")
    play = control.play("site", timeout=PLAY_S)
    times["second run"] = play.seconds
    assert play.recap["device-1"].changed == 0, play.text
    assert device.service("MainPID") == process
