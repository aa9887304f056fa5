"""Buzzer, status LED and silence button together, on gpiozero's mock pins: whole histories of levels."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from gpiozero.pins.mock import MockFactory, MockPin

from edge import config
from edge.commands import check
from edge.config import Gpio, Pattern, Patterns
from edge.errors import ConfigError, PinError
from edge.gpio.button import SilenceButton
from edge.gpio.buzzer import Buzzer
from edge.gpio.led import BLINKS, StatusLed, sign_of
from edge.gpio.panel import Panel, open_panel
from tests.support import wait_until

LONG = Patterns(critical=Pattern(on_s=60.0, repeats=1))
QUICK: dict[str, Any] = {
    **BLINKS,
    "degraded": ((True, 0.02), (False, 0.02)),
    "failed": ((True, 0.005), (False, 0.005)),
}


@pytest.fixture
def factory() -> Iterator[MockFactory]:
    factory = MockFactory()
    yield factory
    factory.close()


def levels(pin: MockPin) -> list[bool]:
    return [bool(state.state) for state in pin.states]


# The status LED


@contextmanager
def led(factory: MockFactory, **settings: Any) -> Iterator[StatusLed]:
    lamp = StatusLed(config.StatusLed(pin=27, **settings), pin_factory=factory)
    try:
        lamp.start()
        yield lamp
    finally:
        lamp.close()
        lamp.close()
        assert lamp.join(5.0)


def test_the_light_is_off_until_it_shows_and_after_its_end(factory: MockFactory) -> None:
    pin = factory.pin(27)
    with led(factory) as lamp:
        lamp.show("ok")
        wait_until(lambda: pin.state)
        lamp.show("off")
        wait_until(lambda: not pin.state)
        lamp.show("ok")
        lamp.show("ok")
        wait_until(lambda: pin.state)
        lamp.stop()
        assert lamp.join(5.0)
    assert levels(pin) == [False, True, False, True, False]
    assert pin.function == "input"


def test_slow_blinking_is_degraded_and_fast_is_failed(factory: MockFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.gpio.led.BLINKS", QUICK)
    pin = factory.pin(27)
    with led(factory) as lamp:
        lamp.show("degraded")
        wait_until(lambda: len(pin.states) >= 7)
        lamp.show("failed")
        count = len(pin.states)
        wait_until(lambda: len(pin.states) >= count + 6)
        lamp.show("ok")
        wait_until(lambda: pin.state and not lamp.join(0.05) and pin.state)
    history = levels(pin)
    assert history == [bool(number % 2) for number in range(len(history))], "on and off in turn"
    assert history[-1] is False


def test_the_real_blinks_are_told_apart_by_eye() -> None:
    slow, fast = (sum(seconds or 0.0 for _, seconds in BLINKS[sign]) for sign in ("degraded", "failed"))
    assert slow >= 4 * fast
    assert 0.1 <= fast <= 0.5


def test_a_light_that_is_on_when_low(factory: MockFactory) -> None:
    pin = factory.pin(27)
    with led(factory, active_high=False) as lamp:
        lamp.show("ok")
        wait_until(lambda: not pin.state)
        lamp.stop()
        assert lamp.join(5.0)
        assert levels(pin) == [False, True, False, True], "the mock pin starts low; off is high"


class DeadPin(MockPin):  # type: ignore[misc]
    dead = False

    def _get_state(self) -> Any:
        if self.dead:
            raise OSError(19, "No such device")
        return super()._get_state()

    def _set_state(self, value: float) -> None:
        if self.dead:
            raise OSError(19, "No such device")
        super()._set_state(value)


def test_a_light_whose_pin_vanished_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    factory = MockFactory(pin_class=DeadPin)
    pin = factory.pin(27)
    with led(factory) as lamp:
        lamp.show("ok")
        wait_until(lambda: pin.state)
        pin.dead = True
        lamp.show("failed")
        assert lamp.join(5.0)
    assert [record.getMessage() for record in caplog.records] == [
        "the status-led thread died: GPIO 27 cannot be used: [Errno 19] No such device"
    ]
    pin.dead = False
    factory.close()


@pytest.mark.parametrize(
    ("states", "sign"),
    [
        ({"camera": "ok", "detector": "ok", "buzzer": "ok"}, "ok"),
        ({"camera": "ok", "detector": "ok", "buzzer": "off"}, "ok"),
        ({"camera": "off", "detector": "off"}, "degraded"),
        ({"camera": "ok", "detector": "degraded"}, "degraded"),
        ({"camera": "failed", "detector": "degraded"}, "failed"),
        ({"camera": "ok", "outbox": "failed"}, "failed"),
    ],
)
def test_the_worst_component_is_shown(states: dict[str, str], sign: str) -> None:
    assert sign_of({name: {"state": state, "reason": ""} for name, state in states.items()}) == sign


# The silence button


class Desk:
    """A buzzer with a button, and a finger."""

    def __init__(self, factory: MockFactory, *, hold_s: float, pull_up: bool = True) -> None:
        self.now = 1000.0
        self.buzzer = Buzzer(Gpio(patterns=LONG, cooldown_s=0), pin_factory=factory, clock=lambda: self.now)
        settings = config.SilenceButton(pin=22, pull_up=pull_up, silence_s=600.0)
        self.pin, self.sounder = factory.pin(22), factory.pin(17)
        self._pull_up = pull_up
        self.button = SilenceButton(settings, self.buzzer, pin_factory=factory, hold_s=hold_s)
        self.buzzer.start()

    def press(self) -> None:
        (self.pin.drive_low if self._pull_up else self.pin.drive_high)()

    def release(self) -> None:
        (self.pin.drive_high if self._pull_up else self.pin.drive_low)()

    def alarm(self) -> None:
        assert self.buzzer.sound("critical") == ""
        wait_until(lambda: self.buzzer.state.sounding and self.sounder.state)


@contextmanager
def desk(factory: MockFactory, *, hold_s: float = 60.0, pull_up: bool = True) -> Iterator[Desk]:
    desk = Desk(factory, hold_s=hold_s, pull_up=pull_up)
    try:
        yield desk
    finally:
        desk.button.close()
        desk.button.close()
        desk.buzzer.close()


@pytest.mark.parametrize("pull_up", [True, False])
def test_a_short_press_acknowledges_as_soon_as_it_goes_down(factory: MockFactory, pull_up: bool) -> None:
    with desk(factory, pull_up=pull_up) as d:
        assert not d.button.is_pressed
        d.alarm()
        d.press()
        assert d.button.is_pressed
        wait_until(lambda: not d.buzzer.state.sounding and not d.sounder.state)
        d.release()
        assert d.buzzer.silenced_s == 0
        d.alarm()
        assert levels(d.sounder) == [False, True, False, True], "another alarm is heard"


def test_a_long_press_silences_and_the_next_press_ends_that(factory: MockFactory) -> None:
    with desk(factory, hold_s=0.02) as d:
        d.alarm()
        d.press()
        wait_until(lambda: d.buzzer.silenced_s == 600 and not d.sounder.state)
        d.release()
        assert d.buzzer.health() == ("degraded", "silenced for 600 s by the button")
        assert d.buzzer.sound("critical")
        d.press()
        assert d.buzzer.silenced_s == 0
        assert d.buzzer.health() == ("ok", "")
        d.release()
        d.alarm()
        assert levels(d.sounder) == [False, True, False, True]


def test_the_press_that_ends_a_silence_does_nothing_else_however_long(factory: MockFactory) -> None:
    with desk(factory, hold_s=0.02) as d:
        d.buzzer.silence(60.0)
        d.press()
        assert d.buzzer.silenced_s == 0
        wait_until(lambda: d.button._button.is_held)
        d.release()
        assert d.buzzer.silenced_s == 0


def test_a_silence_of_a_stuck_button_ends_by_itself(factory: MockFactory) -> None:
    with desk(factory, hold_s=0.02) as d:
        d.press()
        wait_until(lambda: d.buzzer.silenced_s == 600)
        d.now += 600
        assert d.buzzer.silenced_s == 0
        d.alarm()


def test_a_button_that_is_down_at_the_start_does_nothing(factory: MockFactory) -> None:
    buzzer = Buzzer(Gpio(), pin_factory=factory)
    pulled_wrongly = config.SilenceButton(pin=23, pull_up=False)

    class Stuck(MockPin):  # type: ignore[misc]
        def _set_pull(self, value: str) -> None:
            self._pull = value  # what is wired to it is stronger

    stuck = MockFactory(pin_class=Stuck)
    stuck.pin(23).drive_high()
    button = SilenceButton(pulled_wrongly, buzzer, pin_factory=stuck, hold_s=0.01)
    assert button.is_pressed
    assert buzzer.silenced_s == 0
    button.close()
    buzzer.close()
    stuck.close()


# The panel


def everything(**settings: Any) -> Gpio:
    return Gpio(
        **{
            "factory": "simulated",
            "status_led": config.StatusLed(pin=27),
            "silence_button": config.SilenceButton(pin=22),
            **settings,
        }
    )


def test_all_parts_on_one_factory_and_where_they_are() -> None:
    panel = open_panel(everything(required=True))
    assert None not in (panel.buzzer, panel.led, panel.button)
    assert panel.places == {
        "buzzer": "GPIO17 (pin 11 of the header)",
        "status LED": "GPIO27 (pin 13 of the header)",
        "silence button": "GPIO22 (pin 15 of the header)",
    }
    assert (panel.missing, panel.without) == ({}, "")
    panel.close()
    panel.close()


def test_parts_that_are_not_wanted_are_not_missed() -> None:
    panel = open_panel(Gpio(factory="simulated", required=True))
    assert panel.buzzer is not None
    assert (panel.led, panel.button, panel.missing) == (None, None, {})
    panel.close()


def test_an_injected_factory_is_used_and_left_open(factory: MockFactory) -> None:
    panel = open_panel(Gpio(factory="none", buzzer_pin=22), pin_factory=factory)
    assert factory.pin(22).function == "output"
    panel.close()
    assert factory.pins, "a closed factory has forgotten its pins"


def test_without_pins_each_part_is_told_once_and_it_runs_on(caplog: pytest.LogCaptureFixture) -> None:
    panel = open_panel(everything(factory="none"))
    assert (panel.buzzer, panel.led, panel.button) == (None, None, None)
    assert panel.without == "gpio.factory is none"
    panel.close()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, f"no {name}: gpio.factory is none") for name in ("buzzer", "status LED", "silence button")
    ]


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"factory": "none"}, "no buzzer, and gpio.required is true: gpio.factory is none"),
        (
            {"buzzer_pin": 53},
            "no buzzer, and gpio.required is true: gpio.buzzer_pin: GPIO 53 is no pin of this board: ",
        ),
        (
            {"status_led": config.StatusLed(pin="lamp")},
            "no status LED, and gpio.required is true: gpio.status_led.pin: GPIO lamp is no pin of this board: ",
        ),
        (
            {"silence_button": config.SilenceButton(pin=99)},
            "no silence button, and gpio.required is true: gpio.silence_button.pin: GPIO 99 is no pin of this board: ",
        ),
    ],
)
def test_a_part_that_is_missing_is_named_with_its_key(
    settings: dict[str, Any], line: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(PinError) as raised:
        open_panel(everything(required=True, **settings))
    assert str(raised.value).startswith(line)
    open_panel(everything(**settings)).close()
    assert line.replace(", and gpio.required is true", "") in caplog.text


def test_a_button_without_a_buzzer_is_told_so(caplog: pytest.LogCaptureFixture) -> None:
    panel = open_panel(everything(buzzer_pin=53))
    assert panel.led is not None
    assert panel.button is None
    panel.close()
    assert "no silence button: gpio.silence_button.pin: there is no buzzer that it could silence" in caplog.text


def test_a_busy_pin_is_named_with_its_key(factory: MockFactory) -> None:
    other = StatusLed(config.StatusLed(pin=17), pin_factory=factory)
    panel = Panel(everything(), pin_factory=factory)
    assert str(panel.missing["buzzer"]).startswith("gpio.buzzer_pin: GPIO 17 is in use: ")
    panel.close()
    other.close()


@pytest.mark.parametrize("name", ["GPIO17", "BOARD11", "J8:11"])
def test_one_pin_under_two_names_is_an_error_of_the_settings(name: str) -> None:
    with pytest.raises(ConfigError) as raised:
        open_panel(everything(status_led=config.StatusLed(pin=name)))
    assert str(raised.value) == (
        f"gpio.buzzer_pin (17) and gpio.status_led.pin ({name}) are both GPIO17: give each a pin of its own"
    )


def test_its_own_factory_is_closed_when_a_part_is_required_and_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    factory = MockFactory()
    factory.pin(4)
    monkeypatch.setattr("edge.gpio.panel.open_factory", lambda *_, **__: factory)
    with pytest.raises(PinError):
        open_panel(Gpio(factory="simulated", buzzer_pin=53, required=True))
    assert not factory.pins, "a closed factory has forgotten its pins"


def test_the_simulated_buzzer_sounds_and_the_panels_close_turns_it_off() -> None:
    panel = open_panel(everything(patterns=LONG))
    assert panel.buzzer is not None
    panel.buzzer.start()
    panel.buzzer.sound("critical")
    wait_until(lambda: panel.buzzer and panel.buzzer.state.sounding)
    panel.close()
    assert not panel.buzzer.alive
    assert not panel.buzzer.state.sounding


@contextmanager
def started(settings: Gpio, factory: MockFactory | None = None) -> Iterator[Panel]:
    panel = Panel(settings, pin_factory=factory)
    try:
        for part in panel.threads.values():
            part.start()
        yield panel
    finally:
        panel.close()


def test_a_panel_is_well_when_all_its_parts_are() -> None:
    with started(everything()) as panel:
        assert list(panel.threads) == ["buzzer", "status-led"]
        assert panel.health() == ("ok", "")
    with started(Gpio(factory="none")) as panel:
        assert panel.health() == ("off", "there is no buzzer: gpio.factory is none")


def test_a_buzzer_that_should_be_there_has_failed_and_not_just_off() -> None:
    with started(everything(buzzer_pin=53)) as panel:
        state, reason = panel.health()
        assert state == "failed"
        assert reason.startswith("no buzzer: gpio.buzzer_pin: GPIO 53 is no pin of this board: ")


def test_without_a_light_or_a_button_that_are_wanted_it_is_degraded() -> None:
    with started(everything(status_led=config.StatusLed(pin="lamp"))) as panel:
        assert panel.buzzer is not None
        state, reason = panel.health()
        assert state == "degraded"
        assert reason.startswith("no status LED: gpio.status_led.pin: GPIO lamp is no pin of this board: ")
        panel.buzzer.silence(60)
        assert panel.health() == ("degraded", f"{reason}; silenced for 60 s by a command")
        panel.buzzer.stop()
        assert panel.buzzer.join(5.0)
        assert panel.health() == ("failed", f"{reason}; the buzzer's thread does not run")


def test_a_light_that_ended_is_told_since_it_may_still_say_that_all_is_well() -> None:
    factory = MockFactory(pin_class=DeadPin)
    with started(everything(), factory) as panel:
        assert panel.led is not None
        factory.pin(27).dead = True
        panel.led.show("ok")
        assert panel.led.join(5.0)
        assert panel.health() == ("degraded", "the status LED's thread does not run")
        factory.pin(27).dead = False
    factory.close()


def test_a_button_whose_pin_vanished_is_told() -> None:
    factory = MockFactory(pin_class=DeadPin)
    with started(everything(), factory) as panel:
        assert panel.health() == ("ok", "")
        factory.pin(22).dead = True
        assert panel.health() == (
            "degraded",
            "no silence button: GPIO 22 cannot be used: [Errno 19] No such device",
        )
        factory.pin(22).dead = False
    factory.close()


# preact-edge check


def checked(gpio: Gpio, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    code = check._report("gpio", dict(check.PROBES)["gpio"], config.Config(gpio=gpio))
    return code, capsys.readouterr().out.splitlines()


def test_check_tells_each_parts_pin_and_what_turns_it_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(everything(active_high=False), capsys) == (
        0,
        [
            "ok       gpio     buzzer on GPIO17 (pin 11 of the header), on when it is low",
            "ok       gpio     status LED on GPIO27 (pin 13 of the header), on when it is high",
            "ok       gpio     silence button on GPIO22 (pin 15 of the header), pressed when it is low",
        ],
    )


def test_check_names_every_part_that_cannot_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = checked(everything(status_led=config.StatusLed(pin="lamp"), buzzer_pin=53), capsys)
    assert code == 1
    assert [line[:70] for line in lines] == [
        "problem  gpio     no buzzer: gpio.buzzer_pin: GPIO 53 is no pin of thi",
        "problem  gpio     no status LED: gpio.status_led.pin: GPIO lamp is no ",
        "problem  gpio     no silence button: gpio.silence_button.pin: there is",
    ]


def test_check_notes_a_button_that_is_pressed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SilenceButton, "is_pressed", True)
    code, lines = checked(everything(), capsys)
    assert code == 0
    assert lines[-1] == (
        "note     gpio     the silence button is pressed; if nobody does, set gpio.silence_button.pull_up = false"
    )


def test_check_refuses_one_pin_for_two_things(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = checked(everything(status_led=config.StatusLed(pin="BOARD11")), capsys)
    assert (code, len(lines)) == (2, 1)
    assert "gpio.buzzer_pin (17) and gpio.status_led.pin (BOARD11) are both GPIO17" in lines[0]


def test_check_without_pins_is_no_problem_unless_they_are_required(capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(Gpio(factory="none"), capsys) == (
        0,
        ["ok       gpio     no buzzer: gpio.factory is none; alerts make no sound"],
    )
    assert checked(Gpio(factory="none", required=True), capsys) == (
        1,
        ["problem  gpio     no buzzer, and gpio.required is true: gpio.factory is none"],
    )
