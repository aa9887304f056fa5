"""The silence button."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from edge.config import SilenceButton as Settings
from edge.errors import PinError
from edge.gpio.buzzer import BUTTON, Buzzer
from edge.gpio.pins import pin_errors

if TYPE_CHECKING:
    from gpiozero.pins import Factory

HOLD_S = 2.0  # nobody leans on a button for so long without meaning it

logger = logging.getLogger(__name__)


class SilenceButton:
    """A press acknowledges what sounds; held for ``hold_s`` it silences for ``settings.silence_s``.

    What sounds ends as soon as the button goes down. In a silence, whoever asked for it, a press ends that and does
    nothing else, however long it is. A button that is stuck is one press, and so at most one silence. Raises PinError
    when the pin cannot be used.

    Synchronization: it acts on gpiozero's threads, through methods of the buzzer that never block; close belongs to
    the thread that built it.
    """

    def __init__(self, settings: Settings, buzzer: Buzzer, *, pin_factory: Factory, hold_s: float = HOLD_S) -> None:
        from gpiozero import Button

        self._settings = settings
        self._buzzer = buzzer
        self._ended_silence = False  # by this press
        with pin_errors(settings.pin):
            self._button = Button(
                settings.pin,
                pull_up=settings.pull_up,
                bounce_time=settings.bounce_s or None,
                hold_time=hold_s,
                pin_factory=pin_factory,
            )
        self._button.when_pressed = self._press
        self._button.when_held = self._hold

    @property
    def is_pressed(self) -> bool:
        """Whether it is down now; raises PinError."""
        with pin_errors(self._settings.pin):
            return bool(self._button.is_pressed)

    def close(self) -> None:
        """Give the pin back; idempotent."""
        with contextlib.suppress(PinError), pin_errors(self._settings.pin):
            self._button.close()

    def _press(self) -> None:
        self._ended_silence = self._buzzer.silenced_s > 0
        if self._ended_silence:
            self._buzzer.end_silence()
            logger.info("silence ended by the button")
        else:
            self._buzzer.acknowledge()
            logger.info("acknowledged by the button")

    def _hold(self) -> None:
        if not self._ended_silence:
            self._buzzer.silence(self._settings.silence_s, BUTTON)
            logger.warning("silenced for %.0f s by the button", self._settings.silence_s)
