"""What is on the line when a program ends without closing anything, and when the chip goes away."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from gpiozero import Button

from edge.errors import PinError
from edge.gpio.gpiod_pins import GpiodFactory
from edge.gpio.pins import open_output, pin_errors
from tests.support import wait_until
from tests.vm.inside.simulated import SimulatedChip, pin_threads, simulated

HOLD = """
import sys, time
from edge.gpio.gpiod_pins import GpiodFactory
from edge.gpio.pins import open_output
factory = GpiodFactory(sys.argv[1])
output = open_output(factory, "BUZZER", active_high=sys.argv[2] == "high")
output.on()
print("on", flush=True)
sys.stdin.read()
if sys.argv[3] == "raise":
    raise SystemExit(3)
"""


@contextmanager
def holding(chip: SimulatedChip, active: str, end: str = "") -> Iterator[subprocess.Popen[str]]:
    """Another program in which the buzzer is on; it ends when its standard input does."""
    program = subprocess.Popen(
        [sys.executable, "-c", HOLD, chip.label, active, end], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == "on\n"
        yield program
    finally:
        program.kill()
        program.communicate(timeout=30)


@pytest.mark.parametrize(("active", "off"), [("high", 0), ("low", 1)])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_after_a_kill_the_resistor_decides(chip: SimulatedChip, active: str, off: int, end: signal.Signals) -> None:
    """This kernel's simulator lets a line go with its request; a driver that keeps the level (a Raspberry Pi's) needs
    the service's ExecStopPost. What every kernel does: the line is free, and the next program can turn it off."""
    line = chip.line("BUZZER")
    line.pull(off)
    with holding(chip, active) as program:
        assert (line.level, chip.held()) == (1 - off, {17: "preact-edge"})
        program.send_signal(end)
        program.wait(30)
        wait_until(lambda: chip.held() == {})
        assert line.level == off
        factory = GpiodFactory(chip.label)
        output = open_output(factory, "BUZZER", active_high=active == "high")
        assert (output.value, line.level) == (0, off)
        output.close()
        factory.close()


@pytest.mark.parametrize("end", ["return", "raise"])
def test_a_program_that_forgets_to_close_leaves_it_off(chip: SimulatedChip, end: str) -> None:
    with holding(chip, "high", end) as program:
        assert chip.line("BUZZER").level == 1
        program.communicate(timeout=30)
        assert program.returncode == (3 if end == "raise" else 0)
    assert (chip.line("BUZZER").level, chip.held()) == (0, {})


def test_a_chip_that_goes_away_is_an_error_and_can_be_closed() -> None:
    with simulated("plug", "usb-gpio", 4):
        factory = GpiodFactory("usb-gpio")
        output = open_output(factory, 2, active_high=True)
        output.on()
        button = Button(3, pull_up=True, pin_factory=factory)
    with pytest.raises(PinError, match=r"^GPIO 2 cannot be used: "), pin_errors(2):
        output.off()
    with pytest.raises(PinError, match=r"^GPIO 2 cannot be used: "), pin_errors(2):
        output.close()
    button.close()
    assert pin_threads() == []
    factory.close()
