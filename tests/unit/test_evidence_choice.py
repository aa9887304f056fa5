"""Which frame an event is remembered by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edge.config import DEFAULT_RULES, Rule
from edge.evidence import best, choice
from edge.evidence.best import MOST_OBJECTS, BestShots, Shot, score_of, shot_of
from edge.evidence.choice import AFTER_S, MOST_WAITING, Choice
from edge.geometry import Box
from edge.types import Alert, Detection, Result
from tests.evidences import NOON, Clock, fires, look, picture

SMALL, MIDDLE, LARGE = Box(0, 0, 16, 9), Box(0, 0, 32, 18), Box(0, 0, 64, 36)


def chooser(holds: Callable[[str], bool] = lambda _: False, **options: Any) -> Choice:
    return Choice(options.pop("rules", lambda: DEFAULT_RULES), holds, **options)


def made(choice: Choice) -> list[tuple[str, int]]:
    """What is to be made, in order: event and frame; it counts as made then."""
    found = []
    while (chosen := choice.next()) is not None:
        alert, shot = chosen
        found.append((alert.event_uid, shot.frame.sequence))
        choice.done(alert, shot)
    return found


def frame_of(result: Result) -> Any:
    assert result.frame is not None
    return result.frame


def test_a_score_is_confidence_times_size() -> None:
    frame = frame_of(look(1, 1.0))
    whole, half = Box(0, 0, 320, 180), Box(0, 0, 160, 90)
    assert score_of(Detection(0, "knife", 0.8, whole), frame) == pytest.approx(0.8)
    assert score_of(Detection(0, "knife", 0.8, half), frame) == pytest.approx(0.4)
    assert score_of(Detection(0, "knife", 0.8, Box(9, 9, 5, 5)), frame) == 0.0
    assert score_of(Detection(0, "knife", 1.0, Box(-500, -500, 900, 900)), frame) == 1.0


def test_only_the_object_that_leads_is_looked_at() -> None:
    result = look(1, 1.0, name="person", box=LARGE)
    assert shot_of(fires(), result, frame_of(result)).score == 0.0, "another class"
    result = look(1, 1.0, name=" Knife ", track=7)
    assert shot_of(fires(), result, frame_of(result)).score == 0.0, "another object"
    assert shot_of(fires(tracks=(3, 7)), result, frame_of(result)).score > 0
    assert shot_of(fires(tracks=()), result, frame_of(result)).score > 0, "nobody knows which"


def test_the_best_of_the_last_seconds_is_taken_at_once() -> None:
    choose = chooser()
    for number, box in enumerate([SMALL, LARGE, MIDDLE], 1):
        assert choose.observe(look(number, number * 0.1, box=box)) == ()
    (alert,) = choose.observe(look(4, 0.4, fires(), box=SMALL))
    assert alert.snapshot == "event-1"
    assert choose.expects("event-1")
    assert made(choose) == [("event-1", 2)]
    assert not choose.expects("event-1")


def test_what_was_long_before_is_not_evidence() -> None:
    choose = chooser()
    choose.observe(look(1, 1.0, box=LARGE))
    choose.observe(look(2, 6.5, box=SMALL))
    choose.observe(look(3, 7.0, fires(), box=SMALL))
    assert made(choose) in ([("event-1", 2)], [("event-1", 3)])


def test_a_better_one_that_comes_soon_takes_its_place() -> None:
    choose = chooser()
    choose.observe(look(1, 1.0, fires(), box=SMALL))
    assert made(choose) == [("event-1", 1)]
    for number, box in enumerate([MIDDLE, LARGE, MIDDLE], 2):
        choose.observe(look(number, 1.0 + number * 0.1, box=box))
        assert made(choose) == [], "it is waited for a better one still"
    choose.observe(look(5, 1.1 + AFTER_S, box=Box(0, 0, 320, 180)))
    assert made(choose) == [("event-1", 3)]
    choose.observe(look(6, 1.2 + AFTER_S, box=Box(0, 0, 320, 180)))
    choose.observe(look(7, 9.0, box=Box(0, 0, 320, 180)))
    assert made(choose) == [], "too late"


def test_a_hardly_better_one_is_not_worth_it() -> None:
    choose = chooser()
    choose.observe(look(1, 1.0, fires(), confidence=0.90))
    choose.observe(look(2, 1.5, confidence=0.95))
    choose.observe(look(3, 4.0))
    assert made(choose) == [("event-1", 1)]


def test_the_better_one_is_taken_when_no_more_frames_come() -> None:
    clock = Clock(1.0)
    choose = chooser(clock=clock)
    choose.observe(look(1, 1.0, fires(), box=SMALL))
    choose.observe(look(2, 1.5, box=LARGE))
    made(choose)
    blind = Result(timestamp=NOON, camera_id="main", status="blind", model="test", reason="lost")
    assert choose.observe(blind) == ()
    assert made(choose) == []
    clock.now = 1.1 + AFTER_S
    choose.observe(blind)
    assert made(choose) == [("event-1", 2)]


def test_the_better_one_is_taken_when_the_program_ends() -> None:
    choose = chooser()
    choose.observe(look(1, 1.0, fires(), box=SMALL))
    choose.observe(look(2, 1.5, box=LARGE))
    made(choose)
    choose.finish()
    assert made(choose) == [("event-1", 2)]


def test_a_higher_level_refers_to_the_same_or_a_better_one() -> None:
    choose = chooser()
    choose.observe(look(1, 1.0, fires(), box=MIDDLE))
    made(choose)
    (higher,) = choose.observe(look(2, 60.0, fires(threat_level="critical"), box=SMALL))
    assert (higher.snapshot, made(choose)) == ("event-1", []), "the same"
    choose.observe(look(3, 120.0, fires(threat_level="critical"), box=LARGE))
    assert made(choose) == [("event-1", 3)], "a better one"


def test_resolved_refers_to_it_and_takes_none() -> None:
    choose = chooser()
    choose.observe(look(1, 1.0, fires()))
    made(choose)
    (resolved,) = choose.observe(look(2, 9.0, fires(state="resolved"), box=LARGE))
    assert (resolved.snapshot, made(choose)) == ("event-1", [])
    (unknown,) = choose.observe(look(3, 9.0, fires("other", state="resolved")))
    assert unknown.snapshot == ""


def test_an_event_of_a_run_before_keeps_its_picture() -> None:
    choose = chooser(holds=lambda uid: uid == "event-1")
    (higher,) = choose.observe(look(1, 1.0, fires(), box=LARGE))
    assert (higher.snapshot, made(choose)) == ("event-1", [])


@pytest.mark.parametrize("uid", ["../etc/passwd", "a b", "", "x" * 65])
def test_an_event_with_a_name_that_is_no_reference_has_none(uid: str) -> None:
    choose = chooser()
    (alert,) = choose.observe(look(1, 1.0, fires(uid)))
    assert (alert.snapshot, made(choose)) == ("", [])


def test_two_events_of_one_frame_have_a_picture_each() -> None:
    choose = chooser()
    alerts = choose.observe(look(1, 1.0, fires("a"), fires("b", rule="other")))
    assert [alert.snapshot for alert in alerts] == ["a", "b"]
    assert made(choose) == [("a", 1), ("b", 1)]


def test_frames_are_held_of_objects_that_may_lead_and_of_no_others() -> None:
    shots = BestShots()
    person = look(1, 1.0, name="person")
    shots.observe(person, frame_of(person), {"knife"})
    assert not shots._shots
    rules = (Rule(name="anybody", level="low", any=("person",)),)
    choose = chooser(rules=lambda: rules)
    choose.observe(person)
    assert len(choose._shots._shots) == 1


def test_of_many_objects_the_best_seen_are_held() -> None:
    shots, last = BestShots(), None
    for number in range(1, 9):
        result = look(number, 1.0 + number / 100, track=number, confidence=number / 10)
        shots.observe(result, frame_of(result), {"knife"})
        last = result
    assert last is not None
    assert sorted(track for track, _ in shots._shots) == [5, 6, 7, 8]
    assert len(shots._shots) == MOST_OBJECTS
    now = Shot(last, frame_of(last), 0.0)
    assert shots.best(fires(tracks=(6,)), now).frame.sequence == 6
    assert shots.best(fires(tracks=(1,)), now) is now


def test_of_large_frames_fewer_are_held_and_always_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for most, kept in ((2 * picture().nbytes, [7, 8]), (1, [8])):
        monkeypatch.setattr(best, "MOST_BYTES", most)
        shots = BestShots()
        for number in range(1, 9):
            result = look(number, 1.0 + number / 100, track=number, confidence=number / 10)
            shots.observe(result, frame_of(result), {"knife"})
        assert sorted(track for track, _ in shots._shots) == kept


def test_better_frames_of_several_events_are_few_where_they_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (best, choice):
        monkeypatch.setattr(module, "MOST_BYTES", 2 * picture().nbytes)
    choose = chooser()
    events = [fires(f"event-{number}", tracks=(number,)) for number in (1, 2, 3)]
    for number, event in enumerate(events, 1):
        choose.observe(look(number, 1.0, event, track=number, box=SMALL))
    made(choose)
    for number in (1, 2, 3):
        choose.observe(look(number + 10, 1.1, track=number, box=LARGE))
    choose.finish()
    assert made(choose) == [("event-1", 11), ("event-2", 12)], "the third keeps its first"


def test_too_many_at_once_have_none_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    choose = chooser()
    told: list[Alert] = []
    for number in range(MOST_WAITING + 3):
        told += choose.observe(look(number + 1, 1.0 + number, fires(f"event-{number}")))
    assert [alert.snapshot != "" for alert in told] == [True] * MOST_WAITING + [False] * 3
    assert len(made(choose)) == MOST_WAITING
    assert caplog.text.count("too many wait to be made") == 3
    (alert,) = choose.observe(look(99, 99.0, fires("later")))
    assert alert.snapshot == "later"


def test_large_frames_that_wait_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "MOST_WAITING_BYTES", 3 * picture().nbytes)
    choose = chooser()
    for number in range(5):
        choose.observe(look(number + 1, 1.0 + number, fires(f"event-{number}")))
    same = picture()
    for number in range(5):
        choose.observe(look(50, 50.0, *(fires(f"same-{n}") for n in range(number)), image=same))
    assert len([uid for uid, _ in made(choose) if uid.startswith("event")]) == 3
    many = tuple(fires(f"many-{number}") for number in range(6))
    choose.observe(look(60, 60.0, *many, image=same))
    assert len(made(choose)) == 6, "one frame of several events is held once"
