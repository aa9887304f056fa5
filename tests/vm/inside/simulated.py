"""The other end of the lines: what a meter and a finger do on a board, files in sysfs do to gpio-sim."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gpiod


class SimulatedLine:
    """One line, as seen from outside: ``level`` is what is on it now; ``pull`` is what a resistor or a finger does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def level(self) -> int:
        return int((self._folder / "value").read_text())

    def pull(self, level: int) -> None:
        """Put a level on the line; an output wins over it."""
        (self._folder / "pull").write_text("pull-up" if level else "pull-down")


@dataclass(frozen=True)
class SimulatedChip:
    """``names`` are those of its lines by offset; a line without one is not in it."""

    label: str
    names: dict[int, str]
    path: Path
    lines: Path

    @classmethod
    def from_environment(cls) -> SimulatedChip:
        label = os.environ["GPIO_SIM_CHIP"]
        named = (entry.split(":") for entry in os.environ["GPIO_SIM_LINES"].split())
        path = next(path for path in sorted(Path("/dev").glob("gpiochip*")) if label_of(path) == label)
        (lines,) = Path("/sys/devices/platform").glob(f"gpio-sim.*/{path.name}")
        return cls(label, {int(offset): name for offset, name in named}, path, lines)

    def offset(self, id: int | str) -> int:
        return id if isinstance(id, int) else next(offset for offset, name in self.names.items() if name == id)

    def line(self, id: int | str) -> SimulatedLine:
        return SimulatedLine(self.lines / f"sim_gpio{self.offset(id)}")

    def reset(self) -> None:
        for folder in self.lines.glob("sim_gpio*"):
            SimulatedLine(folder).pull(0)

    def held(self) -> dict[int, str]:
        """The lines that a program holds, each with the name it gave itself."""
        with gpiod.Chip(str(self.path)) as chip:
            infos = [chip.get_line_info(offset) for offset in range(chip.get_info().num_lines)]
        return {info.offset: info.consumer for info in infos if info.used}


def pin_threads() -> list[str]:
    """The names of the threads that wait for edges."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("pin ")]


def label_of(path: Path) -> str:
    with gpiod.Chip(str(path)) as chip:
        return chip.get_info().label


@contextmanager
def simulated(name: str, label: str, lines: int) -> Iterator[Path]:
    """One more chip, at the path given, while the block lasts."""
    device = Path("/sys/kernel/config/gpio-sim") / name
    bank = device / "bank"
    bank.mkdir(parents=True)
    (bank / "num_lines").write_text(str(lines))
    (bank / "label").write_text(label)
    (device / "live").write_text("1")
    try:
        yield Path("/dev") / (bank / "chip_name").read_text().strip()
    finally:
        (device / "live").write_text("0")
        bank.rmdir()
        device.rmdir()
