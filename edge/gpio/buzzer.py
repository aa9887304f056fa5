"""The buzzer: one thread, one pin, one sounding at a time."""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from edge.config import Gpio
from edge.errors import PinError
from edge.gpio.pins import open_output, pin_errors
from edge.gpio.siren import BuzzerState, Siren, Step
from edge.types import Result, ThreatLevel
from edge.workers import Worker, wait_for

if TYPE_CHECKING:
    from gpiozero.pins import Factory

CLOSE_TIMEOUT_S = 1.0  # the thread wakes at once when asked to stop; only a pin write that hangs takes longer
COMMAND, BUTTON = "a command", "the button"  # who asks for a silence

logger = logging.getLogger(__name__)


class Buzzer:
    """Sounds a pattern for each threat level on one output pin; edge.gpio.siren says what wins over what.

    One sounding lasts at most ``settings.longest_on_s``, pauses included, and ``settings.cooldown_s`` of quiet follow
    it. Within both, a request for the same level or a lower one is dropped, but an event that begins in the cooldown
    and outlasts it is heard then. A higher level breaks in at once and has its own full time, so one unbroken noise is
    at most one sounding of each level, where there is a cooldown. A level whose pattern has no repeats is never heard
    and breaks nothing. Why an event of another level is not heard is logged.

    The pin is off from the constructor on, and again after stop, after an exception in the thread, and at the
    interpreter's exit (also when an uncaught exception ends it). os._exit, SIGKILL and a SIGTERM that nobody handles
    run none of this: what the pin does then is the kernel's choice. Raspberry Pi's keeps an output's level
    (raspberrypi/linux#6117), so a buzzer that is on stays on, unless `dtparam=strict_gpiod` stands in config.txt or
    something else drives the pin, such as `preact-edge buzzer off` as the service's ExecStopPost. After close the pin
    is an input, so the circuit needs a resistor that pulls it to off.

    ``on_change`` is called with True when a sounding begins and False when it ends, on the buzzer's thread, and must
    return soon. ``clock`` gives seconds and never goes back. ``quiet`` gives the name of the quiet time that it is,
    else "", and must not block. Raises PinError when the pin cannot be used.

    Synchronization: observe, sound, test, hush, acknowledge, silence, end_silence, silenced_s, state and health never
    block and may be used from any thread; start and close belong to the thread that built it; only the buzzer's own
    thread drives the pin until it has ended.
    """

    def __init__(
        self,
        settings: Gpio,
        *,
        pin_factory: Factory,
        clock: Callable[[], float] = time.monotonic,
        quiet: Callable[[], str] = lambda: "",
        on_change: Callable[[bool], None] | None = None,
        on_death: Callable[[Worker], None] | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._quiet = quiet
        self._on_change = on_change
        # Guards _siren, _state and _news; the pin is driven without it.
        self._changed = threading.Condition()
        self._siren = Siren(settings)
        self._state = BuzzerState()
        self._news = False  # something was asked since the last step
        self._shown = 0  # the sounding that on_change was told of, 0 between; the thread's own
        self._worker = Worker("buzzer", self._run, on_death=on_death)
        self.workers = (self._worker,)
        self._pin = open_output(pin_factory, settings.buzzer_pin, active_high=settings.active_high)
        atexit.register(self.close)

    def start(self) -> None:
        """Begin to listen to requests; call it once. One request made before is kept."""
        self._worker.start()

    def observe(self, result: Result) -> None:
        """A sink of the pipeline: alerts that fire are heard, by their level; those that are resolved are not."""
        quiet = self._quiet() if result.alerts else ""
        for alert in result.alerts:
            uid, level, refusal = alert.event_uid, alert.threat_level, ""
            with self._now() as now:
                if alert.state == "resolved":
                    self._siren.events.over(uid)
                else:
                    refusal = self._siren.ask(level, now, event=uid, quiet=quiet)
            if refusal and getattr(self._settings.patterns, level).repeats:
                logger.warning("event %s is %s and not heard now: %s", uid, level, refusal)

    def sound(self, level: ThreatLevel) -> str:
        """Ask for a sounding of ``level``; why it is dropped, in words, empty when it is not."""
        return self._ask(level)

    def test(self) -> str:
        """Ask for one short beep, which gives way to everything; why it is dropped, in words, empty when it is not."""
        return self._ask(None)

    def hush(self) -> None:
        """End what sounds, forget what waits. The cooldown of what was ended begins, so the same alert stays quiet."""
        with self._now() as now:
            self._siren.hush(now)

    def acknowledge(self) -> None:
        """As hush; and no event that goes on now is heard any more, unless it rises to a higher level."""
        with self._now() as now:
            self._siren.acknowledge(now)

    def silence(self, seconds: float, by: str = COMMAND) -> None:
        """As hush; and nothing is heard for ``seconds`` from now, at most LONGEST_SILENCE_S.

        A later silence replaces an earlier one. ``by`` says who asked, for health.
        """
        with self._now() as now:
            self._siren.silence.begin(seconds, by, now)
            self._siren.hush(now)

    def end_silence(self) -> None:
        """From now on it is heard again; what was dropped in the silence is not made up for."""
        with self._changed:
            self._siren.silence.end()

    @property
    def silenced_s(self) -> float:
        """Seconds that are left of a silence that was asked for."""
        with self._changed:
            return self._siren.silence.left(self._clock())

    @property
    def state(self) -> BuzzerState:
        """What the pin does; what was asked shows a moment later."""
        with self._changed:
            return self._state

    @property
    def alive(self) -> bool:
        """Whether the thread runs and can sound."""
        return self._worker.alive

    def health(self) -> tuple[Literal["ok", "degraded", "failed"], str]:
        """How it is, and in words why. A quiet time is as it should be, and told all the same."""
        if not self.alive:
            return "failed", "the buzzer's thread does not run"
        quiet = self._quiet()
        with self._changed:
            silenced = self._siren.silence.told(self._clock())
        return ("degraded", silenced) if silenced else ("ok", f"quiet time {quiet}" if quiet else "")

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
        with contextlib.suppress(PinError), pin_errors(self._settings.buzzer_pin):
            self._pin.close()

    @contextlib.contextmanager
    def _now(self) -> Iterator[float]:
        """The time, with the siren locked; its thread looks at it afterwards."""
        with self._changed:
            yield self._clock()
            self._news = True
            self._changed.notify_all()

    def _ask(self, level: ThreatLevel | None) -> str:
        quiet = self._quiet()
        with self._now() as now:
            return self._siren.ask(level, now, quiet=quiet)

    def _run(self, stopping: threading.Event) -> None:
        try:
            while not stopping.is_set():
                step, state = self._step()
                self._show(step)
                self._wait(step, state, stopping)
        finally:
            with contextlib.suppress(PinError):  # the pin is off already, or its error is on the way up
                self._drive(False)
            with self._changed:
                self._siren.hush(self._clock())
                self._state = self._siren.state
            self._tell(0)

    def _step(self) -> tuple[Step, BuzzerState]:
        quiet = self._quiet()
        with self._changed:
            self._news = False
            return self._siren.step(self._clock(), quiet=quiet), self._siren.state

    def _show(self, step: Step) -> None:
        if step.sounding != self._shown:
            self._drive(False)
            self._tell(0)
            self._tell(step.sounding)
        self._drive(step.on)

    def _wait(self, step: Step, state: BuzzerState, stopping: threading.Event) -> None:
        with self._changed:
            self._state = state
            left = None if step.until is None else max(0.0, step.until - self._clock())
            wait_for(self._changed, lambda: stopping.is_set() or self._news, left)

    def _tell(self, sounding: int) -> None:
        """Tell of the sounding's begin (a number) or end (0), once each."""
        before, self._shown = self._shown, sounding
        if self._on_change is not None and bool(sounding) != bool(before):
            self._on_change(bool(sounding))

    def _drive(self, on: bool) -> None:
        with pin_errors(self._settings.buzzer_pin):
            self._pin.value = on
