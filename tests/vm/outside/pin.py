"""The buzzer's pin: what is on it, and by the kernel's own trace what programs did to it."""

from __future__ import annotations

import re

from tests.vm.outside.board import Board

_TRACING = "/sys/kernel/tracing"
_VALUE = "/sys/devices/platform/gpio-sim.*/gpiochip*/sim_gpio17/value"
_LABEL, _OFFSET = "tegra234-gpio", 17
_KILLED = "the program was killed"


class Pin:
    """The level lasts when a program lets the pin go, as on a Raspberry Pi: the simulator was built so."""

    def __init__(self, board: Board) -> None:
        self._board = board
        first = board.run(f"cat $(dirname $(grep -lx {_LABEL} /sys/class/gpio/gpiochip*/label))/base")
        self._number = int(first) + _OFFSET

    def trace(self) -> None:
        """From now on the kernel writes down what programs put on the pin."""
        self._board.run(f"cd {_TRACING}; echo mono >trace_clock; echo >trace; echo 1 >events/gpio/enable")

    @property
    def driven(self) -> list[tuple[float, int]]:
        """Levels that programs put on the pin since ``trace()``, each with its time on the monotonic clock."""
        return self._levels(self._board.run(f"cat {_TRACING}/trace"))

    def kill_while_high(self, process: int) -> int:
        """Kill a process as soon as the pin is high; the level right after that."""
        wait = f"until [ $(cat {_VALUE}) = 1 ]; do sleep 0.02; done"
        mark = f"echo {_KILLED} >{_TRACING}/trace_marker"
        return int(self._board.run(f"{wait}; kill -9 {process}; {mark}; cat {_VALUE}", timeout=90))

    @property
    def driven_after_the_kill(self) -> list[tuple[float, int]]:
        _, found, after = self._board.run(f"cat {_TRACING}/trace").partition(_KILLED)
        assert found, "the kernel's trace does not tell of the kill"
        return self._levels(after)

    def _levels(self, trace: str) -> list[tuple[float, int]]:
        found = re.findall(rf" (\d+\.\d+): gpio_value: {self._number} set (\d)$", trace, re.MULTILINE)
        return [(float(when), int(level)) for when, level in found]
