"""The status LED: a light that says how the device is."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

from edge.config import StatusLed as Settings
from edge.errors import PinError
from edge.gpio.pins import open_output, pin_errors
from edge.workers import Worker, wait_for

if TYPE_CHECKING:
    from gpiozero.pins import Factory

Sign: TypeAlias = Literal["off", "ok", "degraded", "failed"]
SLOW_S = 1.0  # on and then off for so long
FAST_S = 0.125
BLINKS: Mapping[Sign, tuple[tuple[bool, float | None], ...]] = {  # (on, seconds) over and over; None: for ever
    "off": ((False, None),),
    "ok": ((True, None),),
    "degraded": ((True, SLOW_S), (False, SLOW_S)),
    "failed": ((True, FAST_S), (False, FAST_S)),
}
CLOSE_TIMEOUT_S = 1.0

logger = logging.getLogger(__name__)


def sign_of(components: Mapping[str, Mapping[str, str]]) -> Sign:
    """What to show of the components' states (protocol.md, health): the worst of them counts.

    A blind camera is ``failed``. One that is off is as good as none, but for the camera, which has given nothing yet.
    """
    states = {each["state"] for each in components.values()}
    if "failed" in states:
        return "failed"
    return "degraded" if "degraded" in states or components.get("camera", {}).get("state") == "off" else "ok"


class StatusLed:
    """Shows one sign at a time on an output pin: on for ok, slow blinking for degraded, fast blinking for failed.

    It is off before start, after stop and at every orderly end of the program, as far as the program runs at all: what
    SIGKILL leaves on, `preact-edge buzzer off` turns off. A pin that fails ends the thread, with a line in the log, and
    not the program. Raises PinError when the pin cannot be used.

    Synchronization: show never blocks and may be called from any thread; start and close belong to the thread that
    built it; only its own thread drives the pin until it has ended.
    """

    def __init__(self, settings: Settings, *, pin_factory: Factory) -> None:
        self._name = settings.pin
        # Guards _sign; the pin is driven without it.
        self._changed = threading.Condition()
        self._sign: Sign = "off"
        self._worker = Worker("status-led", self._run)
        self.workers = (self._worker,)
        self._pin = open_output(pin_factory, settings.pin, active_high=settings.active_high)

    def show(self, sign: Sign) -> None:
        """Show this from now on."""
        with self._changed:
            self._sign = sign
            self._changed.notify_all()

    @property
    def alive(self) -> bool:
        """Whether the thread runs and can show something."""
        return self._worker.alive

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        """Ask the thread to end, with the light off; returns at once."""
        self._worker.stop()
        with self._changed:
            self._changed.notify_all()

    def join(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds; True when the thread has ended (or was never started)."""
        return self._worker.join(timeout)

    def close(self) -> None:
        """Stop, wait shortly, turn the light off and give the pin back; idempotent."""
        self.stop()
        self.join(CLOSE_TIMEOUT_S)
        if self._pin.closed:
            return
        with contextlib.suppress(PinError):  # its thread has logged it
            self._drive(False)
        with contextlib.suppress(PinError), pin_errors(self._name):
            self._pin.close()

    def _run(self, stopping: threading.Event) -> None:
        try:
            while not stopping.is_set():
                sign = self._sign
                for on, seconds in BLINKS[sign]:
                    self._drive(on)
                    if self._is_over(sign, seconds, stopping):
                        break
        finally:
            with contextlib.suppress(PinError):  # off already, or its error is on the way up
                self._drive(False)

    def _is_over(self, sign: Sign, seconds: float | None, stopping: threading.Event) -> bool:
        """Wait ``seconds``; True as soon as there is another sign to show, or none any more."""
        with self._changed:
            return wait_for(self._changed, lambda: stopping.is_set() or self._sign != sign, seconds)

    def _drive(self, on: bool) -> None:
        with pin_errors(self._name):
            self._pin.value = on
