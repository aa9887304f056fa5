"""The health board, and the clock's part of it."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from edge.clock import SHOWN_S, ClockWatch, synchronised
from edge.health.board import COMPONENTS, Components, HealthBoard
from edge.types import Frame, Result, Status


def result(status: Status, reason: str = "", *, frame: bool = True) -> Result:
    image = Frame(1, 0.0, 0.0, np.zeros((9, 16, 3), np.uint8)) if frame else None
    return Result(timestamp=1.0, camera_id="main", status=status, reason=reason, model="test", frame=image)


def test_every_component_is_there_from_the_start() -> None:
    board = HealthBoard()
    assert tuple(board.components()) == COMPONENTS
    assert board.components()["outbox"] == {"state": "off", "reason": "not started"}


def test_a_change_is_told_once_with_all_states() -> None:
    told: list[Components] = []
    board = HealthBoard(told.append)
    board.set("outbox", "degraded", "the disk is full")
    board.set("outbox", "degraded", "the disk is full")
    assert len(told) == 1
    assert told[0]["outbox"] == {"state": "degraded", "reason": "the disk is full"}
    assert told[0]["camera"]["state"] == "off"
    board.set("outbox", "ok")
    assert [each["outbox"]["state"] for each in told] == ["degraded", "ok"]
    assert told[0]["outbox"]["state"] == "degraded", "what was told does not change later"


def test_the_listener_may_use_the_board_and_a_failing_one_silences_nothing() -> None:
    told: list[str] = []

    def on_change(components: Components) -> None:
        told.append(components["clock"]["state"])
        if len(told) == 1:
            board.set("clock", "ok")
            raise RuntimeError("of the listener")

    board = HealthBoard(on_change)
    with pytest.raises(RuntimeError, match="of the listener"):
        board.set("clock", "degraded")
    board.set("buzzer", "ok")
    assert told == ["degraded", "ok"]
    assert board.components()["clock"]["state"] == "ok"


def test_many_threads_at_once_end_with_the_newest_told_last() -> None:
    told: list[Components] = []
    inside = threading.Semaphore(1)

    def on_change(components: Components) -> None:
        assert inside.acquire(blocking=False), "never two calls at once"
        told.append(components)
        inside.release()

    board = HealthBoard(on_change)

    def work(name: str) -> None:
        for number in range(200):
            board.set(name, "degraded", str(number))  # type: ignore[arg-type]

    threads = [threading.Thread(target=work, args=(name,)) for name in COMPONENTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert told[-1] == board.components()
    assert {entry["reason"] for entry in told[-1].values()} == {"199"}


def test_results_tell_of_camera_and_detector() -> None:
    board = HealthBoard()

    def states() -> tuple[dict[str, str], dict[str, str]]:
        return dict(board.components()["camera"]), dict(board.components()["detector"])

    board.observe(result("ok"))
    assert states() == ({"state": "ok", "reason": ""}, {"state": "ok", "reason": ""})
    board.observe(result("blind", "camera lost: unplugged", frame=False))
    assert states() == ({"state": "failed", "reason": "camera lost: unplugged"}, {"state": "ok", "reason": ""})
    board.observe(result("degraded", "the edgetpu delegate was refused"))
    assert states() == (
        {"state": "ok", "reason": ""},
        {"state": "degraded", "reason": "the edgetpu delegate was refused"},
    )
    board.observe(result("ok", "waiting for the next frame", frame=False))
    assert states() == ({"state": "ok", "reason": ""}, {"state": "ok", "reason": ""})


class Time:
    """A wall clock and a monotonic one."""

    def __init__(self) -> None:
        self.wall, self.monotonic, self.synchronised = 1000.0, 50.0, True
        self.watch = ClockWatch(
            wall=lambda: self.wall, monotonic=lambda: self.monotonic, synchronised=lambda: self.synchronised
        )

    def go(self, seconds: float, step: float = 0.0) -> tuple[str, str]:
        self.monotonic += seconds
        self.wall += seconds + step
        return self.watch.look()


def test_a_step_of_the_clock_is_told_for_a_while() -> None:
    time = Time()
    assert time.go(1.0) == ("ok", "")
    assert time.go(1.0, step=0.4) == ("ok", ""), "slewed"
    assert time.go(1.0, step=-86400) == ("degraded", "the clock was set back by 86400 s")
    assert time.go(SHOWN_S - 1)[0] == "degraded"
    assert time.go(1.0) == ("ok", "")
    assert time.go(1.0, step=3600) == ("degraded", "the clock was set forward by 3600 s")


def test_a_clock_without_a_time_server_is_degraded() -> None:
    time = Time()
    time.synchronised = False
    assert time.go(1.0) == ("degraded", "the clock follows no time server")


def test_timesyncd_says_that_the_clock_is_right(tmp_path: Path) -> None:
    mark = tmp_path / "synchronized"
    assert synchronised(mark) in (True, False), "the kernel's word, whatever it is here"
    mark.touch()
    assert synchronised(mark) is True
