"""``preact-edge buzzer`` with real processes, on pins whose levels outlive them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.filepins import words
from tests.support import ROOT, wait_until

BUZZER, LED = 17, 27
QUICK = ("gpio.patterns.critical.on_s=0.02", "gpio.patterns.critical.off_s=0.01", "gpio.patterns.critical.repeats=2")
LONG = ("gpio.patterns.critical.on_s=60", "gpio.longest_on_s=60")


def command(pins: Path, *arguments: str, sets: tuple[str, ...] = ()) -> list[str]:
    settings = ["gpio.factory=simulated", f"storage.state_dir={pins}/state of it", f"gpio.status_led.pin={LED}", *sets]
    options = [word for setting in settings for word in ("--set", setting)]
    return [sys.executable, "-m", "tests.filepins", str(pins), *arguments, *options]


def done(pins: Path, *arguments: str, sets: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(pins, *arguments, sets=sets), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


@contextmanager
def started(pins: Path, *arguments: str, sets: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command(pins, *arguments, sets=sets), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def daemon(*sets: str) -> tuple[str, ...]:
    return ("listeners.0.host=127.0.0.1", "listeners.0.port=0", "camera.unpaced=true", *LONG, *sets)


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    folder = tmp_path / "the pins"
    folder.mkdir()
    return folder


def is_on(pins: Path, pin: int) -> bool:
    return words(pins, pin)[-1:] == ["1"]


def test_what_kill_9_leaves_on_is_turned_off(pins: Path) -> None:
    with started(pins, "run", sets=daemon()) as process:
        wait_until(lambda: is_on(pins, BUZZER) and is_on(pins, LED), 60)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    assert words(pins, BUZZER) == ["out", "0", "1"], "killed, it sounds on"
    lit = words(pins, LED)
    off = done(pins, "buzzer", "off")
    assert (off.returncode, off.stderr) == (0, "")
    assert off.stdout == "buzzer on pin 17: off\nstatus LED on pin 27: off\n"
    assert words(pins, BUZZER) == ["out", "0", "1", "out", "0", "in"]
    assert words(pins, LED) == [*lit, "out", "0", "in"]


def test_the_running_program_keeps_its_pins(pins: Path) -> None:
    with started(pins, "run", sets=daemon()) as process:
        wait_until(lambda: is_on(pins, BUZZER), 60)
        for arguments in (("off",), ("test",), ("on", "high")):
            refused = done(pins, "buzzer", *arguments, sets=("gpio.patterns.high.repeats=1",))
            assert refused.returncode == 1
            assert refused.stderr.count("\n") == 1
            assert "gpio.buzzer_pin: GPIO 17 is in use" in refused.stderr
            assert "preact-edge runs and holds its pins" in refused.stderr
        assert words(pins, BUZZER) == ["out", "0", "1"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert words(pins, BUZZER) == ["out", "0", "1", "0", "in"]
    assert words(pins, LED)[-2:] == ["0", "in"]


def test_another_program_that_holds_the_pin_is_not_taken_for_ours(pins: Path) -> None:
    with started(pins, "buzzer", "on", "critical", sets=LONG):
        wait_until(lambda: is_on(pins, BUZZER), 60)
        refused = done(pins, "buzzer", "off")
    assert refused.returncode == 1
    assert "status LED on pin 27: off" in refused.stdout, "each is tried"
    assert "gpio.buzzer_pin: GPIO 17 is in use: stop what uses it" in refused.stderr
    assert "preact-edge runs" not in refused.stderr


def test_test_and_on_are_heard_once(pins: Path) -> None:
    assert done(pins, "buzzer", "test").returncode == 0
    assert words(pins, BUZZER) == ["out", "0", "1", "0", "in"]
    assert done(pins, "buzzer", "on", "critical", sets=QUICK).returncode == 0
    assert words(pins, BUZZER)[5:] == ["out", "0", "1", "0", "1", "0", "in"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_sounding_that_is_broken_off_leaves_the_pin_off(pins: Path, number: signal.Signals, code: int) -> None:
    with started(pins, "buzzer", "on", "critical", sets=LONG) as process:
        wait_until(lambda: is_on(pins, BUZZER), 60)
        process.send_signal(number)
        assert process.wait(30) == code
    assert words(pins, BUZZER) == ["out", "0", "1", "0", "in"]


@pytest.mark.parametrize(
    ("arguments", "sets", "code", "line"),
    [
        (("off",), ("gpio.factory=none",), 0, "nothing to turn off: gpio.factory is none"),
        (("test",), ("gpio.factory=none",), 1, "preact-edge: no buzzer: gpio.factory is none"),
        (("off",), ("gpio.buzzer_pin=53",), 1, "preact-edge: buzzer: gpio.buzzer_pin: GPIO 53 is no pin of this board"),
        (("test",), ("gpio.buzzer_pin=53",), 1, "preact-edge: gpio.buzzer_pin: GPIO 53 is no pin of this board"),
        (("on", "low"), (), 1, "preact-edge: gpio.patterns.low.repeats is 0: this level is never heard"),
        (("off",), ("gpio.buzzer_pin=27",), 2, "preact-edge: --set gpio.buzzer_pin=27: gpio: buzzer_pin and status"),
        (("on", "loud"), (), 2, "usage: preact-edge buzzer on"),
        ((), (), 2, "usage: preact-edge buzzer"),
    ],
)
def test_exit_codes(pins: Path, arguments: tuple[str, ...], sets: tuple[str, ...], code: int, line: str) -> None:
    ended = done(pins, "buzzer", *arguments, sets=sets)
    assert ended.returncode == code, ended
    assert (ended.stderr + ended.stdout).startswith(line)
    assert words(pins, BUZZER) in ([], ["out", "0", "in"])


@pytest.mark.parametrize(
    ("text", "pin"),
    [
        ("[gpio]\nbuzzer_pin = 4\n[camera]\nfps = -1\n", 4),
        ("[gpio]\nbuzzer_pin = 4\nlongest_on_s = 'long'\nbuzer_pin = 5\n", 4),
        ("[gpio]\nbuzzer_pin = -4\n", 17),
        ("gpio = 1\n", 17),
        ("[gpio\nbuzzer_pin = 4\n", 17),
        (None, 17),
    ],
    ids=["elsewhere", "beside it", "itself", "no group", "no TOML", "no file"],
)
def test_off_with_wrong_settings_tries_what_can_be_read(pins: Path, text: str | None, pin: int) -> None:
    file = pins / "edge of it.toml"
    if text is not None:
        file.write_text(text)
    ended = done(pins, "buzzer", "off", "-c", str(file))
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert ended.stderr.startswith(f"preact-edge: {file}: ")
    assert ended.stdout.splitlines()[1:] == [f"buzzer on pin {pin}: off", "status LED on pin 27: off"]
    assert words(pins, pin) == ["out", "0", "in"]
    assert done(pins, "buzzer", "test", "-c", str(file)).returncode == 2
    assert words(pins, pin) == ["out", "0", "in"], "nothing sounds with wrong settings"


IMPORTS = """
import sys
from edge.cli import main
main(["buzzer", "off", "--set", "gpio.factory=simulated"])
print(sorted({name.split(".")[0] for name in sys.modules} & {"numpy", "cv2", "sqlite3", "ssl", "cryptography", "rich"}))
"""


def test_off_imports_nothing_that_takes_long() -> None:
    ended = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"
