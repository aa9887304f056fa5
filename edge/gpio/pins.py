"""GPIO pins: the pin factory is chosen here, and what it raises is put in plain words.

gpiozero picks a factory by itself where none is given, and a default that fails is only a warning there; so one is
always chosen by name. gpiozero, lgpio and gpiod are imported when a factory is asked for, not before.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from edge.errors import PinError
from edge.gpio.chips import chip_advice

if TYPE_CHECKING:
    from gpiozero import OutputDevice
    from gpiozero.pins import Factory

FactoryName: TypeAlias = Literal["auto", "lgpio", "gpiod", "simulated", "none"]
BOARD_MODEL = Path("/proc/device-tree/model")
MEMORY = "/dev/shm"  # noqa: S108 - has room when the disk is full or read-only; a folder of our own is made in it
SIMULATED_BOARD = "a02082"  # gpiozero's revision code of a Raspberry Pi 3B: it has the 40-pin header of all later ones


def without_pins(name: FactoryName, *, chip: str = "", board_model: Path = BOARD_MODEL) -> str:
    """Why no pins are used with the settings ``name`` and ``chip`` on this machine; empty when they are."""
    if name == "none":
        return "gpio.factory is none"
    if name == "auto" and not chip and not _is_raspberry_pi(board_model):
        return "gpio.factory is auto, this machine is no Raspberry Pi, and gpio.chip names no chip"
    return ""


def open_factory(name: FactoryName, *, chip: str = "", board_model: Path = BOARD_MODEL) -> Factory | None:
    """The pin factory of the setting ``name``; None where it wants no pins here (``without_pins`` says why).

    ``auto`` is lgpio on a Raspberry Pi, and elsewhere gpiod with ``chip``, which is the label or the path of a GPIO
    chip and of use to gpiod alone. The caller closes the factory. Raises PinError when there should be pins and they
    cannot be used.
    """
    if without_pins(name, chip=chip, board_model=board_model):
        return None
    if name == "simulated":
        return _simulated()
    if name == "gpiod" or (name == "auto" and not _is_raspberry_pi(board_model)):
        return _gpiod(chip)
    return _lgpio()


def open_output(factory: Factory, pin: int | str, *, active_high: bool) -> OutputDevice:
    """``pin`` (BCM number, or a line's offset or name) as an output that is off; raises PinError."""
    from gpiozero import OutputDevice

    with pin_errors(pin):
        return OutputDevice(pin, active_high=active_high, initial_value=False, pin_factory=factory)


@contextmanager
def pin_errors(pin: int | str) -> Iterator[None]:
    """Turn what gpiozero, lgpio and gpiod raise inside the block into a PinError that names ``pin``."""
    from gpiozero import GPIOPinInUse, GPIOZeroError, PinInvalidPin

    try:
        yield
    except PinError:
        raise
    except PinInvalidPin as error:
        raise PinError(f"GPIO {pin} is no pin of this board: choose a BCM number from its header") from error
    except (GPIOZeroError, OSError, *_lgpio_error()) as error:
        if isinstance(error, GPIOPinInUse) or "busy" in str(error):
            holder = f" ({_words(error)})" if str(error).startswith("held by") else ""
            advice = "stop what uses it (gpioinfo names it) or choose another"
            raise PinError(f"GPIO {pin} is in use{holder}: {advice}") from error
        raise PinError(f"GPIO {pin} cannot be used: {_words(error)}") from error


def _is_raspberry_pi(board_model: Path) -> bool:
    try:
        return "Raspberry Pi" in board_model.read_text(errors="replace")
    except OSError:
        return False


def _simulated() -> Factory:
    from gpiozero.pins.mock import MockFactory, MockPin

    return MockFactory(SIMULATED_BOARD, MockPin)  # both named, else GPIOZERO_MOCK_* variables would choose


def _gpiod(chip: str) -> Factory:
    if not chip:
        raise PinError("gpio.factory is gpiod, and gpio.chip names no chip: set it to a label that `gpiodetect` shows")
    try:
        from edge.gpio.gpiod_pins import GpiodFactory
    except ImportError as error:
        raise PinError("the Python package gpiod is missing or too old: pip install 'gpiod>=2.3,<3'") from error
    return GpiodFactory(chip)


def _lgpio() -> Factory:
    _import_lgpio()
    from gpiozero import GPIOZeroError, PinUnknownPi
    from gpiozero.pins.lgpio import LGPIOFactory

    try:
        return LGPIOFactory()
    except PinUnknownPi as error:
        raise PinError(
            "gpio.factory is lgpio, but this machine is no Raspberry Pi: set it to gpiod, simulated or none"
        ) from error
    except (GPIOZeroError, OSError, *_lgpio_error()) as error:
        raise PinError(f"the GPIO chip cannot be opened ({_words(error)}): {chip_advice()}") from error


def _import_lgpio() -> None:
    """Import lgpio in a folder that it may litter.

    Importing it makes a pipe, `.lgd-nfy0`, in the folder named by LG_WD, or else in the working directory, where it
    fails without the right to write; and it changes the process's working directory to LG_WD. It keeps the pipe open
    and does not look for it again, so the folder can go at once.
    """
    if hasattr(sys.modules.get("lgpio"), "gpiochip_open"):
        return
    here, wanted = os.getcwd(), os.environ.get("LG_WD")
    try:
        memory = MEMORY if os.access(MEMORY, os.W_OK) else None
        with tempfile.TemporaryDirectory(prefix="preact-edge-lgpio-", dir=memory) as folder:
            os.environ["LG_WD"] = folder
            try:
                import lgpio

                lgpio.gpiochip_open  # noqa: B018 - on Python 3.13 PyPI's lgpio is empty
            finally:
                os.chdir(here)
    except (ImportError, AttributeError) as error:
        raise PinError(f"the Python package lgpio is missing: {_lgpio_advice()}") from error
    except OSError as error:
        raise PinError(f"lgpio cannot start ({_words(error)}): it needs a temporary folder to write to") from error
    finally:
        os.environ.pop("LG_WD", None)
        if wanted is not None:
            os.environ["LG_WD"] = wanted


def _lgpio_advice() -> str:
    if sys.version_info >= (3, 13):
        return "sudo apt install python3-lgpio, and use a venv made with --system-site-packages"
    return "pip install lgpio, or sudo apt install python3-lgpio in a venv made with --system-site-packages"


def _lgpio_error() -> tuple[type[Exception], ...]:
    """lgpio's own exception, which derives no other, once lgpio is imported."""
    error = getattr(sys.modules.get("lgpio"), "error", None)
    return () if error is None else (error,)


def _words(error: BaseException) -> str:
    return str(error).strip("'\"") or type(error).__name__
