"""Buzzer, status LED and silence button on a kernel's lines: each level and how long it lasted.

The kernel's trace is what is looked at: it misses nothing, however slow this machine is. Tolerances: a beat lasts at
least its time less EARLY_S, since the pin may be driven late at its begin and not at its end, and at most LATE_S more,
since this machine is emulated and shared.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from edge import config
from edge.config import Gpio, Pattern, Patterns
from edge.gpio.panel import Panel, open_panel
from edge.types import LEVELS
from tests.support import wait_until
from tests.vm.inside.simulated import SimulatedChip
from tests.vm.inside.tracing import Trace, traced

EARLY_S = 0.3
LATE_S = 1.5
PATTERNS = {
    "low": Pattern(on_s=2.0, repeats=1),
    "medium": Pattern(on_s=0.6, off_s=1.2, repeats=2),
    "high": Pattern(on_s=0.8, off_s=0.5, repeats=3),
    "critical": Pattern(on_s=0.5, off_s=0.5, repeats=4),
}
LONG = Patterns(critical=Pattern(on_s=60.0, repeats=1))


@contextmanager
def panel(chip: SimulatedChip, **settings: Any) -> Iterator[Panel]:
    wanted = {
        "factory": "gpiod",
        "chip": chip.label,
        "required": True,
        "buzzer_pin": "BUZZER",
        "status_led": config.StatusLed(pin="LED"),
        "silence_button": config.SilenceButton(pin="BUTTON", silence_s=600.0),
        **settings,
    }
    chip.line("BUTTON").pull(1)
    made = open_panel(Gpio(**wanted))
    try:
        assert made.buzzer is not None
        assert made.led is not None
        made.buzzer.start()
        made.led.start()
        yield made
    finally:
        made.close()
    assert chip.held() == {}


def near(seconds: float, wanted: float) -> bool:
    return wanted - EARLY_S <= seconds <= wanted + LATE_S


def expect(trace: Trace, beats: list[tuple[int, float]]) -> None:
    """All that was driven after the quiet of the beginning are these beats."""
    wait_until(lambda: len(trace.history) > len(beats), 30)
    history = trace.history[1:]
    assert [level for level, _ in history] == [level for level, _ in beats]
    assert all(near(seconds, wanted) for (_, seconds), (_, wanted) in zip(history, beats, strict=True)), history


@pytest.mark.parametrize("level", LEVELS)
def test_every_patterns_edges(chip: SimulatedChip, level: Any) -> None:
    pattern = PATTERNS[level]
    beats = [(1, pattern.on_s), (0, pattern.off_s)] * pattern.repeats
    with traced(chip, "BUZZER") as trace, panel(chip, patterns=Patterns(**PATTERNS)) as p:
        assert p.buzzer is not None
        assert p.buzzer.sound(level) == ""
        expect(trace, beats[:-1])
        assert chip.line("BUZZER").level == 0


@pytest.mark.parametrize("active_high", [True, False])
def test_the_longest_time_is_kept_with_either_polarity(chip: SimulatedChip, active_high: bool) -> None:
    on = int(active_high)
    with (
        traced(chip, "BUZZER") as trace,
        panel(chip, patterns=LONG, longest_on_s=1.0, active_high=active_high) as p,
    ):
        assert p.buzzer is not None
        p.buzzer.sound("critical")
        expect(trace, [(on, 1.0)])
        assert chip.line("BUZZER").level == 1 - on


def test_a_press_ends_the_alarm_and_a_long_one_silences(chip: SimulatedChip) -> None:
    buzzer_line, button_line = chip.line("BUZZER"), chip.line("BUTTON")
    with traced(chip, "BUZZER") as trace, panel(chip, patterns=LONG, longest_on_s=60.0, cooldown_s=0.0) as p:
        assert p.buzzer is not None
        p.buzzer.sound("critical")
        wait_until(lambda: buzzer_line.level)
        button_line.pull(0)
        wait_until(lambda: not buzzer_line.level)
        button_line.pull(1)
        assert p.button is not None
        wait_until(lambda: p.button and not p.button.is_pressed)
        assert p.buzzer.silenced_s == 0
        p.buzzer.sound("critical")
        wait_until(lambda: buzzer_line.level)
        button_line.pull(0)
        wait_until(lambda: p.buzzer and p.buzzer.silenced_s > 0, 30)
        button_line.pull(1)
        assert p.buzzer.health() == ("degraded", "silenced for 600 s by the button")
        assert p.buzzer.sound("critical")
        wait_until(lambda: p.button and not p.button.is_pressed)
        button_line.pull(0)
        wait_until(lambda: p.buzzer and p.buzzer.silenced_s == 0)
        button_line.pull(1)
        p.buzzer.sound("critical")
        wait_until(lambda: buzzer_line.level)
        assert [level for level, _ in trace.history] == [0, 1, 0, 1, 0]


def test_the_light_blinks_slowly_and_fast(chip: SimulatedChip) -> None:
    with traced(chip, "LED") as trace, panel(chip) as p:
        assert p.led is not None
        p.led.show("degraded")
        wait_until(lambda: len(trace.history) >= 5, 30)
        assert all(near(seconds, 1.0) for _, seconds in trace.history[1:5]), trace.history
        p.led.show("failed")
        count = len(trace.history) + 1
        wait_until(lambda: len(trace.history) >= count + 12, 30)
        mean = sum(seconds for _, seconds in trace.history[count : count + 12]) / 12
        assert 0.1 <= mean <= 0.8, trace.history
        p.led.show("ok")
        wait_until(lambda: chip.line("LED").level)
    assert chip.line("LED").level == 0


def command(chip: SimulatedChip, *arguments: str) -> list[str]:
    settings = (
        "gpio.factory=gpiod",
        f"gpio.chip={chip.label}",
        "gpio.buzzer_pin=BUZZER",
        "gpio.status_led.pin=LED",
        "gpio.patterns.critical.on_s=60",
        "gpio.longest_on_s=60",
    )
    return ["preact-edge", *arguments, *(word for setting in settings for word in ("--set", setting))]


def environment() -> dict[str, str]:
    """Without the machine's own variables, which the program would take for settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PREACT_EDGE_")}


def done(chip: SimulatedChip, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(chip, *arguments), capture_output=True, text=True, timeout=110, check=False, env=environment()
    )


def test_while_one_sounds_no_other_can_and_after_kill_9_it_is_turned_off(chip: SimulatedChip) -> None:
    """This simulator lets a line go with who held it; a kernel that keeps the level is in test_buzzer_command."""
    line = chip.line("BUZZER")
    program = subprocess.Popen(command(chip, "buzzer", "on", "critical"), env=environment())
    try:
        wait_until(lambda: line.level, 60)
        refused = done(chip, "buzzer", "off")
        assert refused.returncode == 1
        assert "gpio.buzzer_pin: GPIO BUZZER is in use (held by preact-edge)" in refused.stderr
        assert "preact-edge runs and holds its pins" in refused.stderr
        assert line.level == 1
        program.send_signal(signal.SIGKILL)
        program.wait(30)
    finally:
        program.kill()
        program.wait(30)
    off = done(chip, "buzzer", "off")
    assert (off.returncode, off.stderr) == (0, "")
    assert off.stdout == "buzzer on pin BUZZER: off\nstatus LED on pin LED: off\n"
    assert (line.level, chip.line("LED").level) == (0, 0)
    assert chip.held() == {}


def test_check_shows_what_is_on_the_pins(chip: SimulatedChip) -> None:
    shown = done(chip, "check").stdout
    assert "buzzer on BUZZER, on when it is high" in shown
    assert "status LED on LED, on when it is high" in shown
