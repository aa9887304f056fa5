"""The simulated chip of the virtual machine, for each test as new."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from gpiozero.pins import Factory

from edge.gpio.gpiod_pins import GpiodFactory
from tests.vm.inside.simulated import SimulatedChip

if "GPIO_SIM_CHIP" not in os.environ:
    collect_ignore_glob = ["test_*"]


@pytest.fixture
def chip() -> Iterator[SimulatedChip]:
    """The chip, nothing pulled; after the test no line may be held any more."""
    chip = SimulatedChip.from_environment()
    chip.reset()
    yield chip
    assert chip.held() == {}


@pytest.fixture
def factory(chip: SimulatedChip) -> Iterator[Factory]:
    factory = GpiodFactory(chip.label)
    yield factory
    factory.close()
