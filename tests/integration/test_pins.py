"""Choosing the pin factory, and what goes wrong with pins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from gpiozero.pins.mock import MockFactory

from edge.errors import PinError
from edge.gpio.pins import open_factory, open_output, without_pins


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
        assert without_pins("auto", board_model=other) == "gpio.factory is auto, and this machine is no Raspberry Pi"


def test_pins_are_wanted_on_a_raspberry_pi_and_when_named(raspberry: Path, tmp_path: Path) -> None:
    assert without_pins("auto", board_model=raspberry) == ""
    assert without_pins("lgpio", board_model=tmp_path / "absent") == ""
    assert without_pins("simulated", board_model=tmp_path / "absent") == ""


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
    code = "import sys, edge.gpio.buzzer; sys.exit(not sys.modules.keys().isdisjoint({'gpiozero', 'lgpio'}))"
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


@pytest.mark.parametrize("source", ["raise ImportError('no lgpio')", ""])
def test_a_missing_or_empty_lgpio_says_what_to_install(tmp_path: Path, source: str) -> None:
    (tmp_path / "lgpio.py").write_text(source)
    done = run(OPEN, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the Python package lgpio is missing: ")
    assert "apt install python3-lgpio" in done.stdout
