"""GPIO chips of this machine, as the kernel's character devices: which there are, and which one a setting means."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import PinError

if TYPE_CHECKING:
    from gpiod import Chip

DEVICES = Path("/dev")


def open_chip(name: str, *, devices: Path = DEVICES) -> Chip:
    """The chip with the label ``name``, or at the path ``name`` if it holds a slash; the caller closes it.

    A label stays the same where the numbers of /dev/gpiochip* change with the order of drivers. Raises PinError, whose
    line lists the chips there are.
    """
    import gpiod

    if "/" in name:
        return _open(Path(name))
    chips = {path: _label(path) for path in sorted(devices.glob("gpiochip*"))}
    found = [path for path, label in chips.items() if label == name and not path.is_symlink()]
    if len(found) > 1:
        raise PinError(f"gpio.chip {name} is the label of {_listed(found)}: set it to the path of one")
    if found:
        return gpiod.Chip(str(found[0]))
    if None in chips.values() or not chips:
        raise PinError(f"gpio.chip {name} is not found: {chip_advice(devices)}")
    there = ", ".join(f"{label or 'no label'} ({path})" for path, label in chips.items())
    raise PinError(f"gpio.chip {name} is no chip of this machine: set it to the label or path of one, {there}")


def chip_advice(devices: Path = DEVICES) -> str:
    """What to do when no chip can be opened."""
    chips = sorted(devices.glob("gpiochip*"))
    if not chips:
        return f"there is no {devices}/gpiochip*; has the kernel a GPIO driver, or the container the device?"
    closed = [chip for chip in chips if not os.access(chip, os.R_OK | os.W_OK)]
    if closed:
        return f"no right to {_listed(closed)}; add the user to the group gpio and log in again"
    return "try `gpioinfo` to see whether the kernel can"


def _open(path: Path) -> Chip:
    import gpiod

    try:
        return gpiod.Chip(str(path))
    except PermissionError as error:
        advice = f"no right to {path}; add the user to the group gpio and log in again"
        raise PinError(f"gpio.chip {path} cannot be opened: {advice}") from error
    except OSError as error:
        raise PinError(f"gpio.chip {path} is no GPIO chip ({error.strerror}): `gpiodetect` lists them") from error


def _label(path: Path) -> str | None:
    """A chip's label; None where it cannot be opened."""
    try:
        with _open(path) as chip:
            return chip.get_info().label
    except PinError:
        return None


def _listed(paths: list[Path]) -> str:
    return ", ".join(map(str, paths))
