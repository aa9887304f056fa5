"""When a buzzer sounds and when it does not: it is told the time, and drives nothing. edge.gpio.buzzer has the pin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from edge.config import Gpio
from edge.gpio.beats import beats
from edge.gpio.silence import Events, Silence
from edge.types import LEVELS, ThreatLevel

TEST_S = 0.2  # heard, and over before anybody runs


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


class Step(NamedTuple):
    """What the pin is to be: ``on`` until the time ``until`` (None: until something is asked).

    ``sounding`` is the number of what is heard, tests included, and 0 between.
    """

    sounding: int
    on: bool
    until: float | None


class _Request(NamedTuple):
    """What is to be heard; a test has no level and gives way to every one."""

    level: ThreatLevel | None
    beats: tuple[tuple[bool, float], ...]

    @property
    def rank(self) -> int:
        return -1 if self.level is None else LEVELS.index(self.level)


class Siren:
    """One sounding at a time, and what wins over what.

    1. A person's silence wins over every level, for as long as it was asked for.
    2. In a quiet time (its name is given with a request) only the levels of ``settings.quiet_exempt`` begin, whoever
       asks. What sounds already when it begins plays to its end.
    3. An event that a person acknowledged is not heard again, unless it rises to a higher level.
    4. A request for a level not above one that sounds or waits is dropped. A higher one breaks in.
    5. A request for a level not above one that sounded less than ``settings.cooldown_s`` ago is dropped, but an event
       is heard at the end of that time, if it still goes on.

    A sounding ends after ``settings.longest_on_s``, pauses included, however late the steps come. What is dropped is
    never made up for. Times are seconds of one clock that never goes back.

    Synchronization: none; its owner guards it.
    """

    def __init__(self, settings: Gpio) -> None:
        self.silence = Silence()
        self.events = Events()
        self._settings = settings
        self._beats = {level: beats(getattr(settings.patterns, level), settings.longest_on_s) for level in LEVELS}
        self._test = ((True, min(TEST_S, settings.longest_on_s)),)
        self._asked: _Request | None = None  # one place: a higher level replaces a lower one
        self._sounds: _Request | None = None
        self._number = self._soundings = self._beat = 0
        self._beat_ends = self._must_end = 0.0
        self._last: ThreatLevel | None = None
        self._cooling: _Request | None = None  # what sounded last, until _quiet_until
        self._quiet_until = float("-inf")

    @property
    def state(self) -> BuzzerState:
        """How it was at the last step."""
        level = self._sounds.level if self._sounds else None
        return BuzzerState(level, self._last, self._soundings, self._sounds is not None and level is None)

    def ask(self, level: ThreatLevel | None, now: float, *, event: str = "", quiet: str = "") -> str:
        """Ask for a sounding of ``level``, or a test (None); why it is dropped, in words, empty when it is not.

        ``event`` is the uid of what happened, where it may go on; ``quiet`` the name of the quiet time that it is.
        """
        request = _Request(level, self._test if level is None else self._beats[level])
        new = not event or self.events.rise(event, request.rank)
        refusal = self._refusal(request, new, quiet, now)
        if refusal:
            return refusal
        if self._cooling and now < self._quiet_until and request.rank <= self._cooling.rank:
            if event:
                self.events.hold(event, request.rank)
            return f"the buzzer has just sounded: the cooldown runs for another {self._quiet_until - now:.1f} s"
        self._asked = request
        return ""

    def hush(self, now: float) -> None:
        """End what sounds, and forget what waits. The cooldown of what was ended begins."""
        self._asked = None
        self.events.release()
        if self._sounds is not None:
            self._end(now)

    def acknowledge(self, now: float) -> None:
        """A person knows of every event that goes on: it is ended, and not heard again at its level."""
        self.events.acknowledge()
        self.hush(now)

    def step(self, now: float, *, quiet: str = "") -> Step:
        """What the pin is to be from now on; to be called at ``until``, and after everything that was asked.

        ``quiet`` as in ask, for an event that is heard only now.
        """
        if self._sounds is not None and (self._asked is not None or not self._goes_on(now)):
            self._end(now)
        if self._sounds is None and self._asked is None and now >= self._quiet_until and self.events.holding:
            self.ask(LEVELS[self.events.release()], now, quiet=quiet)
        if self._asked is not None:
            self._begin(self._asked, now)
        if self._sounds is None:
            return Step(0, False, self._quiet_until if self.events.holding else None)
        return Step(self._number, self._sounds.beats[self._beat][0], min(self._beat_ends, self._must_end))

    def _refusal(self, request: _Request, new: bool, quiet: str, now: float) -> str:
        if not request.beats:
            return f"gpio.patterns.{request.level}.repeats is 0: this level is never heard"
        if left := self.silence.left(now):
            return f"the buzzer is {self.silence.told(now)}, for another {left:.0f} s"
        if quiet and request.level not in self._settings.quiet_exempt:
            exempt = ", ".join(self._settings.quiet_exempt) or "nothing"
            return f"it is the quiet time {quiet}, in which {exempt} sounds"
        if not new:
            return "the event was acknowledged"
        if any(taken and request.rank <= taken.rank for taken in (self._sounds, self._asked)):
            return "the buzzer sounds already, as high or higher"
        return ""

    def _begin(self, request: _Request, now: float) -> None:
        self._sounds, self._asked = request, None
        self.events.release()  # this is as high, and heard
        self._number += 1
        if request.level is not None:
            self._last = request.level
            self._soundings += 1
        self._beat = 0
        self._beat_ends = now + request.beats[0][1]
        self._must_end = now + self._settings.longest_on_s

    def _goes_on(self, now: float) -> bool:
        """Whether what sounds is not over; go to its next beat when that is due. A beat is never cut by a late step."""
        if self._sounds is None or now >= self._must_end:
            return False
        if now >= self._beat_ends:
            self._beat += 1
            if self._beat == len(self._sounds.beats):
                return False
            self._beat_ends = now + self._sounds.beats[self._beat][1]
        return True

    def _end(self, now: float) -> None:
        self._cooling, self._quiet_until = self._sounds, now + self._settings.cooldown_s
        self._sounds = None
