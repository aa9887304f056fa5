"""A pin as an input: pulls, edges, debouncing, and the thread that tells of them."""

from __future__ import annotations

import gc
import logging
import os
import threading

import pytest
from gpiozero import Button, PinEdgeDetectUnsupported, PinFixedPull, PinInvalidBounce, PinInvalidEdges, PinInvalidPull
from gpiozero.pins import Factory

from tests.support import wait_until
from tests.vm.inside.simulated import SimulatedChip, pin_threads

BOUNCE_S = 1.0  # longer than this machine needs for some writes to sysfs, however slow it is


class Listener:
    """Keeps what a pin tells, as (seconds, level)."""

    def __init__(self) -> None:
        self.told: list[tuple[float, int]] = []

    def hear(self, ticks: float, level: int) -> None:
        self.told.append((ticks, level))

    @property
    def levels(self) -> list[int]:
        return [level for _, level in self.told]


@pytest.mark.parametrize(("pull_up", "idle"), [(True, 1), (False, 0)])
def test_a_button_with_either_pull(chip: SimulatedChip, factory: Factory, pull_up: bool, idle: int) -> None:
    line, seen = chip.line("BUTTON"), []
    line.pull(1 - idle)
    with Button("BUTTON", pull_up=pull_up, pin_factory=factory) as button:
        assert (line.level, button.is_pressed, button.pin.pull) == (idle, False, "up" if pull_up else "down")
        button.when_pressed = lambda: seen.append("pressed")
        button.when_released = lambda: seen.append("released")
        for done, level in enumerate((1 - idle, idle, 1 - idle), 1):
            line.pull(level)
            wait_until(lambda done=done: len(seen) == done)
        assert seen == ["pressed", "released", "pressed"]
        assert button.is_pressed
    assert pin_threads() == []


def test_what_bounces_is_one_press(chip: SimulatedChip, factory: Factory) -> None:
    line, seen = chip.line("BUTTON"), []
    with Button("BUTTON", pull_up=True, bounce_time=BOUNCE_S, pin_factory=factory) as button:
        button.when_pressed = lambda: seen.append("pressed")
        button.when_released = lambda: seen.append("released")
        for level in (0, 1, 0, 1, 0, 1, 0):
            line.pull(level)
        wait_until(lambda: seen)
        assert seen == ["pressed"]
        for level in (1, 0, 1, 0, 1):
            line.pull(level)
        wait_until(lambda: len(seen) > 1)
        assert seen == ["pressed", "released"]


def test_a_spike_is_no_press(chip: SimulatedChip, factory: Factory) -> None:
    line, seen = chip.line("BUTTON"), []
    with Button("BUTTON", pull_up=True, bounce_time=BOUNCE_S, pin_factory=factory) as button:
        for event in ("pressed", "released"):
            setattr(button, f"when_{event}", lambda event=event: seen.append(event))
        line.pull(0)
        line.pull(1)
        wait_until(lambda: button.inactive_time is not None and button.inactive_time > 1.5 * BOUNCE_S)
        assert seen == []
        line.pull(0)
        wait_until(lambda: seen)
        assert seen == ["pressed"]


@pytest.mark.parametrize(("edges", "levels"), [("both", [1, 0, 1, 0]), ("rising", [1, 1]), ("falling", [0, 0])])
def test_only_the_edges_asked_for(chip: SimulatedChip, factory: Factory, edges: str, levels: list[int]) -> None:
    pin, line, listener = factory.pin("BUTTON"), chip.line("BUTTON"), Listener()
    pin.input_with_pull("down")
    pin.edges = edges
    pin.when_changed = listener.hear
    began = factory.ticks()
    for done, level in enumerate((1, 0, 1, 0), 1):
        line.pull(level)  # and wait: of edges that come faster than it can look, the kernel makes one
        wait_until(lambda done=done: listener.levels == [level for level in (1, 0, 1, 0)[:done] if level in levels])
    times = [began, *(ticks for ticks, _ in listener.told), factory.ticks()]
    assert times == sorted(times), "the kernel's clock is that of the factory's ticks"


def test_edges_can_be_changed_and_turned_off_while_somebody_listens(chip: SimulatedChip, factory: Factory) -> None:
    pin, line, listener = factory.pin("BUTTON"), chip.line("BUTTON"), Listener()
    pin.input_with_pull("floating")  # the simulator takes a pull anew with every change, as if somebody let go
    pin.when_changed = listener.hear
    line.pull(1)
    wait_until(lambda: listener.levels == [1])
    pin.edges = "none"
    line.pull(0)
    pin.edges = "rising"
    line.pull(1)
    wait_until(lambda: listener.levels == [1, 1])
    pin.when_changed = None
    assert pin.when_changed is None
    assert pin_threads() == []
    line.pull(0)
    pin.edges = "both"
    pin.when_changed = listener.hear
    line.pull(1)
    wait_until(lambda: listener.levels == [1, 1, 1])


def test_an_output_tells_no_edges_and_cannot_be_pulled(factory: Factory) -> None:
    pin, listener = factory.pin("BUTTON"), Listener()
    pin.when_changed = listener.hear
    pin.output_with_state(0)
    assert (pin.when_changed, pin_threads()) == (None, [])
    with pytest.raises(PinEdgeDetectUnsupported):
        pin.when_changed = listener.hear
    with pytest.raises(PinFixedPull):
        pin.pull = "up"


def test_what_cannot_be_set_changes_nothing(chip: SimulatedChip, factory: Factory) -> None:
    pin = factory.pin("BUTTON")
    pin.input_with_pull("up")
    for error, attribute, value in (
        (PinInvalidPull, "pull", "sideways"),
        (PinInvalidEdges, "edges", "sharp"),
        (PinInvalidBounce, "bounce", -0.1),
        (PinInvalidBounce, "bounce", 61.0),
    ):
        with pytest.raises(error):
            setattr(pin, attribute, value)
    assert (pin.pull, pin.edges, pin.bounce, chip.line("BUTTON").level) == ("up", "both", None, 1)


def test_a_listener_that_fails_is_logged_and_told_the_next_edge(
    chip: SimulatedChip, factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    line, seen = chip.line("BUTTON"), []

    def fail() -> None:
        seen.append("pressed")
        raise OSError("the siren is on fire")

    with Button("BUTTON", pull_up=False, pin_factory=factory) as button, caplog.at_level(logging.ERROR):
        button.when_pressed = fail
        button.when_released = lambda: seen.append("released")
        for done, level in enumerate((1, 0, 1), 1):
            line.pull(level)
            wait_until(lambda done=done: len(seen) == done)
    assert seen == ["pressed", "released", "pressed"]
    assert [record.getMessage() for record in caplog.records] == [
        "pin BUTTON: its listener failed, and hears of the next edge all the same"
    ] * 2


def test_a_listener_may_close_its_own_pin(chip: SimulatedChip, factory: Factory) -> None:
    button = Button("BUTTON", pull_up=False, pin_factory=factory)
    button.when_pressed = button.close
    chip.line("BUTTON").pull(1)
    wait_until(lambda: button.closed and not pin_threads())
    assert chip.held() == {}


def test_a_device_that_nobody_keeps_ends(chip: SimulatedChip, factory: Factory) -> None:
    Button("BUTTON", pull_up=False, pin_factory=factory)
    gc.collect()
    assert (chip.held(), pin_threads()) == ({}, [])


def test_of_more_edges_than_the_kernel_keeps_the_last_is_told(chip: SimulatedChip, factory: Factory) -> None:
    pin, line, listener, free = factory.pin("BUTTON"), chip.line("BUTTON"), Listener(), threading.Event()

    def hear(ticks: float, level: int) -> None:
        listener.hear(ticks, level)
        free.wait(30)

    pin.input_with_pull("down")
    pin.when_changed = hear
    line.pull(1)
    wait_until(lambda: listener.told)
    for _ in range(50):
        line.pull(0)
        line.pull(1)
    last = factory.ticks()
    line.pull(0)
    free.set()
    wait_until(lambda: listener.told[-1][0] > last)
    assert listener.levels[-1] == 0
    assert len(listener.told) <= 1 + 16


def test_nothing_is_left_open(chip: SimulatedChip, factory: Factory) -> None:
    def open_and_close() -> None:
        with Button("BUTTON", pull_up=True, bounce_time=0.01, pin_factory=factory) as button:
            button.when_pressed = lambda: None

    open_and_close()
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(10):
        open_and_close()
    assert set(os.listdir("/proc/self/fd")) == before
    assert (chip.held(), pin_threads()) == ({}, [])
