"""Why a rule did not fire."""

from __future__ import annotations

from typing import Any

import pytest

from edge.config import Rule
from edge.rules.engine import MAX_REFUSED
from edge.rules.explain import Candidate, Explanation, explain
from edge.types import Detection
from tests.seeing import Eyes, alerts_of, seen, standing

ARMED = Rule(
    name="armed", level="critical", any=("knife", "gun"), all=("person",), hold_hits=3, hold_frames=5, cooldown_s=10
)
DOOR = {"name": "door", "points": [[0.4, 0.4], [0.6, 0.4], [0.6, 1], [0.4, 1]]}
POSTER = {"name": "poster", "points": [[0.8, 0], [1, 0], [1, 1], [0.8, 1]], "kind": "exclude"}
THREAT = (seen("knife"), seen("person"))


def eyes(*rules: Rule | dict[str, Any], **more: Any) -> Eyes:
    """One frame a second, the first at 1 s."""
    return Eyes(alerts_of(*rules, zones=[DOOR, POSTER], **more), fps=1, start=0.0)


def told(look: Eyes, now: float | None = None) -> Explanation:
    at = look.at if now is None else now
    return explain(look.engine.memories(at)[0], at)


@pytest.mark.parametrize(
    ("frame", "reason", "words"),
    [
        ((seen("knife", 0.417), seen("person")), "score", "knife 0.41 is below min_confidence 0.5"),
        ((seen("knife", 0.4999), seen("person")), "score", "knife 0.49 is below min_confidence 0.5"),
        ((seen("gun", 0.3), seen("Knife", 0.2), seen("person")), "score", "gun 0.30 is below min_confidence 0.5"),
        ((seen("knife"),), "class", "no person"),
        ((seen("knife"), seen("person", 0.3)), "class", "person 0.30 is below min_confidence 0.5"),
    ],
)
def test_what_a_frame_lacks(frame: tuple[Detection, ...], reason: str, words: str) -> None:
    look = eyes(ARMED)
    look.look(*frame)
    assert told(look).reason == words
    assert told(look).counts == {reason: 1}


@pytest.mark.parametrize("frame", [(), (seen("person"),), (seen("person"), seen("dog"))])
def test_frames_without_a_candidate(frame: tuple[Detection, ...]) -> None:
    look = eyes(ARMED)
    assert told(look) == Explanation("armed", "inactive", 0, 3, 5, 0.0, 0, "no frame was looked at yet", (), {})
    look.look(*frame)
    assert told(look).reason == "nothing that it looks for was seen", "a person alone is no candidate"


def rule(**changes: Any) -> dict[str, Any]:
    return {"name": "r", "level": "low", "any": ["person"], **changes}


HERE = standing(500, 700)


@pytest.mark.parametrize(
    ("watched", "frame", "reason", "words"),
    [
        (rule(none=["dog"]), (HERE, seen("dog")), "none", "dog is seen, and the rule asks for none"),
        (rule(zones=["door"]), (standing(300, 700),), "zone", "person is not in door"),
        (rule(), (standing(900, 700),), "mask", "person is in the excluded zone poster"),
        (rule(min_size=0.25), (HERE,), "size", "person is 0.20 of the picture high, min_size is 0.25"),
        (rule(max_size=0.15), (HERE,), "size", "person is 0.20 of the picture high, max_size is 0.15"),
        (rule(min_count=3), (HERE, standing(700, 700)), "count", "2 of the 3 that min_count asks for"),
        (
            rule(all=["dog"], near=0.5),
            (HERE, standing(200, 700, "dog", height=100)),
            "near",
            "dog is 1.20 heights away from person, near is 0.5",
        ),
        (rule(min_confidence=0.2), (standing(500, 700, confidence=0.3),), "score", "person 0.30 is below detector.sc"),
        (rule(), (HERE,), "hold", "1 of 5 frames matched, 3 needed"),
        (rule(hold_hits=1, hold_s=9), (HERE,), "hold", "matched for 0.0 s, hold_s is 9"),
        (rule(when="dwelt", dwell_s=9, hold_hits=1), (HERE,), "dwell", "there for 0.0 s, dwell_s is 9"),
        (rule(when="dwelt", dwell_s=9, zones=["door"]), (standing(300, 700),), "zone", "person is not in door"),
        (rule(when="dwelt", dwell_s=9, min_size=0.3), (HERE,), "size", "person is 0.20 of the picture high, min_"),
    ],
)
def test_every_reason(watched: dict[str, Any], frame: tuple[Detection, ...], reason: str, words: str) -> None:
    look = eyes(watched)
    look.look(*frame)
    (candidate,) = told(look).candidates
    assert (candidate.reason, candidate.text[: len(words)]) == (reason, words)
    assert candidate.track_id == (1 if "when" in watched else None)


@pytest.mark.parametrize("more", [{}, {"when": "dwelt", "dwell_s": 1}])
def test_out_of_its_times(more: dict[str, Any]) -> None:
    plan = {"schedules": [{"name": "never mind", "times": ["mon 00:00-00:01"]}], "time_zone": "UTC"}
    look = eyes(rule(schedule="never mind", **more), **plan)
    look.look(HERE)
    assert told(look).candidates[0].reason == "schedule"
    assert told(look).reason == "it is not in the times of never mind"


def test_too_few_frames_matched() -> None:
    look = eyes(ARMED)
    look.watch(2, *THREAT)
    words = "2 of 5 frames matched, 3 needed"
    candidate = Candidate("hold", words, None, frames=2, lasted_s=1.0, age_s=0.0)
    assert told(look) == Explanation("armed", "pending", 2, 3, 5, 0.0, 0, words, (candidate,), {"hold": 2})


def test_the_last_candidate_is_remembered_with_its_age() -> None:
    look = eyes(ARMED)
    look.look(seen("knife", 0.41), seen("person"))
    look.watch(2)
    assert told(look, look.at + 1.5).reason == "3.5 s ago: knife 0.41 is below min_confidence 0.5"


def test_the_event_and_the_cooldown() -> None:
    look = eyes(ARMED)
    look.watch(3, *THREAT)
    fired = told(look, look.at + 1.0)
    assert fired.reason == "fired 1.0 s ago; it goes on"
    assert (fired.state, fired.events, fired.cooldown_s) == ("firing", 1, 0.0)
    look.watch(6)
    over = told(look)
    assert over.reason == "fired 6.0 s ago; nothing that it looks for was seen since"
    assert (over.state, over.events, over.cooldown_s) == ("inactive", 0, 10.0)
    look.watch(3, *THREAT)
    assert told(look).reason == "cooling down for 7.0 s"
    assert told(look, look.at + 5).cooldown_s == 2.0
    assert told(look).counts == {"hold": 4, "cooldown": 1}
    assert [each.reason for each in told(look).candidates] == ["cooldown", "hold", "hold"]


def test_each_object_has_its_own_reason() -> None:
    look = eyes(rule(when="dwelt", dwell_s=60, zones=["door"]))
    look.watch(4, HERE, standing(100, 700), standing(900, 700))
    candidates = {each.track_id: (each.reason, each.frames) for each in told(look).candidates if each.age_s == 0}
    assert candidates == {1: ("dwell", 2), 2: ("zone", 4), 3: ("mask", 4)}
    assert told(look).counts == {"hold": 2, "dwell": 2, "zone": 4, "mask": 4}


def test_only_the_last_candidates_are_kept() -> None:
    look = eyes(rule(when="dwelt", dwell_s=60))
    for number in range(MAX_REFUSED + 20):
        look.at += 10
        look.look(standing(100 + 700 * (number % 2), 700, height=20 + number))
    candidates = told(look).candidates
    assert len(candidates) == MAX_REFUSED
    assert [each.age_s for each in candidates] == sorted(each.age_s for each in candidates)
    assert candidates[0].age_s == 0


def test_a_rule_whose_settings_change_has_no_memory_and_one_that_stays_has() -> None:
    look = eyes(ARMED)
    look.watch(2, *THREAT)
    look.engine.replace(alerts_of(rule(name="new"), ARMED, zones=[DOOR, POSTER]), 0.4)
    assert [memory.rule.name for memory in look.engine.memories(2.0)] == ["new", "armed"]
    assert [alert.rule for alert in look.watch(1, *THREAT)] == ["armed"], "two hits were remembered"
    changed = Rule(name="armed", level="critical", any=("knife",), all=("person",), hold_hits=1, hold_frames=1)
    look.engine.replace(alerts_of(changed), 0.4)
    assert (told(look).hits, told(look).counts) == (0, {})
    assert [alert.state for alert in look.watch(1, *THREAT)] == ["resolved", "firing"]
