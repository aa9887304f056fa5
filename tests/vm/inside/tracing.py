"""What programs did to a line, told by the kernel's own trace: nothing is missed, however short it was."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from tests.vm.inside.simulated import SimulatedChip

TRACING = Path("/sys/kernel/tracing")
EVENTS = TRACING / "events" / "gpio"


class Trace:
    """The levels that programs put on one line as an output, oldest first, each with its time on the monotonic clock.

    A level that was there already is one too. Becoming an input is not in it.
    """

    def __init__(self, number: int) -> None:
        self._found = re.compile(rf" (\d+\.\d+): gpio_value: {number} set (\d)$", re.MULTILINE)

    @property
    def driven(self) -> list[tuple[float, int]]:
        return [(float(when), int(level)) for when, level in self._found.findall((TRACING / "trace").read_text())]

    @property
    def levels(self) -> list[int]:
        return [level for _, level in self.driven]

    @property
    def history(self) -> list[tuple[int, float]]:
        """Each level and the seconds for which it was driven, without the last one, which goes on."""
        changes: list[tuple[float, int]] = []
        for when, level in self.driven:
            if not changes or changes[-1][1] != level:
                changes.append((when, level))
        return [(level, then - when) for (when, level), (then, _) in pairwise(changes)]


@contextmanager
def traced(chip: SimulatedChip, id: int | str) -> Iterator[Trace]:
    """Trace one line from here to the block's end; read the trace before that."""
    (TRACING / "trace_clock").write_text("mono")
    (TRACING / "trace").write_text("")
    (EVENTS / "enable").write_text("1")
    try:
        yield Trace(first_number(chip) + chip.offset(id))
    finally:
        (EVENTS / "enable").write_text("0")


def first_number(chip: SimulatedChip) -> int:
    """The number that the kernel gives to line 0 among those of all chips."""
    chips = Path("/sys/class/gpio").glob("gpiochip*")
    (base,) = [path / "base" for path in chips if (path / "label").read_text().strip() == chip.label]
    return int(base.read_text())
