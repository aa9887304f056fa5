"""The program on simulated pins whose levels outlive it: ``python -m tests.filepins FOLDER ARGUMENT...``.

Each pin is a file of FOLDER that is written with what happens to it, a word each: ``out``, ``1``, ``0``, ``in``. As on
a Raspberry Pi, a killed program leaves an output at its level, and another process cannot have a pin that is held.
"""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path
from typing import Any

from gpiozero import GPIOPinInUse
from gpiozero.pins.mock import MockFactory, MockPin

import edge.gpio.pins
from edge.cli import main


def words(folder: Path, pin: int) -> list[str]:
    """All that happened to a pin."""
    file = folder / f"GPIO{pin}"
    return file.read_text().split() if file.exists() else []


class FilePin(MockPin):  # type: ignore[misc]
    folder: Path
    _held: int | None = None
    _driven: bool | None = None

    def __init__(self, factory: Any, info: Any) -> None:
        self._file = self.folder / str(info.name)
        super().__init__(factory, info)

    def _set_function(self, value: str) -> None:
        if value == "output" and self._held is None:
            held = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(held)
                raise GPIOPinInUse("GPIO busy") from error
            self._held = held
            self._write("out")
        super()._set_function(value)
        if value == "input" and self._held is not None:
            self._write("in")
            os.close(self._held)
            self._held = self._driven = None

    def _set_state(self, value: float) -> None:
        if bool(value) != self._driven:
            self._write(str(int(value)))
        self._driven = bool(value)
        super()._set_state(value)

    def _write(self, word: str) -> None:
        assert self._held is not None
        os.write(self._held, f"{word}\n".encode())


if __name__ == "__main__":
    FilePin.folder = Path(sys.argv[1])
    edge.gpio.pins._simulated = lambda: MockFactory(edge.gpio.pins.SIMULATED_BOARD, FilePin)  # type: ignore[assignment]
    sys.exit(main(sys.argv[2:]))
