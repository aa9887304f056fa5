"""When the buzzer sounds: what wins over what, on a clock that the tests move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import Alerts, Gpio, Pattern, Patterns, Schedule
from edge.gpio.silence import LONGEST_SILENCE_S, MOST_EVENTS, Events, QuietTimes, Silence
from edge.gpio.siren import TEST_S, BuzzerState, Siren, Step
from edge.types import LEVELS, ThreatLevel

TWICE = Pattern(on_s=2.0, off_s=1.0, repeats=2)
ALL_TWICE = Patterns(low=TWICE, medium=TWICE, high=TWICE, critical=TWICE)
OFF = Step(0, False, None)


def siren(**settings: Any) -> Siren:
    return Siren(Gpio(**{"patterns": ALL_TWICE, "cooldown_s": 5.0, **settings}))


def test_a_sounding_is_its_pattern_step_by_step() -> None:
    s = siren()
    assert s.step(0.0) == OFF
    assert s.ask("high", 10.0) == ""
    assert s.step(10.0) == Step(1, True, 12.0)
    assert s.state == BuzzerState("high", "high", 1)
    assert s.step(11.0) == Step(1, True, 12.0)
    assert s.step(12.0) == Step(1, False, 13.0)
    assert s.step(13.0) == Step(1, True, 15.0)
    assert s.step(15.0) == OFF
    assert s.state == BuzzerState(None, "high", 1)


def test_a_late_step_cuts_no_beat_and_never_passes_the_longest_time() -> None:
    s = siren(longest_on_s=6.0)
    s.ask("high", 0.0)
    assert s.step(0.0) == Step(1, True, 2.0)
    assert s.step(3.5) == Step(1, False, 4.5)
    assert s.step(4.5) == Step(1, True, 6.0), "not 6.5: the sounding began at 0"
    assert s.step(6.0) == OFF


def test_a_test_is_short_has_no_level_and_gives_way() -> None:
    s = siren()
    assert s.ask(None, 0.0) == ""
    assert s.step(0.0) == Step(1, True, TEST_S)
    assert s.state == BuzzerState(testing=True)
    assert s.ask("low", 0.1) == ""
    assert s.step(0.1) == Step(2, True, 2.1)


def test_a_level_without_repeats_is_never_heard_and_breaks_nothing() -> None:
    s = siren(patterns=Patterns(low=TWICE, critical=Pattern(repeats=0)))
    s.ask("low", 0.0)
    s.step(0.0)
    assert s.ask("critical", 0.5) == "gpio.patterns.critical.repeats is 0: this level is never heard"
    assert s.step(0.5) == Step(1, True, 2.0)


@pytest.mark.parametrize(
    ("first", "second", "later", "words"),
    [
        ("high", "high", 1.0, "the buzzer sounds already, as high or higher"),
        ("high", "low", 1.0, "the buzzer sounds already, as high or higher"),
        ("high", "critical", 1.0, ""),
        ("high", "high", 9.9, "the buzzer has just sounded: the cooldown runs for another 0.1 s"),
        ("high", "critical", 9.9, ""),
        ("high", "high", 10.0, ""),
    ],
)
def test_what_a_sounding_and_its_cooldown_hold_back(
    first: ThreatLevel, second: ThreatLevel, later: float, words: str
) -> None:
    s = siren()
    s.ask(first, 0.0)
    for now in (0.0, 2.0, 3.0, 5.0):
        if now <= later:
            s.step(now)
    assert s.ask(second, later) == words


def cooling(**settings: Any) -> Siren:
    """It has sounded on high from 0 to 1, where a person ended that; the cooldown runs until 6."""
    s = siren(**settings)
    s.ask("high", 0.0, event="first")
    s.step(0.0)
    s.acknowledge(1.0)
    assert s.step(1.0) == OFF
    return s


def test_an_event_that_begins_in_the_cooldown_is_heard_after_it() -> None:
    s = cooling()
    for event, level in (("second", "low"), ("third", "high")):
        assert s.ask(level, 3.0, event=event) == "the buzzer has just sounded: the cooldown runs for another 3.0 s"
    assert s.step(3.0) == Step(0, False, 6.0)
    assert s.step(6.0) == Step(2, True, 8.0)
    assert s.state.level == "high", "the highest"
    s.hush(7.0)
    assert s.step(12.0) == OFF, "and once"


@pytest.mark.parametrize("deed", ["over", "acknowledge", "hush", "silence", "quiet time"])
def test_what_the_cooldown_holds_back_is_forgotten(deed: str) -> None:
    s = cooling()
    s.ask("high", 3.0, event="second")
    if deed == "over":
        s.events.over("second")
    elif deed == "silence":
        s.silence.begin(1.0, "a command", 4.0)
        s.hush(4.0)
    elif deed != "quiet time":
        getattr(s, deed)(4.0)
    assert s.step(6.0, quiet="night" if deed == "quiet time" else "") == OFF
    assert s.step(7.0) == OFF


def test_what_the_cooldown_holds_back_is_heard_in_a_higher_one_that_breaks_it() -> None:
    s = cooling()
    s.ask("high", 3.0, event="second")
    s.ask("critical", 4.0, event="third")
    assert s.step(4.0).on
    s.hush(5.0)
    assert s.step(99.0) == OFF


def test_one_place_waits_and_the_higher_level_gets_it() -> None:
    s = siren()
    assert s.ask("medium", 0.0) == ""
    assert s.ask("low", 0.0) == "the buzzer sounds already, as high or higher"
    assert s.ask("critical", 0.0) == ""
    s.step(0.0)
    assert s.state.level == "critical"


def test_a_silence_wins_over_every_level_exempt_ones_too() -> None:
    s = siren(quiet_exempt=LEVELS)
    s.ask("critical", 0.0)
    s.step(0.0)
    s.silence.begin(300.0, "the button", 1.0)
    s.hush(1.0)
    assert s.step(1.0) == OFF
    for level in (*LEVELS, None):
        assert s.ask(level, 2.0, quiet="night") == "the buzzer is silenced for 300 s by the button, for another 299 s"
    assert s.ask("critical", 300.9)
    assert s.ask("critical", 301.0) == ""


def test_what_fired_in_a_silence_is_not_made_up_for_but_its_rise_is_heard() -> None:
    s = siren()
    s.silence.begin(10.0, "a command", 0.0)
    assert s.ask("medium", 5.0, event="one")
    assert s.step(10.0) == OFF
    assert s.ask("high", 10.0, event="one") == ""


@pytest.mark.parametrize(("level", "heard"), [("low", False), ("high", True), ("critical", False), (None, False)])
def test_in_a_quiet_time_only_exempt_levels_begin(level: ThreatLevel | None, heard: bool) -> None:
    s = siren(quiet_exempt=("high",))
    words = s.ask(level, 0.0, quiet="night")
    assert words == ("" if heard else "it is the quiet time night, in which high sounds")


def test_a_quiet_time_without_exempt_levels_says_so_and_ends_nothing() -> None:
    s = siren(quiet_exempt=())
    s.ask("low", 0.0)
    s.step(0.0)
    assert s.ask("critical", 1.0, quiet="night") == "it is the quiet time night, in which nothing sounds"
    assert s.step(1.0) == Step(1, True, 2.0), "what sounds already plays to its end"


def test_an_acknowledged_event_is_heard_again_only_when_it_rises() -> None:
    s = siren(cooldown_s=0.0)
    assert s.ask("medium", 0.0, event="one") == ""
    s.step(0.0)
    s.acknowledge(1.0)
    assert s.step(1.0) == OFF
    assert s.ask("medium", 2.0, event="one") == "the event was acknowledged"
    assert s.ask("low", 2.0, event="one") == "the event was acknowledged"
    assert s.ask("high", 2.0, event="one") == ""
    s.step(2.0)
    s.acknowledge(3.0)
    assert s.ask("high", 4.0, event="one") == "the event was acknowledged"
    assert s.ask("high", 4.0, event="two") == "", "another event is news"


def test_an_acknowledgement_reaches_the_event_that_is_not_the_one_heard() -> None:
    s = siren(cooldown_s=0.0)
    s.ask("critical", 0.0, event="loud")
    s.ask("low", 0.0, event="under it")
    s.acknowledge(1.0)
    assert s.ask("low", 2.0, event="under it") == "the event was acknowledged"


def test_an_event_that_is_over_is_forgotten() -> None:
    events = Events()
    events.rise("one", 1)
    events.acknowledge()
    events.over("one")
    events.over("never seen")
    assert events.rise("one", 1)


def test_only_so_many_events_are_known() -> None:
    events = Events()
    for number in range(MOST_EVENTS + 1):
        events.rise(str(number), 1)
    events.acknowledge()
    assert events.rise("0", 1), "the oldest was forgotten"
    assert not events.rise(str(MOST_EVENTS), 1)


def test_a_silence_is_bounded_replaced_and_told_in_words_that_stay() -> None:
    silence = Silence()
    assert (silence.left(0.0), silence.told(0.0)) == (0.0, "")
    silence.begin(1e9, "a command", 0.0)
    assert silence.left(0.0) == LONGEST_SILENCE_S
    silence.begin(300.0, "the button", 10.0)
    assert silence.told(10.0) == silence.told(309.0) == "silenced for 300 s by the button"
    assert (silence.left(310.0), silence.told(310.0)) == (0.0, "")
    silence.begin(300.0, "the button", 400.0)
    silence.end()
    assert silence.left(400.0) == 0.0


def test_quiet_times_are_those_of_the_schedules_while_the_time_is_known() -> None:
    night = Schedule(name="night", times=("22:00-06:00",))
    noon = Schedule(name="noon", times=("12:00-13:00",))
    wall: list[float | None] = [0.0]
    alerts = [Alerts(schedules=(night, noon), time_zone="UTC")]
    quiet = QuietTimes(("noon", "night"), lambda: alerts[0], lambda: wall[0])
    for now, name in ((0.0, "night"), (7 * 3600.0, ""), (12.5 * 3600, "noon"), (None, "")):
        wall[0] = now
        assert quiet() == name
    assert QuietTimes((), lambda: alerts[0], lambda: 0.0)() == "", "a schedule that is not named makes no quiet time"
    wall[0] = 0.0
    alerts[0] = Alerts(schedules=(noon, night), time_zone="Asia/Tokyo")
    assert quiet() == "", "other settings count at once"


# The property: whatever is asked at whatever times.

LEVEL = st.sampled_from(LEVELS)
EVENT = st.sampled_from(["", "a", "b"])
DEED = st.one_of(
    st.tuples(st.just("ask"), LEVEL, EVENT, st.sampled_from(["", "night"])),
    st.tuples(st.just("test")),
    st.tuples(st.just("hush")),
    st.tuples(st.just("acknowledge")),
    st.tuples(st.just("silence"), st.floats(0.1, 20.0)),
    st.tuples(st.just("unsilence")),
    st.tuples(st.just("over"), EVENT),
)
PATTERN = st.builds(
    Pattern, on_s=st.floats(0.01, 60.0), off_s=st.sampled_from([0.0, 0.01, 0.3, 5.0]), repeats=st.integers(0, 6)
)
SETTINGS = st.builds(
    Gpio,
    longest_on_s=st.floats(0.1, 20.0),
    cooldown_s=st.sampled_from([0.0, 0.5, 5.0]),
    quiet_exempt=st.sampled_from([(), ("critical",), LEVELS]),
    patterns=st.builds(Patterns, low=PATTERN, medium=PATTERN, high=PATTERN),
)


@dataclass
class Stretch:
    """One sounding: when it began, the level, when it ended."""

    number: int
    level: ThreatLevel | None
    began: float
    ended: float


class Listener:
    """Steps the siren as the buzzer's thread does, and writes down what is heard."""

    def __init__(self, settings: Gpio) -> None:
        self.siren = Siren(settings)
        self.settings = settings
        self.now = 0.0
        self.heard: list[Stretch] = []
        self.step = self.siren.step(0.0)

    def look(self) -> None:
        before, self.step = self.step, self.siren.step(self.now)
        if before.sounding and before.sounding != self.step.sounding:
            self.heard[-1].ended = self.now
        if self.step.sounding and self.step.sounding != before.sounding:
            self.heard.append(Stretch(self.step.sounding, self.siren.state.level, self.now, float("inf")))
        assert not (self.step.on and self.siren.silence.left(self.now)), "heard in a silence"
        assert self.step.on <= bool(self.step.sounding)

    def wait(self, seconds: float) -> None:
        """Time goes on, with a look whenever one is due."""
        until = self.now + seconds
        while self.step.until is not None and self.step.until <= until:
            assert self.step.until > self.now, "it stands still"
            self.now = self.step.until
            self.look()
        self.now = until
        self.look()

    def do(self, deed: tuple[Any, ...]) -> None:
        s, now = self.siren, self.now
        if deed[0] == "ask":
            _, level, event, quiet = deed
            if not s.ask(level, now, event=event, quiet=quiet):
                assert not s.silence.left(now)
                assert not quiet or level in self.settings.quiet_exempt
        elif deed[0] == "test":
            s.ask(None, now)
        elif deed[0] == "silence":
            s.silence.begin(deed[1], "a command", now)
            s.hush(now)
        elif deed[0] == "unsilence":
            s.silence.end()
        elif deed[0] == "over":
            s.events.over(deed[1])
        else:
            (s.hush if deed[0] == "hush" else s.acknowledge)(now)
        self.look()
        if deed[0] in ("hush", "acknowledge", "silence"):
            assert not self.step.on


@given(SETTINGS, st.lists(st.tuples(st.floats(0.0, 10.0), DEED), max_size=30))
def test_whatever_is_asked_it_is_bounded_silent_in_silence_and_off_at_the_end(
    settings: Gpio, deeds: list[tuple[float, tuple[Any, ...]]]
) -> None:
    listener = Listener(settings)
    for seconds, deed in deeds:
        listener.wait(seconds)
        listener.do(deed)
    listener.wait(2 * settings.longest_on_s + settings.cooldown_s + 0.1)
    assert listener.step == OFF
    for stretch in listener.heard:
        assert stretch.ended - stretch.began <= settings.longest_on_s + 1e-6
    for one, next_one in zip(listener.heard, listener.heard[1:], strict=False):
        rank, higher = (-1 if each.level is None else LEVELS.index(each.level) for each in (one, next_one))
        if higher <= rank:
            assert next_one.began - one.ended >= settings.cooldown_s - 1e-6, "no unbroken noise but by a higher level"
