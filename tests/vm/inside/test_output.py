"""A pin as an output, level by level on a kernel's line."""

from __future__ import annotations

import pytest
from gpiozero import LED, Buzzer, DeviceClosed, OutputDevice, PinInvalidFunction, PinInvalidState, PinSetInput
from gpiozero.pins import Factory

from tests.support import wait_until
from tests.vm.inside.simulated import SimulatedChip
from tests.vm.inside.tracing import traced


@pytest.mark.parametrize("name", [17, "17", "BUZZER"])
def test_each_level_is_on_the_line(chip: SimulatedChip, factory: Factory, name: int | str) -> None:
    line, output = chip.line("BUZZER"), OutputDevice(name, pin_factory=factory)
    assert line.level == 0
    for level in (1, 0, 1, 1, 0):
        output.value = level
        assert (line.level, output.value, output.pin.state) == (level, level, level)
    output.close()


def test_active_low_is_off_at_a_high_level(chip: SimulatedChip, factory: Factory) -> None:
    line = chip.line("BUZZER")
    line.pull(1)  # the resistor that keeps it off before and after
    output = OutputDevice("BUZZER", active_high=False, pin_factory=factory)
    assert (line.level, output.value) == (1, 0)
    output.on()
    assert (line.level, output.value) == (0, 1)
    output.close()
    assert line.level == 1


def test_a_first_level_that_is_on(chip: SimulatedChip, factory: Factory) -> None:
    output = OutputDevice("BUZZER", initial_value=True, pin_factory=factory)
    assert chip.line("BUZZER").level == 1
    output.close()


def test_left_as_it_is_found(chip: SimulatedChip, factory: Factory) -> None:
    chip.line("BUZZER").pull(1)
    output = OutputDevice("BUZZER", initial_value=None, pin_factory=factory)
    chip.line("BUZZER").pull(0)
    assert (output.pin.function, chip.line("BUZZER").level) == ("output", 1)
    output.close()


def test_close_turns_the_line_off_and_gives_it_back(chip: SimulatedChip, factory: Factory) -> None:
    output = OutputDevice("BUZZER", initial_value=True, pin_factory=factory)
    pin = output.pin
    assert chip.held() == {17: "preact-edge"}
    output.close()
    assert chip.held() == {}
    assert chip.line("BUZZER").level == 0
    pin.close()
    with pytest.raises(DeviceClosed):
        pin.state = 1
    assert chip.line("BUZZER").level == 0


def test_a_closed_pin_can_be_taken_again(chip: SimulatedChip, factory: Factory) -> None:
    first = OutputDevice("BUZZER", pin_factory=factory)
    assert factory.pin(17) is first.pin
    kept = first.pin
    first.close()
    second = OutputDevice("BUZZER", initial_value=True, pin_factory=factory)
    kept.close()  # what is left of the first one must not touch the second
    assert chip.line("BUZZER").level == 1
    second.close()


@pytest.mark.parametrize("active_high", [True, False])
def test_nothing_is_driven_that_nobody_asked_for(chip: SimulatedChip, factory: Factory, active_high: bool) -> None:
    """No blip when a pin is opened or closed: the kernel's trace has what the eye and a slow reader miss."""
    on = int(active_high)
    with traced(chip, "BUZZER") as trace:
        output = OutputDevice("BUZZER", active_high=active_high, pin_factory=factory)
        output.on()
        output.off()
        output.on()
        output.close()
        assert trace.levels == [1 - on, on, 1 - on, on]
        times = [when for when, _ in trace.driven]
        assert times == sorted(times)
        assert times[-1] <= factory.ticks()


def test_closing_the_factory_closes_its_pins(chip: SimulatedChip, factory: Factory) -> None:
    OutputDevice("BUZZER", initial_value=True, pin_factory=factory)
    LED("LED", pin_factory=factory)
    factory.close()
    assert (chip.held(), chip.line("BUZZER").level) == ({}, 0)


def test_what_gpiozero_asks_of_a_pin(factory: Factory) -> None:
    pin = factory.pin("BUZZER")
    assert (pin.function, pin.pull, pin.frequency, pin.bounce, pin.edges) == ("input", "floating", None, None, "both")
    with pytest.raises(PinSetInput):
        pin.state = 1
    with pytest.raises(PinInvalidFunction):
        pin.function = "alt5"
    pin.output_with_state(1)
    assert (pin.function, pin.state) == ("output", 1)
    with pytest.raises(PinInvalidState):
        pin.state = 0.5
    assert pin.state == 1
    pin.function = "input"
    pin.pull = "down"
    assert (pin.function, pin.pull, pin.state) == ("input", "down", 0)


def test_gpiozeros_buzzer_and_led_do_what_they_do_on_a_raspberry_pi(chip: SimulatedChip, factory: Factory) -> None:
    with Buzzer("BUZZER", pin_factory=factory) as buzzer, LED("LED", pin_factory=factory) as led:
        buzzer.beep(on_time=0.05, off_time=0.05, n=2, background=False)
        assert chip.line("BUZZER").level == 0
        buzzer.on()
        led.toggle()
        assert (chip.line("BUZZER").level, chip.line("LED").level) == (1, 1)
        led.blink(on_time=0.02, off_time=0.02)
        for level in (0, 1, 0):
            wait_until(lambda level=level: chip.line("LED").level == level)
    assert (chip.line("BUZZER").level, chip.line("LED").level) == (0, 0)
