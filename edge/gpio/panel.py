"""What people hear, see and press at the device: buzzer, status LED, silence button."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from itertools import combinations
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from edge.config import Gpio
from edge.errors import ConfigError, PinError
from edge.gpio.button import SilenceButton
from edge.gpio.buzzer import Buzzer
from edge.gpio.led import StatusLed
from edge.gpio.pins import open_factory, pin_errors, without_pins
from edge.workers import Worker

if TYPE_CHECKING:
    from gpiozero.pins import Factory

NAMES = {"buzzer_pin": "buzzer", "status_led.pin": "status LED", "silence_button.pin": "silence button"}

logger = logging.getLogger(__name__)


class Part(Protocol):
    def close(self) -> None: ...


P = TypeVar("P", bound=Part)


class Panel:
    """The parts that the settings name, on one pin factory: ``pin_factory``, which stays open, or the settings' own.

    A part is None where it is not wanted, and where it cannot be used: then ``missing`` says why, by the part's name.
    ``without`` says why no pins are used on this machine, else it is empty. ``places`` tells of those in use, by name,
    where they are. The other arguments are the buzzer's. Raises ConfigError when two settings name the same pin.

    Synchronization: one thread builds and closes it; health may be called from any; for its parts see there.
    """

    def __init__(
        self,
        settings: Gpio,
        *,
        pin_factory: Factory | None = None,
        quiet: Callable[[], str] = lambda: "",
        on_change: Callable[[bool], None] | None = None,
        on_death: Callable[[Worker], None] | None = None,
    ) -> None:
        self.buzzer: Buzzer | None = None
        self.led: StatusLed | None = None
        self.button: SilenceButton | None = None
        self.missing: dict[str, PinError] = {}
        self.places: dict[str, str] = {}
        self.without = "" if pin_factory else without_pins(settings.factory, chip=settings.chip)
        self._settings = settings
        self._opened = ExitStack()
        try:
            factory = pin_factory or self._open_factory()
        except PinError as error:
            self.missing = {NAMES[key]: error for key, _ in settings.pins}
            return
        try:
            _check_apart(settings, factory)
        except ConfigError:
            self.close()
            raise
        self.buzzer = self._build(
            "buzzer_pin",
            factory,
            lambda: Buzzer(settings, pin_factory=factory, quiet=quiet, on_change=on_change, on_death=on_death),
        )
        self.led = self._build("status_led.pin", factory, lambda: StatusLed(settings.status_led, pin_factory=factory))
        self.button = self._build("silence_button.pin", factory, lambda: self._button(factory))

    @property
    def threads(self) -> Mapping[str, Buzzer | StatusLed]:
        """The parts that are to be started, by the names of their threads."""
        parts = {"buzzer": self.buzzer, "status-led": self.led}
        return {name: part for name, part in parts.items() if part is not None}

    def health(self) -> tuple[Literal["ok", "degraded", "failed", "off"], str]:
        """How all of it is, once it was started, and in words why: a buzzer that should be there and is not has failed;
        without another part, or with one that does not work any more, it is degraded.
        """
        if self.without:
            return "off", f"there is no buzzer: {self.without}"
        faults = [f"no {name}: {error}" for name, error in self.missing.items()]
        if self.led is not None and not self.led.alive:
            faults.append("the status LED's thread does not run")
        if self.button is not None:
            try:
                self.button.is_pressed  # noqa: B018 - a pin that is gone tells no press, and nothing of that either
            except PinError as error:
                faults.append(f"no silence button: {error}")
        if self.buzzer is None:
            return "failed", "; ".join(faults)
        state, reason = self.buzzer.health()
        if faults and state == "ok":
            state = "degraded"
        return state, "; ".join([*faults, reason] if reason else faults)

    def close(self) -> None:
        """Everything off, and the pins given back; idempotent."""
        self._opened.close()

    def _open_factory(self) -> Factory:
        factory = open_factory(self._settings.factory, chip=self._settings.chip)
        if factory is None:
            raise PinError(self.without)
        self._opened.callback(factory.close)
        return factory

    def _build(self, key: str, factory: Factory, build: Callable[[], P]) -> P | None:
        """A part whose pin is set, if it can be used."""
        pin = dict(self._settings.pins).get(key)
        if pin is None:
            return None
        try:
            part = build()
        except PinError as error:
            self.missing[NAMES[key]] = PinError(f"gpio.{key}: {error}")
            return None
        self._opened.callback(part.close)
        self.places[NAMES[key]] = _place(factory, pin)
        return part

    def _button(self, factory: Factory) -> SilenceButton:
        if self.buzzer is None:
            raise PinError("there is no buzzer that it could silence")
        return SilenceButton(self._settings.silence_button, self.buzzer, pin_factory=factory)


def open_panel(
    settings: Gpio,
    *,
    pin_factory: Factory | None = None,
    quiet: Callable[[], str] = lambda: "",
    on_change: Callable[[bool], None] | None = None,
    on_death: Callable[[Worker], None] | None = None,
) -> Panel:
    """The panel of the settings, with nothing started.

    Where a part cannot be used: raises PinError if ``settings.required``, else warns once and does without it.
    """
    panel = Panel(settings, pin_factory=pin_factory, quiet=quiet, on_change=on_change, on_death=on_death)
    for name, error in panel.missing.items():
        if settings.required:
            panel.close()
            raise PinError(f"no {name}, and gpio.required is true: {error}") from error
        logger.warning("no %s: %s", name, error)
    return panel


def _check_apart(settings: Gpio, factory: Factory) -> None:
    """Raise ConfigError when two settings name one pin, each in its own way; a pin that is none has its own error."""
    found = []
    for key, pin in settings.pins:
        with contextlib.suppress(PinError), pin_errors(pin):
            found.append((key, pin, factory.pin(pin)))
    for (key, name, pin), (other_key, other, other_pin) in combinations(found, 2):
        if pin is other_pin:
            raise ConfigError(
                f"gpio.{key} ({name}) and gpio.{other_key} ({other}) are both {pin!r}: give each a pin of its own"
            )


def _place(factory: Factory, pin: int | str) -> str:
    """Where a pin is, in words: ``GPIO17 (pin 11 of the header)``."""
    found = factory.pin(pin)
    number = next((str(name)[5:] for name in found.info.names if str(name).startswith("BOARD")), "")
    return f"{found!r} (pin {number} of the header)" if number else repr(found)
