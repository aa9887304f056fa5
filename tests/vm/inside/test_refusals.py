"""Wrong pin, busy pin, missing rights: each a line that says what to do."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import gpiod
import pytest
from gpiozero.pins import Factory

from edge.config import Gpio
from edge.errors import PinError
from edge.gpio.gpiod_pins import GpiodFactory
from edge.gpio.pins import open_factory, open_output, pin_errors
from tests.vm.inside.simulated import SimulatedChip, simulated


@contextmanager
def refused(words: str) -> Iterator[None]:
    with pytest.raises(PinError, match=rf"^{re.escape(words)}$"):
        yield


def test_a_line_that_another_program_holds(chip: SimulatedChip, factory: Factory) -> None:
    with (
        gpiod.request_lines(str(chip.path), {17: None}, consumer="gpioset"),
        refused("GPIO BUZZER is in use (held by gpioset): stop what uses it (gpioinfo names it) or choose another"),
    ):
        open_output(factory, "BUZZER", active_high=True)
    open_output(factory, "BUZZER", active_high=True).close()


def test_a_line_that_this_program_holds(chip: SimulatedChip, factory: Factory) -> None:
    output = open_output(factory, 17, active_high=True)
    output.on()
    for name in (17, "BUZZER"):
        with refused(f"GPIO {name} is in use: stop what uses it (gpioinfo names it) or choose another"):
            open_output(factory, name, active_high=True)
    other = GpiodFactory(str(chip.path))
    held = "(held by preact-edge)"
    with refused(f"GPIO 17 is in use {held}: stop what uses it (gpioinfo names it) or choose another"):
        open_output(other, 17, active_high=True)
    other.close()
    assert chip.line(17).level == 1, "who holds it is not disturbed"
    output.close()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("BUZER", "(near it: BUZZER): choose a name that `gpioinfo` shows, or an offset, 0 to 53"),
        ("button", "(near it: BUTTON): choose a name that `gpioinfo` shows, or an offset, 0 to 53"),
        ("PAA.00", ": choose a name that `gpioinfo` shows, or an offset, 0 to 53"),
        (54, ": it has the lines 0 to 53"),
    ],
)
def test_a_line_that_is_not_there(factory: Factory, name: int | str, words: str) -> None:
    space = "" if words.startswith(":") else " "
    with refused(f"GPIO {name} is no line of tegra234-gpio{space}{words}"):
        open_output(factory, name, active_high=True)


def test_a_name_of_two_lines(factory: Factory) -> None:
    with refused("GPIO NC is the name of 2 lines of tegra234-gpio: choose an offset, 40 or 41"):
        open_output(factory, "NC", active_high=True)
    open_output(factory, 41, active_high=True).close()


def test_a_driver_that_cannot_debounce_for_so_long(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator has no such limit: the refusal is that of a Jetson's driver beyond 255 ms."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    pin = factory.pin("BUTTON")
    words = "GPIO BUTTON cannot be used: its chip cannot debounce for 0.3 seconds: choose fewer"
    with monkeypatch.context() as patch:
        patch.setattr(gpiod.LineRequest, "reconfigure_lines", refuse)
        with refused(words), pin_errors("BUTTON"):
            pin.bounce = 0.3
    assert pin.bounce is None


def test_a_chip_that_is_not_there(chip: SimulatedChip) -> None:
    there = f"set it to the label or path of one, tegra234-gpio ({chip.path})"
    with refused(f"gpio.chip tegra194-gpio is no chip of this machine: {there}"):
        open_factory("gpiod", chip="tegra194-gpio")


def test_a_label_that_two_chips_have(chip: SimulatedChip) -> None:
    with simulated("twin", chip.label, 4) as twin:
        with refused(f"gpio.chip {chip.label} is the label of {chip.path}, {twin}: set it to the path of one"):
            open_factory("gpiod", chip=chip.label)
        factory = open_factory("gpiod", chip=str(twin))
        assert factory is not None
        with refused("GPIO 17 is no line of tegra234-gpio: it has the lines 0 to 3"):
            open_output(factory, 17, active_high=True)
        factory.close()


OPEN = """
import sys
from edge.errors import PinError
from edge.gpio.pins import open_factory, open_output, pin_errors
try:
    factory = open_factory("auto", chip=sys.argv[1])
    output = open_output(factory, "BUZZER", active_high=True)
except PinError as error:
    sys.exit(str(error))
output.on()
print(open(sys.argv[2] + "/sim_gpio17/value").read())
"""


def as_visitor(chip: SimulatedChip, name: str, *groups: int) -> subprocess.CompletedProcess[str]:
    """Turn the buzzer on as an ordinary user; what is then on the line is what it says."""
    return subprocess.run(
        [sys.executable, "-c", OPEN, name, str(chip.lines)],
        user="visitor",
        group="visitor",
        extra_groups=groups,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_without_the_right_to_the_chip(chip: SimulatedChip) -> None:
    assert chip.path.stat().st_mode & 0o777 == 0o600, "as the kernel makes it"
    advice = f"no right to {chip.path}; add the user to the group gpio and log in again\n"
    assert as_visitor(chip, chip.label).stderr == f"gpio.chip {chip.label} is not found: {advice}"
    assert as_visitor(chip, str(chip.path)).stderr == f"gpio.chip {chip.path} cannot be opened: {advice}"


def test_the_group_that_has_the_right_is_enough(chip: SimulatedChip) -> None:
    gpio = 997
    os.chown(chip.path, 0, gpio)
    chip.path.chmod(0o660)
    try:
        done = as_visitor(chip, chip.label, gpio)
    finally:
        os.chown(chip.path, 0, 0)
        chip.path.chmod(0o600)
    assert (done.stdout.strip(), done.stderr) == ("1", "")


def test_the_settings_lead_to_the_line(chip: SimulatedChip) -> None:
    settings = Gpio(chip=chip.label, buzzer_pin="BUZZER")
    factory = open_factory(settings.factory, chip=settings.chip)
    assert isinstance(factory, GpiodFactory), "auto, with a chip named, off a Raspberry Pi"
    output = open_output(factory, settings.buzzer_pin, active_high=settings.active_high)
    output.on()
    assert chip.line("BUZZER").level == 1
    output.close()
    factory.close()
