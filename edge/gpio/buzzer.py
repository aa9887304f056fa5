"""The buzzer: one thread, one pin, one sounding at a time."""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from edge.config import Gpio
from edge.errors import PinError
from edge.gpio.beats import beats
from edge.gpio.pins import open_factory, open_output, pin_errors, without_pins
from edge.types import LEVELS, ThreatLevel
from edge.workers import Worker

if TYPE_CHECKING:
    from gpiozero.pins import Factory

LONGEST_SILENCE_S = 86400.0  # nobody remembers for longer that the buzzer was silenced
TEST_S = 0.2  # heard, and over before anybody runs
CLOSE_TIMEOUT_S = 1.0  # the thread wakes at once when asked to stop; only a pin write that hangs takes longer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BuzzerState:
    """``level`` of what sounds now, else None; ``last`` of the newest sounding; ``soundings`` begun since start.

    A test is no sounding of any level: while it is heard, ``testing`` is true.
    """

    level: ThreatLevel | None = None
    last: ThreatLevel | None = None
    soundings: int = 0
    testing: bool = False

    @property
    def sounding(self) -> bool:
        """True from the first beat to the last, pauses between them included."""
        return self.level is not None or self.testing


class _Request(NamedTuple):
    """What is to be heard; a test has no level and gives way to every one."""

    level: ThreatLevel | None
    beats: tuple[tuple[bool, float], ...]

    @property
    def rank(self) -> int:
        return -1 if self.level is None else LEVELS.index(self.level)


class Buzzer:
    """Sounds a pattern for each threat level on one output pin.

    One sounding lasts at most ``settings.longest_on_s``, pauses included, and ``settings.cooldown_s`` of quiet follow
    it. Within both, a request for the same level or a lower one is dropped; a higher level breaks in at once and has
    its own full time, so one unbroken noise is at most one sounding of each level. A level whose pattern has no
    repeats is never heard and breaks nothing. While silence was asked for, nothing sounds, of no level.

    The pin is off from the constructor on, and again after stop, after an exception in the thread, and at the
    interpreter's exit (also when an uncaught exception ends it). os._exit, SIGKILL and a SIGTERM that nobody handles
    run none of this: what the pin does then is the kernel's choice. Raspberry Pi's keeps an output's level
    (raspberrypi/linux#6117), so a buzzer that is on stays on, unless `dtparam=strict_gpiod` stands in config.txt or
    something else, such as the service's ExecStopPost, drives the pin. After close the pin is an input, so the circuit
    needs a resistor that pulls it to off.

    ``on_change`` is called with True when a sounding begins and False when it ends, on the buzzer's thread, and must
    return soon. ``clock`` gives seconds and never goes back; the cooldown runs on it. ``close_factory`` hands
    ``pin_factory`` over: it is closed with the buzzer. Raises PinError when the pin cannot be used.

    Synchronization: sound, test, silence, silenced_s and state never block and may be used from any thread; start and
    close belong to the thread that built it; only the buzzer's own thread drives the pin until it has ended.
    """

    def __init__(
        self,
        settings: Gpio,
        *,
        pin_factory: Factory,
        close_factory: bool = False,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[bool], None] | None = None,
        on_death: Callable[[Worker], None] | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._on_change = on_change
        self._beats = {level: beats(getattr(settings.patterns, level), settings.longest_on_s) for level in LEVELS}
        # Guards everything down to _silent_until; the pin is driven without it.
        self._changed = threading.Condition()
        self._asked: _Request | None = None  # one place: a higher level replaces a lower one
        self._sounds: _Request | None = None
        self._cut = False
        self._state = BuzzerState()
        self._cooling: _Request | None = None  # what sounded last, until _quiet_until
        self._quiet_until = self._silent_until = float("-inf")
        self._worker = Worker("buzzer", self._run, on_death=on_death)
        self._factory = pin_factory if close_factory else None
        self._pin = open_output(pin_factory, settings.buzzer_pin, active_high=settings.active_high)
        atexit.register(self.close)

    def start(self) -> None:
        """Begin to listen to requests; call it once. One request made before is kept."""
        self._worker.start()

    def sound(self, level: ThreatLevel) -> bool:
        """Ask for a sounding of ``level``; dropped when its level is not above what sounds, waits or cools down.

        False when it is dropped for that, for silence, or because the level's pattern has no repeats.
        """
        return self._ask(_Request(level, self._beats[level]))

    def test(self) -> bool:
        """Ask for one short beep; dropped, with False, when anything sounds, waits or cools down, and in silence."""
        return self._ask(_Request(None, ((True, min(TEST_S, self._settings.longest_on_s)),)))

    def silence(self, seconds: float | None = None) -> None:
        """End what sounds, forget what waits. The cooldown of what was ended begins, so the same alert stays quiet.

        With ``seconds``, nothing is heard for so long from now, at most LONGEST_SILENCE_S; 0 ends such a silence.
        """
        with self._changed:
            if seconds is not None:
                self._silent_until = self._clock() + min(seconds, LONGEST_SILENCE_S)
            self._asked = None
            self._cut = self._state.sounding
            self._changed.notify_all()

    @property
    def silenced_s(self) -> float:
        """Seconds that are left of the silence that was asked for."""
        with self._changed:
            return max(0.0, self._silent_until - self._clock())

    @property
    def state(self) -> BuzzerState:
        with self._changed:
            return self._state

    @property
    def alive(self) -> bool:
        """Whether the thread runs and can sound."""
        return self._worker.alive

    def health(self) -> tuple[Literal["ok", "degraded", "failed"], str]:
        """How it is, and in words why."""
        if not self.alive:
            return "failed", "the buzzer's thread does not run"
        return ("degraded", "silenced by a command") if self.silenced_s else ("ok", "")

    def stop(self) -> None:
        """Ask the thread to end, with the pin off; returns at once."""
        self._worker.stop()
        with self._changed:
            self._changed.notify_all()

    def join(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds; True when the thread has ended (or was never started)."""
        return self._worker.join(timeout)

    def close(self) -> None:
        """Stop, wait shortly, turn the pin off and give it back. A failing pin is logged."""
        atexit.unregister(self.close)
        self.stop()
        if not self.join(CLOSE_TIMEOUT_S):
            logger.error(
                "the buzzer thread did not end within %s s; its pin is turned off all the same", CLOSE_TIMEOUT_S
            )
        if self._pin.closed:
            return
        try:
            self._drive(False)
        except PinError as error:
            logger.error("the buzzer may still be on: %s", error)
        for device in filter(None, (self._pin, self._factory)):
            with contextlib.suppress(PinError), pin_errors(self._settings.buzzer_pin):
                device.close()

    def _run(self, stopping: threading.Event) -> None:
        try:
            while (request := self._next(stopping)) is not None:
                self._play(request, stopping)
        finally:
            with contextlib.suppress(PinError):  # the pin is off already, or its error is on the way up
                self._drive(False)

    def _ask(self, request: _Request) -> bool:
        with self._changed:
            now = self._clock()
            taken = [self._asked, self._sounds, self._cooling if now < self._quiet_until else None]
            if not request.beats or now < self._silent_until or any(t and request.rank <= t.rank for t in taken):
                return False
            self._asked = request
            self._changed.notify_all()
            return True

    def _next(self, stopping: threading.Event) -> _Request | None:
        """Wait for a request and make it the state; None when stopping."""
        with self._changed:
            self._changed.wait_for(lambda: self._asked is not None or stopping.is_set())
            if stopping.is_set() or self._asked is None:
                return None
            request, self._asked, self._cut = self._asked, None, False
            self._sounds = request
            if request.level is None:
                self._state = replace(self._state, testing=True)
            else:
                self._state = BuzzerState(request.level, request.level, self._state.soundings + 1)
            return request

    def _play(self, request: _Request, stopping: threading.Event) -> None:
        """One sounding, whole or broken off; the pin is off after it, unless it failed."""
        try:
            self._tell(True)
            for on, seconds in request.beats:
                self._drive(on)
                if self._broken_off(seconds, stopping):
                    break
            self._drive(False)
        finally:
            with self._changed:
                self._sounds = None
                self._state = BuzzerState(None, self._state.last, self._state.soundings)
                self._cooling, self._quiet_until = request, self._clock() + self._settings.cooldown_s
            self._tell(False)

    def _broken_off(self, seconds: float, stopping: threading.Event) -> bool:
        """Wait ``seconds``; True as soon as something ends the sounding: silence, a higher level, stop."""
        with self._changed:
            return self._changed.wait_for(lambda: self._cut or self._asked is not None or stopping.is_set(), seconds)

    def _tell(self, sounding: bool) -> None:
        if self._on_change is not None:
            self._on_change(sounding)

    def _drive(self, on: bool) -> None:
        with pin_errors(self._settings.buzzer_pin):
            self._pin.value = on


def open_buzzer(
    settings: Gpio,
    *,
    pin_factory: Factory | None = None,
    on_change: Callable[[bool], None] | None = None,
    on_death: Callable[[Worker], None] | None = None,
) -> Buzzer | None:
    """The buzzer of the settings, not yet started, on ``pin_factory`` or else on the settings' own.

    Where its pin cannot be used: raises PinError if ``settings.required``, else warns once and returns None.
    """
    try:
        factory, own = pin_factory, pin_factory is None
        if factory is None:
            factory = open_factory(settings.factory)
        if factory is None:
            raise PinError(without_pins(settings.factory))
        try:
            return Buzzer(settings, pin_factory=factory, close_factory=own, on_change=on_change, on_death=on_death)
        except PinError:
            if own:
                factory.close()
            raise
    except PinError as error:
        if settings.required:
            raise PinError(f"no buzzer, and gpio.required is true: {error}") from error
        logger.warning("no buzzer: %s", error)
        return None
