"""The pin goes up on a critical alert, and down again when the program is killed while it sounds."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

from tests.support import wait_until
from tests.vm.outside.board import Board
from tests.vm.outside.pin import Pin

CYCLE_S = 60.0  # a knife is held up for 8 s of every 20 s; the buzzer rests for 5 s, the rule too


def test_a_critical_alert_sounds(device: Board, pin: Pin) -> None:
    pin.trace()
    wait_until(lambda: [level for level, _ in groupby(pin.driven, itemgetter(1))][-4:] == [1, 0, 1, 0], CYCLE_S)
    assert "CRITICAL threat detected" in device.run("journalctl -u preact-edge --no-pager")


def test_a_program_that_is_killed_while_it_sounds_is_silenced_before_it_starts_again(device: Board, pin: Pin) -> None:
    pin.trace()
    restarts, process = int(device.service("NRestarts")), int(device.service("MainPID"))

    assert pin.kill_while_high(process) == 1, "the kernel keeps the level, as a Raspberry Pi's does"

    wait_until(lambda: device.service("MainPID") not in ("0", str(process)), 60)
    off_at, level = pin.driven_after_the_kill[0]
    assert level == 0
    assert off_at < int(device.service("ExecMainStartTimestampMonotonic")) / 1e6
    assert int(device.service("NRestarts")) == restarts + 1
    wait_until(lambda: device.service("ActiveState") == "active", 120)
