"""The buzzer on gpiozero's mock pins: the pin's whole recorded history is asserted, with its length."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from gpiozero.pins.mock import MockFactory, MockPin

from edge.config import Gpio, Pattern, Patterns
from edge.errors import PinError
from edge.gpio.buzzer import Buzzer
from edge.gpio.silence import LONGEST_SILENCE_S
from edge.gpio.siren import BuzzerState
from edge.types import Alert, AlertState, Result, ThreatLevel
from edge.workers import Worker
from tests.support import wait_until

BLINK = Pattern(on_s=0.01, off_s=0.005, repeats=3)
LONG = Pattern(on_s=60.0, repeats=1)
LONG_FOR_ALL = Patterns(low=LONG, medium=LONG, high=LONG, critical=LONG)
ONCE = [False, True, False]


class FrailPin(MockPin):  # type: ignore[misc]
    """A pin whose next writes fail, as many as ``failures`` says; every write is kept in ``writes``."""

    def __init__(self, factory: Any, info: Any) -> None:
        super().__init__(factory, info)
        self.failures = 0
        self.writes: list[bool] = []

    def _set_state(self, value: bool) -> None:
        self.writes.append(bool(value))
        if self.failures:
            self.failures -= 1
            raise OSError(19, "No such device")
        super()._set_state(value)


class Bench:
    """A buzzer, its pin, a clock that ``skip`` moves on, and what the buzzer reported."""

    def __init__(self, settings: Gpio, pin_class: type[MockPin]) -> None:
        self.factory = MockFactory(pin_class=pin_class)
        self.pin = self.factory.pin(settings.buzzer_pin)
        self.skipped = 0.0
        self.quiet = ""
        self.changes: list[bool] = []
        self.fault: Exception | None = None  # what the caller's on_change raises
        self.deaths: list[Worker] = []
        self.buzzer = Buzzer(
            settings,
            pin_factory=self.factory,
            clock=lambda: time.monotonic() + self.skipped,
            quiet=lambda: self.quiet,
            on_change=self.changed,
            on_death=self.deaths.append,
        )

    def changed(self, sounding: bool) -> None:
        self.changes.append(sounding)
        if self.fault is not None:
            raise self.fault

    def skip(self, seconds: float) -> None:
        self.skipped += seconds

    @property
    def history(self) -> list[bool]:
        return [state.state for state in self.pin.states]

    def wait_for_soundings(self, count: int) -> None:
        """Until ``count`` soundings have begun and ended."""
        wait_until(lambda: self.buzzer.state.soundings == count and not self.buzzer.state.sounding)

    def wait_for_on(self, level: str) -> None:
        wait_until(lambda: self.buzzer.state.level == level and self.pin.state)


def alert(event: str, level: ThreatLevel, state: AlertState = "firing") -> Alert:
    return Alert("alert_1", 1.0, "main", "r", level, 0.9, ("knife",), (1, 2), 1, 1, event, state)


def alerts(*found: Alert) -> Result:
    return Result(1.0, "main", "ok", "test", alerts=found)


@contextmanager
def bench(pin_class: type[MockPin] = MockPin, *, start: bool = True, **settings: Any) -> Iterator[Bench]:
    bench = Bench(Gpio(**settings), pin_class)
    try:
        if start:
            bench.buzzer.start()
        yield bench
    finally:
        bench.buzzer.close()
        bench.factory.close()
        assert bench.buzzer.join(5.0)
        assert not [thread for thread in threading.enumerate() if thread.name == "buzzer"]


def test_a_critical_sounding_is_its_whole_pattern() -> None:
    with bench(patterns=Patterns(critical=BLINK)) as b:
        assert b.buzzer.state == BuzzerState(level=None, last=None, soundings=0)
        b.buzzer.sound("critical")
        b.wait_for_soundings(1)
        assert b.history == [False, True, False, True, False, True, False]
        wait_until(lambda: len(b.changes) == 2)
        assert b.changes == [True, False]
        assert b.buzzer.state == BuzzerState(level=None, last="critical", soundings=1)


def test_the_built_in_pattern_sounds_twelve_times_for_critical_and_never_for_less() -> None:
    with bench(longest_on_s=0.02) as b:
        for level in ("low", "medium", "high"):
            b.buzzer.sound(level)
        b.buzzer.sound("critical")
        b.wait_for_soundings(1)
        assert b.history == ONCE
        assert b.buzzer.state.last == "critical"


def test_of_the_requests_that_wait_the_highest_is_kept() -> None:
    with bench(start=False, patterns=LONG_FOR_ALL) as b:
        for level in ("low", "high", "medium"):
            b.buzzer.sound(level)
        b.buzzer.start()
        b.wait_for_on("high")
        b.buzzer.hush()
        b.wait_for_soundings(1)
        assert b.history == ONCE


def test_a_request_not_above_what_sounds_neither_restarts_nor_waits() -> None:
    with bench(patterns=LONG_FOR_ALL, cooldown_s=0) as b:
        b.buzzer.sound("high")
        b.wait_for_on("high")
        b.buzzer.sound("high")
        b.buzzer.sound("low")
        b.buzzer.hush()
        b.wait_for_soundings(1)
        b.buzzer.sound("low")
        b.wait_for_on("low")
        assert b.buzzer.state.soundings == 2
        assert b.history == [False, True, False, True]


def test_a_higher_level_breaks_in() -> None:
    with bench(patterns=Patterns(medium=LONG, critical=BLINK)) as b:
        b.buzzer.sound("medium")
        b.wait_for_on("medium")
        b.buzzer.sound("critical")
        b.wait_for_soundings(2)
        assert b.history == [*ONCE, True, False, True, False, True, False]
        wait_until(lambda: len(b.changes) == 4)
        assert b.changes == [True, False, True, False]


def test_no_sounding_is_longer_than_the_longest() -> None:
    with bench(patterns=LONG_FOR_ALL, longest_on_s=0.02) as b:
        b.buzzer.sound("critical")
        b.wait_for_soundings(1)
        assert b.history == ONCE


def test_the_cooldown_holds_back_all_but_a_higher_level() -> None:
    with bench(patterns=Patterns(medium=BLINK, high=BLINK), cooldown_s=1000) as b:
        blinks = [True, False] * 3
        assert not b.buzzer.sound("medium")
        b.wait_for_soundings(1)
        b.skip(500)
        assert b.buzzer.sound("medium").startswith("the buzzer has just sounded: the cooldown runs for another ")
        assert not b.buzzer.sound("high")
        b.wait_for_soundings(2)
        b.skip(500)
        assert b.buzzer.sound("high")
        assert b.buzzer.sound("medium")
        b.skip(500)
        assert not b.buzzer.sound("medium")
        b.wait_for_soundings(3)
        assert b.history == [False, *blinks * 3]
        assert b.buzzer.state.last == "medium"


def test_hush_ends_the_sounding_and_begins_the_cooldown() -> None:
    with bench(patterns=LONG_FOR_ALL, cooldown_s=1000) as b:
        b.buzzer.sound("high")
        b.wait_for_on("high")
        b.buzzer.hush()
        b.wait_for_soundings(1)
        assert b.buzzer.sound("high")
        b.buzzer.hush()
        b.skip(1000)
        assert not b.buzzer.sound("high")
        b.wait_for_on("high")
        assert b.history == [*ONCE, True]
        assert b.buzzer.state.soundings == 2


def test_hush_forgets_what_waits() -> None:
    with bench(start=False, patterns=Patterns(low=BLINK, critical=LONG)) as b:
        b.buzzer.sound("critical")
        b.buzzer.hush()
        b.buzzer.sound("low")
        b.buzzer.start()
        b.wait_for_soundings(1)
        assert b.buzzer.state.last == "low"
        assert b.history == [False, True, False, True, False, True, False]


def test_silence_quiets_every_level_and_ends_by_itself() -> None:
    with bench(patterns=LONG_FOR_ALL, cooldown_s=0) as b:
        b.buzzer.sound("critical")
        b.wait_for_on("critical")
        b.buzzer.silence(6000)
        b.wait_for_soundings(1)
        b.skip(3000)
        assert b.buzzer.sound("critical").startswith("the buzzer is silenced for 6000 s by a command, for another ")
        assert b.buzzer.test()
        assert 2900 < b.buzzer.silenced_s <= 3000
        assert b.buzzer.health() == ("degraded", "silenced for 6000 s by a command")
        b.skip(3000)
        assert b.buzzer.silenced_s == 0
        assert b.buzzer.health() == ("ok", "")
        assert not b.buzzer.sound("critical")
        b.wait_for_on("critical")
        assert b.history == [*ONCE, True]


def test_silence_can_be_ended_and_is_bounded_by_a_day() -> None:
    with bench(patterns=Patterns(critical=BLINK)) as b:
        b.buzzer.silence(1e9)
        b.buzzer.hush()
        assert LONGEST_SILENCE_S - 100 < b.buzzer.silenced_s <= LONGEST_SILENCE_S, "quiet for now is another thing"
        b.buzzer.end_silence()
        assert b.buzzer.silenced_s == 0
        assert not b.buzzer.sound("critical")
        b.wait_for_soundings(1)


def test_a_quiet_time_is_told_and_lets_the_exempt_levels_through() -> None:
    with bench(patterns=Patterns(high=BLINK, critical=BLINK)) as b:
        b.quiet = "night"
        assert b.buzzer.health() == ("ok", "quiet time night")
        assert b.buzzer.sound("high") == "it is the quiet time night, in which critical sounds"
        assert b.buzzer.test()
        b.buzzer.observe(alerts(alert("one", "high")))
        b.buzzer.observe(alerts(alert("two", "critical")))
        b.wait_for_soundings(1)
        assert b.buzzer.state.last == "critical"
        assert b.history == [False, *[True, False] * 3]


def test_only_alerts_that_fire_are_heard() -> None:
    with bench(patterns=Patterns(high=BLINK, critical=BLINK), cooldown_s=0) as b:
        b.buzzer.observe(alerts(alert("one", "critical", "resolved")))
        b.buzzer.observe(alerts())
        b.buzzer.observe(alerts(alert("two", "high")))
        b.wait_for_soundings(1)
        assert b.buzzer.state.last == "high"
        assert b.history == [False, *[True, False] * 3]


def test_an_acknowledged_event_is_quiet_until_it_rises() -> None:
    with bench(patterns=Patterns(medium=LONG, critical=LONG), cooldown_s=0) as b:
        b.buzzer.observe(alerts(alert("one", "medium")))
        b.wait_for_on("medium")
        b.buzzer.acknowledge()
        b.wait_for_soundings(1)
        b.buzzer.observe(alerts(alert("one", "medium")))
        b.buzzer.observe(alerts(alert("one", "critical")))
        b.wait_for_on("critical")
        assert b.buzzer.state.soundings == 2
        assert b.history == [*ONCE, True]


def test_another_event_is_heard_after_an_acknowledgement() -> None:
    with bench(patterns=LONG_FOR_ALL, cooldown_s=0) as b:
        b.buzzer.observe(alerts(alert("one", "high"), alert("two", "high")))
        b.wait_for_on("high")
        b.buzzer.acknowledge()
        b.wait_for_soundings(1)
        b.buzzer.observe(alerts(alert("two", "high")))
        b.buzzer.observe(alerts(alert("three", "high")))
        b.wait_for_on("high")
        assert b.buzzer.state.soundings == 2


def test_another_event_that_begins_in_the_cooldown_is_heard_after_it(caplog: pytest.LogCaptureFixture) -> None:
    with bench(patterns=LONG_FOR_ALL, cooldown_s=1000) as b:
        b.buzzer.observe(alerts(alert("one", "critical")))
        b.wait_for_on("critical")
        b.buzzer.acknowledge()
        b.wait_for_soundings(1)
        b.buzzer.observe(alerts(alert("two", "critical")))
        assert b.history == ONCE
        b.skip(1000)
        b.buzzer.observe(alerts(alert("three", "low", "resolved")))  # its thread looks at the time
        b.wait_for_on("critical")
        assert b.history == [*ONCE, True]
    assert "event two is critical and not heard now: the buzzer has just sounded: the cooldown" in caplog.text


def test_why_an_event_is_not_heard_is_logged_but_not_of_a_level_that_never_is(caplog: pytest.LogCaptureFixture) -> None:
    with bench(patterns=Patterns(critical=LONG)) as b:
        b.buzzer.silence(600)
        b.buzzer.observe(alerts(alert("one", "critical"), alert("two", "low")))
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("event one is critical and not heard now: the buzzer is silenced for 600 s by a command, ")


def test_a_test_is_one_beep_and_no_sounding() -> None:
    with bench(longest_on_s=0.05, cooldown_s=1000) as b:
        assert not b.buzzer.test()
        wait_until(lambda: b.changes == [True, False])
        assert b.history == ONCE
        wait_until(lambda: b.buzzer.state == BuzzerState(level=None, last=None, soundings=0))
        assert b.buzzer.test(), "beeps one after the other would be an alarm without end"
        assert not b.buzzer.sound("critical"), "no alert is quiet for a test"
        b.wait_for_soundings(1)
        b.skip(500)
        assert b.buzzer.test(), "within the cooldown of an alert"
        b.skip(500)
        assert not b.buzzer.test()


def test_an_alert_breaks_into_a_test() -> None:
    with bench(patterns=LONG_FOR_ALL) as b:
        assert not b.buzzer.test()
        assert not b.buzzer.sound("low")
        b.wait_for_on("low")
        assert b.buzzer.state.soundings == 1
        assert b.buzzer.test() == "the buzzer sounds already, as high or higher"


def test_a_buzzer_that_does_not_run_is_failed() -> None:
    with bench(start=False) as b:
        assert b.buzzer.health() == ("failed", "the buzzer's thread does not run")


def test_stop_in_the_middle_turns_the_pin_off() -> None:
    with bench(patterns=LONG_FOR_ALL) as b:
        b.buzzer.sound("critical")
        b.wait_for_on("critical")
        b.buzzer.stop()
        b.buzzer.stop()
        assert b.buzzer.join(5.0)
        assert b.history == ONCE
        assert b.changes == [True, False]
        assert not b.buzzer.alive
        b.buzzer.sound("critical")
        b.buzzer.close()
        b.buzzer.close()
        assert b.history == ONCE


def test_close_without_start_gives_the_pin_back() -> None:
    factory = MockFactory()
    for _ in range(2):
        buzzer = Buzzer(Gpio(), pin_factory=factory)
        buzzer.close()
        assert buzzer.join(0.0)
    assert factory.pin(17).function == "input"
    factory.close()


def test_a_buzzer_that_sounds_on_low_is_off_when_high() -> None:
    with bench(patterns=Patterns(critical=BLINK), active_high=False) as b:
        assert b.history == [False, True], "the mock pin starts low; off is high"
        b.buzzer.sound("critical")
        b.wait_for_soundings(1)
        assert b.history == [False, True, False, True, False, True, False, True]
        b.buzzer.stop()
        assert b.buzzer.join(5.0)
        assert b.pin.state


def test_a_callers_exception_in_the_thread_leaves_the_pin_off_and_is_told() -> None:
    with bench(patterns=Patterns(critical=BLINK)) as b:
        b.buzzer.sound("critical")
        b.wait_for_soundings(1)
        b.skip(1000)
        b.fault = RuntimeError("a fault in the caller's code")
        b.buzzer.sound("critical")
        wait_until(lambda: b.deaths)
        assert b.deaths[0].error is b.fault
        assert b.history == [False, *[True, False] * 3]
        assert not b.buzzer.state.sounding


def test_a_pin_that_fails_once_is_off_in_the_end(caplog: pytest.LogCaptureFixture) -> None:
    with bench(FrailPin, patterns=LONG_FOR_ALL) as b:
        b.buzzer.sound("critical")
        b.wait_for_on("critical")
        b.pin.failures = 1
        b.buzzer.hush()
        wait_until(lambda: b.deaths)
        (dead,) = b.deaths
        assert isinstance(dead.error, PinError)
        assert str(dead.error) == "GPIO 17 cannot be used: [Errno 19] No such device"
        assert isinstance(dead.error.__cause__, OSError)
        assert b.history == ONCE
        assert b.changes == [True, False]
        assert not b.buzzer.state.sounding
    assert "the buzzer thread died" in caplog.text


def test_a_pin_that_vanished_is_logged_and_close_still_returns(caplog: pytest.LogCaptureFixture) -> None:
    with bench(FrailPin, patterns=LONG_FOR_ALL) as b:
        b.buzzer.sound("critical")
        b.wait_for_on("critical")
        b.pin.failures = 100
        b.buzzer.hush()
        wait_until(lambda: b.deaths)
        b.buzzer.close()
        assert b.pin.writes[-3:] == [False, False, False], "the sounding, the thread and close each try to turn it off"
    assert "the buzzer may still be on: GPIO 17 cannot be used: [Errno 19] No such device" in caplog.text


def test_sound_from_many_threads_is_one_sounding() -> None:
    with bench(patterns=LONG_FOR_ALL) as b:
        callers = [threading.Thread(target=b.buzzer.sound, args=("high",)) for _ in range(20)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        b.wait_for_on("high")
        b.buzzer.hush()
        b.wait_for_soundings(1)
        assert b.history == ONCE


EXIT = """
import atexit
from gpiozero.pins.mock import MockFactory
from edge.config import Gpio, Pattern, Patterns
from edge.gpio.buzzer import Buzzer
from tests.support import wait_until

factory = MockFactory()
pin = factory.pin(17)
atexit.register(lambda: print([state.state for state in pin.states]))
buzzer = Buzzer(Gpio(patterns=Patterns(critical=Pattern(on_s=60, repeats=1))), pin_factory=factory)
buzzer.start()
buzzer.sound("critical")
wait_until(lambda: pin.state)
"""


@pytest.mark.parametrize("ending", ["", "raise SystemExit(3)", "raise RuntimeError('a crash')"])
def test_the_pin_is_off_at_the_interpreters_exit(ending: str, pytestconfig: pytest.Config) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", EXIT + ending],
        cwd=pytestconfig.rootpath,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "[False, True, False]\n", done.stderr
    assert "Exception ignored" not in done.stderr
