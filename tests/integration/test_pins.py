"""Choosing the pin factory, and what goes wrong with pins."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from gpiozero import GPIOPinInUse
from gpiozero.pins import BoardInfo
from gpiozero.pins.mock import MockFactory

from edge.errors import PinError
from edge.gpio.chips import chip_advice, open_chip
from edge.gpio.lines import board_of, unknown_line
from edge.gpio.pins import open_factory, open_output, pin_errors, without_pins


@pytest.fixture
def raspberry(tmp_path: Path) -> Path:
    model = tmp_path / "model"
    model.write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    return model


def test_no_pins_where_none_are_wanted(tmp_path: Path, raspberry: Path) -> None:
    assert open_factory("none", board_model=raspberry) is None
    assert without_pins("none", board_model=raspberry) == "gpio.factory is none"
    jetson = tmp_path / "jetson"
    jetson.write_bytes(b"NVIDIA Jetson Orin Nano Developer Kit\0")
    for other in (jetson, tmp_path / "absent"):
        assert open_factory("auto", board_model=other) is None
        reason = without_pins("auto", board_model=other)
        assert reason == "gpio.factory is auto, this machine is no Raspberry Pi, and gpio.chip names no chip"


def test_pins_are_wanted_on_a_raspberry_pi_and_when_named(raspberry: Path, tmp_path: Path) -> None:
    assert without_pins("auto", board_model=raspberry) == ""
    assert without_pins("lgpio", board_model=tmp_path / "absent") == ""
    assert without_pins("simulated", board_model=tmp_path / "absent") == ""
    assert without_pins("gpiod", board_model=tmp_path / "absent") == ""
    assert without_pins("auto", chip="tegra234-gpio", board_model=tmp_path / "absent") == ""


def test_simulated_pins_ignore_gpiozeros_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPIOZERO_MOCK_REVISION", "0002")
    monkeypatch.setenv("GPIOZERO_MOCK_PIN_CLASS", "mockpwmpin")
    factory = open_factory("simulated")
    assert isinstance(factory, MockFactory)
    assert factory.board_info.model == "3B"
    open_output(factory, 17, active_high=True).close()
    factory.close()


def test_a_busy_pin_and_a_wrong_one_are_named() -> None:
    factory = MockFactory()
    output = open_output(factory, 17, active_high=True)
    with pytest.raises(PinError, match=r"^GPIO 17 is in use: "):
        open_output(factory, 17, active_high=True)
    with pytest.raises(PinError, match=r"^GPIO 40 is no pin of this board: "):
        open_output(factory, 40, active_high=True)
    output.close()
    factory.close()


def run(code: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own, since an import happens once in each; it finds modules in ``folder`` first."""
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_importing_the_buzzer_touches_no_gpio_library(tmp_path: Path) -> None:
    code = "import sys, edge.gpio.buzzer; sys.exit(not sys.modules.keys().isdisjoint({'gpiozero', 'gpiod', 'lgpio'}))"
    assert run(code, tmp_path).returncode == 0


OPEN = """
import os
from edge.errors import PinError
from edge.gpio.pins import open_factory
before = os.getcwd(), os.environ.get("LG_WD")
try:
    open_factory("lgpio")
except PinError as error:
    print(error)
assert before == (os.getcwd(), os.environ.get("LG_WD")), "lgpio's import left its traces"
"""

# What the real module does when it is imported: it goes to LG_WD and leaves a pipe there.
LGPIO = """
import os
class error(Exception): pass
if "LG_WD" in os.environ: os.chdir(os.environ["LG_WD"])
open(".lgd-nfy0", "w").close()
SET_PULL_NONE = BOTH_EDGES = RISING_EDGE = FALLING_EDGE = 0
def gpiochip_open(chip): raise error("can not open gpiochip")
"""


@pytest.mark.parametrize("variable", [{}, {"LG_WD": "/nonexistent"}])
def test_importing_lgpio_leaves_no_trace(tmp_path: Path, variable: dict[str, str]) -> None:
    (tmp_path / "lgpio.py").write_text(LGPIO)
    done = run(OPEN, tmp_path, TMPDIR=str(tmp_path), **variable)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1, "one line that says what is wrong"
    assert done.stdout.startswith(("gpio.factory is lgpio, but", "the GPIO chip cannot be opened (can not open"))
    assert {path.name for path in tmp_path.iterdir()} <= {"lgpio.py", "__pycache__"}


def test_lgpio_needs_no_room_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "lgpio.py").write_text(LGPIO)
    done = run(f"import tempfile\ntempfile.tempdir = '{tmp_path}/no room'\n{OPEN}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "cannot start" not in done.stdout


@pytest.mark.parametrize("source", ["raise ImportError('no lgpio')", ""])
def test_a_missing_or_empty_lgpio_says_what_to_install(tmp_path: Path, source: str) -> None:
    (tmp_path / "lgpio.py").write_text(source)
    done = run(OPEN, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the Python package lgpio is missing: ")
    assert "apt install python3-lgpio" in done.stdout


def test_gpiod_without_a_chip_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(PinError, match=r"^gpio\.factory is gpiod, and gpio\.chip names no chip: "):
        open_factory("gpiod", board_model=tmp_path / "absent")


def test_a_named_chip_is_what_auto_uses_off_a_raspberry_pi(tmp_path: Path) -> None:
    for name in ("auto", "gpiod"):
        with pytest.raises(PinError, match=r"^gpio\.chip no-such-chip is "):
            open_factory(name, chip="no-such-chip", board_model=tmp_path / "absent")


@pytest.mark.parametrize(
    ("path", "words"), [("/dev/null", "No such device"), ("/nonexistent/gpiochip0", "No such file or directory")]
)
def test_a_path_that_is_no_chip_is_named(path: str, words: str) -> None:
    with pytest.raises(PinError, match=rf"^gpio\.chip {path} is no GPIO chip \({words}\): "):
        open_factory("gpiod", chip=path)


def test_a_machine_without_chips_is_told_apart_from_one_without_the_right(tmp_path: Path) -> None:
    with pytest.raises(PinError, match=f"is not found: there is no {tmp_path}/gpiochip"):
        open_chip("any", devices=tmp_path)
    (tmp_path / "gpiochip0").touch(mode=0o000)
    advice = chip_advice(tmp_path)
    assert advice == (
        "try `gpioinfo` to see whether the kernel can"
        if os.geteuid() == 0
        else f"no right to {tmp_path}/gpiochip0; add the user to the group gpio and log in again"
    )


@pytest.mark.parametrize("source", ["raise ImportError('no gpiod')", "def chip(): 'as version 1 was'"])
def test_a_missing_or_old_gpiod_says_what_to_install(tmp_path: Path, source: str) -> None:
    (tmp_path / "gpiod.py").write_text(source)
    done = run(OPEN.replace('"lgpio"', '"gpiod", chip="any"'), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "the Python package gpiod is missing or too old: pip install 'gpiod>=2.3,<3'\n"


def board_info(*names: str) -> BoardInfo:
    return board_of("chip", names)


def found(board: BoardInfo, name: int | str) -> list[int]:
    return [info.number for _, info in board.find_pin(name)]


def test_a_line_is_found_by_offset_and_by_a_name_of_its_own() -> None:
    board = board_info("BUZZER", "", "NC", "NC", "1")
    assert found(board, "BUZZER") == found(board, 0) == found(board, "0") == [0]
    assert found(board, 1) == [1], "an offset as a number is always one"
    assert found(board, "1") == [4], "as text it is a name first"
    assert found(board, "NC") == found(board, "") == found(board, 5) == found(board, -1) == []
    own = {info.name for header in board.headers.values() for info in header.pins.values()}
    assert len(own) == 5, "gpiozero gives reservations back by this name"
    assert all(found(board, name) for name in own)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (9, "GPIO 9 is no line of chip: it has the lines 0 to 3"),
        ("-1", "GPIO -1 is no line of chip: it has the lines 0 to 3"),
        ("NC", "GPIO NC is the name of 2 lines of chip: choose an offset, 2 or 3"),
        ("buzer", "GPIO buzer is no line of chip (near it: BUZZER): choose a name that `gpioinfo` shows, or an offset"),
        ("PAA.00", "GPIO PAA.00 is no line of chip: choose a name that `gpioinfo` shows, or an offset, 0 to 3"),
    ],
)
def test_a_line_that_is_not_there_is_named_with_what_is(wanted: int | str, words: str) -> None:
    error = unknown_line(wanted, "chip", ["BUZZER", "", "NC", "NC"])
    assert str(error).startswith(words)
    with pytest.raises(PinError, match=re.escape(words)), pin_errors(wanted):
        raise error


def test_a_holder_that_the_kernel_knows_is_named() -> None:
    with pytest.raises(PinError, match=r"^GPIO LED0 is in use \(held by gpioset\): "), pin_errors("LED0"):
        raise GPIOPinInUse("held by gpioset")
