"""Why a rule did not fire."""

from __future__ import annotations

import pytest

from edge.config import Rule
from edge.geometry import Box
from edge.rules.engine import RuleEngine
from edge.rules.explain import Explanation, explain, lack
from edge.types import Detection

ARMED = Rule(
    name="armed", level="critical", any=("knife", "gun"), all=("person",), hold_hits=3, hold_frames=5, cooldown_s=10
)


def seen(name: str, confidence: float = 0.9) -> Detection:
    return Detection(0, name, confidence, Box(0, 0, 10, 10))


THREAT = (seen("knife"), seen("person"))


def look(engine: RuleEngine, *frames: tuple[Detection, ...], start: float = 0.0) -> int:
    """One frame a second; how many alerts there were."""
    return sum(
        len(engine.update(frame, now=1000.0 + start + index, monotonic=start + index, frame_id=index))
        for index, frame in enumerate(frames)
    )


def told(engine: RuleEngine, now: float) -> Explanation:
    return explain(engine.memories(now)[0], now)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ((seen("knife", 0.417), seen("person")), "knife 0.41 is below min_confidence 0.5"),
        ((seen("knife", 0.4999), seen("person")), "knife 0.49 is below min_confidence 0.5"),
        ((seen("knife"),), "no person"),
        ((seen("person"),), "no knife or gun"),
        ((), "no knife or gun; no person"),
        ((seen("gun", 0.3), seen("Knife", 0.2), seen("person", 0.1)), "gun 0.30 is below min_confidence 0.5; "),
        ((seen("knife"), seen("knife", 0.1), seen("person")), ""),
    ],
)
def test_what_a_frame_lacks(frame: tuple[Detection, ...], words: str) -> None:
    assert lack(ARMED, frame).startswith(words)
    assert bool(lack(ARMED, frame)) == bool(words)


def test_what_is_seen_and_must_not_be() -> None:
    rule = Rule(name="alone", level="high", any=("knife",), none=("person",))
    assert lack(rule, THREAT) == "person is seen, and the rule asks for none"


def test_three_names_are_listed_as_people_do() -> None:
    assert lack(Rule(name="r", level="low", any=("a", "b", "c")), ()) == "no a, b or c"


def test_before_the_first_frame_and_without_a_candidate() -> None:
    engine = RuleEngine([ARMED], camera_id="main")
    assert told(engine, 5.0) == Explanation("armed", "inactive", 0, 3, 5, 0.0, "no frame was looked at yet")
    look(engine, (seen("person"), seen("dog")))
    assert told(engine, 5.0).reason == "nothing that it looks for was seen", "a person alone is no candidate"


def test_too_few_frames_matched() -> None:
    engine = RuleEngine([ARMED], camera_id="main")
    look(engine, THREAT, THREAT)
    assert told(engine, 1.0) == Explanation("armed", "pending", 2, 3, 5, 0.0, "2 of 5 frames matched, 3 needed")


def test_the_last_candidate_is_remembered_with_its_age() -> None:
    engine = RuleEngine([ARMED], camera_id="main")
    look(engine, (seen("knife", 0.41),), (), ())
    assert told(engine, 4.5).reason == "4.5 s ago: knife 0.41 is below min_confidence 0.5; no person"


def test_the_cooldown() -> None:
    engine = RuleEngine([ARMED], camera_id="main")
    assert look(engine, THREAT, THREAT, THREAT) == 1
    fired = told(engine, 3.0)
    assert fired.reason == "fired 1.0 s ago; nothing that it looks for was seen since"
    assert (fired.state, fired.cooldown_s) == ("firing", 9.0)
    assert look(engine, THREAT, start=4.0) == 0
    assert told(engine, 4.8).reason == "cooling down for 7.2 s"
    assert told(engine, 4.8).cooldown_s == pytest.approx(7.2)
    assert told(engine, 60.0).reason == "was cooling down"


def test_rules_that_stay_keep_their_memory() -> None:
    other = Rule(name="other", level="low", any=("dog",))
    engine = RuleEngine([ARMED, other], camera_id="main")
    look(engine, THREAT, THREAT)
    engine.replace([Rule(name="new", level="low", any=("cat",)), ARMED])
    assert [memory.rule.name for memory in engine.memories(2.0)] == ["new", "armed"]
    assert look(engine, THREAT, start=2.0) == 1, "two hits were remembered"
    engine.replace([ARMED])
    assert look(engine, *[THREAT] * 4, start=3.0) == 0, "the cooldown was remembered"
    changed = Rule(name="armed", level="critical", any=("knife",), all=("person",), hold_hits=1, hold_frames=1)
    engine.replace([changed])
    assert told(engine, 8.0).hits == 0
    assert look(engine, THREAT, start=8.0) == 1
