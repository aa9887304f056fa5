"""gpiozero's own way to a Raspberry Pi's pins, lgpio, on the simulated lines; only the board's revision is made up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gpiod
import pytest
from gpiozero import Button
from gpiozero.pins import Factory

from edge.errors import PinError
from edge.gpio.pins import open_factory, open_output
from tests.support import wait_until
from tests.vm.inside.simulated import SimulatedChip


@contextmanager
def raspberry(tmp_path: Path) -> Iterator[None]:
    """This machine is a Raspberry Pi 4B, whose pins are those of /dev/gpiochip0."""
    told = tmp_path / "cpuinfo"
    told.write_text("Revision : c03111\n")
    subprocess.run(["mount", "--bind", told, "/proc/cpuinfo"], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "/proc/cpuinfo"], check=True)


@pytest.fixture
def lgpio(chip: SimulatedChip, tmp_path: Path) -> Iterator[Factory]:
    assert chip.path == Path("/dev/gpiochip0")
    with raspberry(tmp_path):
        factory = open_factory("lgpio")
        assert factory is not None
        yield factory
        factory.close()


@pytest.mark.parametrize(("active_high", "off"), [(True, 0), (False, 1)])
def test_each_level_is_on_the_line(chip: SimulatedChip, lgpio: Factory, active_high: bool, off: int) -> None:
    line = chip.line(17)
    line.pull(off)
    for name in (17, "GPIO17", "BOARD11"):
        output = open_output(lgpio, name, active_high=active_high)
        assert line.level == off
        for on in (1, 0, 1):
            output.value = on
            assert line.level == (on if active_high else 1 - on)
        output.close()


def test_a_button(chip: SimulatedChip, lgpio: Factory) -> None:
    line, seen = chip.line(22), []
    with Button(22, pull_up=True, bounce_time=0.01, pin_factory=lgpio) as button:
        button.when_pressed = lambda: seen.append("pressed")
        button.when_released = lambda: seen.append("released")
        for done, level in enumerate((0, 1, 0), 1):
            line.pull(level)
            wait_until(lambda done=done: len(seen) == done)
    assert seen == ["pressed", "released", "pressed"]


def test_a_line_that_another_program_holds(chip: SimulatedChip, lgpio: Factory) -> None:
    words = r"^GPIO 17 is in use: stop what uses it \(gpioinfo names it\) or choose another$"
    with gpiod.request_lines(str(chip.path), {17: None}, consumer="gpioset"), pytest.raises(PinError, match=words):
        open_output(lgpio, 17, active_high=True)


def test_a_pin_that_is_not_there(lgpio: Factory) -> None:
    with pytest.raises(PinError, match=r"^GPIO 54 is no pin of this board: choose a BCM number from its header$"):
        open_output(lgpio, 54, active_high=True)


def test_without_the_right_to_the_chip(chip: SimulatedChip, tmp_path: Path) -> None:
    code = "from edge.gpio.pins import open_factory; open_factory('lgpio')"
    with raspberry(tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", code],
            user="visitor",
            group="visitor",
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=60,
        )
    last = done.stderr.splitlines()[-1]
    assert last.startswith("edge.errors.PinError: the GPIO chip cannot be opened (")
    assert last.endswith(f"): no right to {chip.path}; add the user to the group gpio and log in again")
