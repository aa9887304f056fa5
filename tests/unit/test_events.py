"""What happens over time: objects that come, stay and cross; events that begin, grow worse and end."""

from __future__ import annotations

from typing import Any

import pytest

from edge.config import Alerts
from edge.types import Alert, Detection
from tests.seeing import NOW, Eyes, alerts_of, standing

DOOR = {"name": "door", "points": [[0.4, 0.4], [0.6, 0.4], [0.6, 1], [0.4, 1]]}
MASK = {"name": "poster", "points": [[0.8, 0], [1, 0], [1, 1], [0.8, 1]], "kind": "exclude"}
LINE = {"name": "step", "start": [0.1, 0.5], "end": [0.9, 0.5]}  # to_right is down in the picture
PERSON: dict[str, Any] = {"name": "p", "level": "low", "any": ["person"]}
ENTERED = {**PERSON, "when": "entered", "zones": ["door"]}
DWELT = {**PERSON, "when": "dwelt", "dwell_s": 3, "zones": ["door"]}
CROSSED = {**PERSON, "when": "crossed", "line": "step", "hold_hits": 1, "hold_frames": 1}
INSIDE, OUTSIDE = (500.0, 700.0), (250.0, 700.0)


def shop(*rules: dict[str, Any], **more: Any) -> Alerts:
    return alerts_of(*rules, zones=[DOOR, MASK], lines=[LINE], **more)


def eyes(*rules: dict[str, Any], **more: Any) -> Eyes:
    return Eyes(shop(*rules), **more)


def walk(
    look: Eyes, start: tuple[float, float], end: tuple[float, float], seconds: float, *others: Detection
) -> tuple[Alert, ...]:
    """Somebody walks, ten frames a second."""
    steps = round(seconds * 10)
    return tuple(
        alert
        for n in range(1, steps + 1)
        for alert in look.look(
            standing(start[0] + (end[0] - start[0]) * n / steps, start[1] + (end[1] - start[1]) * n / steps), *others
        )
    )


# Entered


def test_who_comes_in_is_told_once_and_resolved_after_leaving() -> None:
    look = eyes(ENTERED)
    assert look.watch(2, standing(*OUTSIDE)) == ()
    assert [alert.state for alert in walk(look, OUTSIDE, INSIDE, 2)] == ["firing"]
    assert look.watch(30, standing(*INSIDE)) == ()
    walk(look, INSIDE, OUTSIDE, 2)
    assert [alert.state for alert in look.watch(6, standing(*OUTSIDE))] == ["resolved"]
    first, last = look.told
    assert first.event_uid == last.event_uid
    assert first.tracks == (1,)
    assert 400 < first.location[0] < 600


def test_who_appears_in_the_zone_has_come_in() -> None:
    """Through the door that the zone is: nobody saw this person outside."""
    look = eyes(ENTERED)
    assert [alert.state for alert in look.watch(1, standing(*INSIDE))] == ["firing"]


def test_a_box_that_trembles_at_the_edge_comes_in_once() -> None:
    look = eyes(ENTERED)
    look.watch(2, standing(*OUTSIDE))
    for n in range(200):
        look.look(standing(400 + (8 if n % 3 else -8), 700))
    assert look.brief == [("p", "firing", "low")]


def test_who_comes_again_is_told_after_the_object_s_cooldown_only() -> None:
    look = eyes({**ENTERED, "track_cooldown_s": 20})
    for _ in range(2):
        walk(look, OUTSIDE, INSIDE, 1)
        walk(look, INSIDE, OUTSIDE, 1)
        look.watch(8, standing(*OUTSIDE))
    assert look.brief == [("p", "firing", "low"), ("p", "resolved", "low")]
    look.watch(20, standing(*OUTSIDE))
    walk(look, OUTSIDE, INSIDE, 1)
    assert look.brief[2:] == [("p", "firing", "low")]


# Dwelt


def test_who_stays_is_told_after_dwell_s() -> None:
    look = eyes(DWELT)
    begin = look.at
    (alert,) = look.watch(10, standing(*INSIDE))
    assert alert.timestamp - NOW - (begin - 100.0) == pytest.approx(3.1, abs=0.11)


def test_who_passes_through_is_not() -> None:
    look = eyes(DWELT)
    walk(look, OUTSIDE, INSIDE, 1.5)
    walk(look, INSIDE, (750.0, 700.0), 1.5)
    look.watch(10, standing(750, 700))
    assert look.told == []


def test_who_leaves_for_longer_than_a_flicker_begins_anew() -> None:
    look = eyes(DWELT)
    for _ in range(4):
        look.watch(2.4, standing(415, 700))
        look.watch(1.4, standing(395, 700))
    assert look.told == []
    look.watch(2.4, standing(415, 700))
    look.watch(0.6, standing(395, 700))
    assert [alert.state for alert in look.watch(1, standing(415, 700))] == ["firing"]


def test_two_who_stay_are_two_events() -> None:
    look = eyes(DWELT)
    look.watch(5, standing(430, 700), standing(570, 700))
    assert look.brief == [("p", "firing", "low")] * 2
    assert {alert.tracks for alert in look.told} == {(1,), (2,)}
    look.watch(6, standing(430, 700))
    assert look.brief[2:] == [("p", "resolved", "low")]
    assert look.told[2].event_uid == next(alert.event_uid for alert in look.told if alert.tracks == look.told[2].tracks)


def test_escalation() -> None:
    look = eyes({**DWELT, "escalate": [{"after_s": 30, "level": "medium"}, {"after_s": 120, "level": "high"}]})
    begin = look.at
    look.watch(200, standing(*INSIDE))
    look.watch(10)
    assert look.brief == [(*("p", "firing"), level) for level in ("low", "medium", "high")] + [
        ("p", "resolved", "high")
    ]
    assert len({alert.event_uid for alert in look.told}) == 1
    assert [round(alert.timestamp - NOW - begin + 100) for alert in look.told[:3]] == [3, 30, 120]


def test_what_lasts_long_enough_already_begins_with_the_higher_level() -> None:
    look = eyes({**DWELT, "dwell_s": 40, "escalate": [{"after_s": 30, "level": "medium"}]})
    look.watch(60, standing(*INSIDE))
    assert look.brief == [("p", "firing", "medium")]


def test_a_lost_object_that_appears_again_goes_on_with_its_event() -> None:
    """Behind a pillar for longer than the tracker remembers, and there again before the event is over."""
    look = eyes(DWELT)
    look.watch(5, standing(*INSIDE))
    look.watch(3)
    look.watch(20, standing(510, 700))
    look.watch(10)
    assert look.brief == [("p", "firing", "low"), ("p", "resolved", "low")]
    assert look.told[1].tracks == (2,)


def test_an_object_that_was_there_before_does_not_take_over_the_event_of_another() -> None:
    look = eyes(DWELT)
    look.watch(4, standing(450, 700))
    look.watch(2, standing(450, 700), standing(540, 700))
    look.watch(10, standing(540, 700))
    assert look.brief == [("p", "firing", "low"), ("p", "firing", "low"), ("p", "resolved", "low")]


def test_masked_objects_count_for_no_rule() -> None:
    look = eyes({**DWELT, "zones": []}, {**PERSON, "name": "seen"})
    look.watch(10, standing(900, 700))
    assert look.told == []
    look.watch(10, standing(700, 700))
    assert {alert.rule for alert in look.told} == {"p", "seen"}


# Crossed


def test_who_goes_over_the_line_is_told() -> None:
    look = eyes(CROSSED)
    walk(look, (500, 300), (500, 700), 2)
    look.watch(6, standing(500, 700))
    assert look.brief == [("p", "firing", "low"), ("p", "resolved", "low")]


@pytest.mark.parametrize(("direction", "told"), [("any", True), ("to_right", True), ("to_left", False)])
def test_directions(direction: str, told: bool) -> None:
    look = eyes({**CROSSED, "direction": direction})
    walk(look, (500, 300), (500, 700), 2)
    assert bool(look.told) is told
    other = eyes({**CROSSED, "direction": direction})
    walk(other, (500, 700), (500, 300), 2)
    assert bool(other.told) is (direction != "to_right")


def test_who_trembles_on_the_line_or_goes_past_it_does_not_cross() -> None:
    look = eyes(CROSSED)
    for n in range(100):
        look.look(standing(500, 500 + (8 if n % 2 else -8)))
    walk(look, (500, 492), (500, 300), 1)
    walk(look, (500, 300), (50, 300), 1)
    walk(look, (50, 300), (50, 700), 1)
    assert look.told == []


def test_who_is_doubtful_on_the_line_and_sure_after_it_has_crossed() -> None:
    look = eyes(CROSSED)
    for n in range(20):
        y = 300 + 20 * n
        look.look(standing(500, y, confidence=0.3 if 450 <= y <= 560 else 0.9))
    assert look.brief == [("p", "firing", "low")]


# Together with others


def test_near() -> None:
    armed = {"name": "a", "level": "critical", "any": ["knife"], "all": ["person"], "near": 0.5}
    knife = standing(500, 500, "knife", height=40)
    look = eyes(armed)
    look.watch(3, standing(200, 600), knife)
    assert look.told == []
    look.watch(1, standing(400, 600), standing(200, 600), knife)
    assert look.brief == [("a", "firing", "critical")]
    assert look.told[0].threat_types == ("knife", "person")
    assert look.told[0].detection_count == 1


def test_min_count_counts_objects_and_no_doubles() -> None:
    crowd = {**PERSON, "min_count": 3}
    look = eyes(crowd)
    pair = (standing(200, 700), standing(600, 700))
    look.watch(3, *pair, standing(205, 680, confidence=0.6, height=170))
    assert look.told == []
    look.watch(3, *pair, standing(400, 700))
    assert look.brief == [("p", "firing", "low")]
    assert look.told[0].detection_count == 3


@pytest.mark.parametrize(("height", "told"), [(190.0, False), (210.0, True), (390.0, True), (410.0, False)])
def test_sizes(height: float, told: bool) -> None:
    look = eyes({**PERSON, "min_size": 0.2, "max_size": 0.4})
    look.watch(1, standing(500, 700, height=height))
    assert bool(look.told) is told


def test_a_box_that_reaches_out_of_the_picture_is_not_too_high() -> None:
    look = eyes(PERSON)
    look.watch(1, standing(500, 1040, height=1080))
    assert look.brief == [("p", "firing", "low")]


# Schedules

NIGHT = {"name": "night", "times": ["20:00-07:00"]}
EVENING = 1710014399.0  # a Saturday in UTC, one second before 20:00


def test_a_schedule_begins_and_ends() -> None:
    alerts = shop({**PERSON, "schedule": "night"}, schedules=[NIGHT], time_zone="UTC")
    look = Eyes(alerts)
    look.wall = EVENING - look.at - 4.0
    look.watch(3, standing(*INSIDE))
    assert look.told == []
    look.watch(5, standing(*INSIDE))
    assert look.brief == [("p", "firing", "low")]
    look.wall += 11 * 3600
    look.watch(8, standing(*INSIDE))
    assert look.brief[1:] == [("p", "resolved", "low")]


def test_while_the_time_is_not_known_a_schedule_holds() -> None:
    look = Eyes(shop({**PERSON, "schedule": "night"}, schedules=[NIGHT], time_zone="UTC"))
    look.wall_known = False
    look.wall = EVENING - look.at - 3600
    look.watch(1, standing(*INSIDE))
    assert look.brief == [("p", "firing", "low")]


# No frames for a while


def test_a_short_outage_ends_no_event_and_tells_none_twice() -> None:
    for rule in (DWELT, ENTERED, {**PERSON, "cooldown_s": 0}):
        look = eyes(rule)
        look.watch(5, standing(*INSIDE))
        look.at += 40
        look.watch(10, standing(560, 700))
        assert look.brief == [("p", "firing", "low")], rule
        look.watch(10)
        assert look.brief == [("p", "firing", "low"), ("p", "resolved", "low")], rule


def test_who_is_gone_after_an_outage_is_resolved_resolve_after_s_later() -> None:
    look = eyes(DWELT)
    look.watch(5, standing(*INSIDE))
    look.at += 40
    look.watch(4.9)
    assert look.brief == [("p", "firing", "low")]
    look.watch(0.5)
    assert look.brief == [("p", "firing", "low"), ("p", "resolved", "low")]


def test_after_a_long_outage_what_is_seen_is_another_event() -> None:
    for rule in (DWELT, {**PERSON, "cooldown_s": 0}):
        look = eyes(rule)
        look.watch(5, standing(*INSIDE))
        look.at += 61
        look.watch(10, standing(*INSIDE))
        assert [state for _, state, _ in look.brief] == ["firing", "resolved", "firing"], rule


def test_what_was_held_before_an_outage_does_not_count_after_it() -> None:
    for rule in ({**DWELT, "dwell_s": 6}, {**PERSON, "hold_hits": 60, "hold_frames": 60}):
        look = Eyes(shop(rule, max_lost_s=60))
        look.watch(5, standing(*INSIDE))
        look.at += 5.1
        look.watch(5, standing(*INSIDE))
        assert look.told == [], rule
        look.watch(1.2, standing(*INSIDE))
        assert look.brief == [("p", "firing", "low")], rule


def test_a_board_that_takes_many_seconds_for_each_frame_tells_and_ends_events() -> None:
    for rule in (DWELT, ENTERED, PERSON):
        look = eyes(rule, fps=1 / 7)
        look.watch(70, standing(*INSIDE))
        assert look.brief == [("p", "firing", "low")], rule
        look.watch(70)
        assert look.brief == [("p", "firing", "low"), ("p", "resolved", "low")], rule


def test_frames_of_before_the_end_of_an_event_do_not_make_the_next_one() -> None:
    look = eyes({**PERSON, "hold_hits": 3, "hold_frames": 30, "resolve_after_s": 0.5, "cooldown_s": 0})
    look.watch(1, standing(*INSIDE))
    look.watch(1)
    look.look(standing(*INSIDE))
    assert look.brief == [("p", "firing", "low"), ("p", "resolved", "low")]
    look.watch(0.2, standing(*INSIDE))
    assert look.brief[2:] == [("p", "firing", "low")]


@pytest.mark.parametrize("rule", [ENTERED, PERSON])
def test_an_event_that_an_outage_ended_has_its_cooldown(rule: dict[str, Any]) -> None:
    look = eyes({**rule, "cooldown_s": 4})
    look.watch(2, standing(*INSIDE))
    look.at += 61
    look.watch(3.9, standing(*INSIDE))
    assert look.brief == [("p", "firing", "low"), ("p", "resolved", "low")]
    look.watch(1, standing(*INSIDE))
    assert look.brief[2:] == [("p", "firing", "low")]


# Before the start


def open_alert(look: Eyes) -> Alert:
    return next(alert for alert in reversed(look.told) if alert.state == "firing")


@pytest.mark.parametrize("rule", [DWELT, ENTERED, {**PERSON, "cooldown_s": 0}])
def test_what_went_on_before_a_restart_is_no_news(rule: dict[str, Any]) -> None:
    before = eyes(rule)
    before.watch(5, standing(*INSIDE))
    after = eyes(rule, inherited=[open_alert(before)], start=7.0)
    after.watch(10, standing(560, 700))
    assert after.told == []
    after.watch(10)
    assert after.brief == [("p", "resolved", "low")]
    assert after.told[0].event_uid == before.told[0].event_uid


def test_what_is_over_by_the_restart_is_resolved_and_another_is_told() -> None:
    before = eyes(DWELT)
    before.watch(5, standing(420, 700))
    after = eyes(DWELT, inherited=[open_alert(before)], start=7.0)
    after.watch(10, standing(580, 900, height=100))
    assert after.brief == [("p", "firing", "low"), ("p", "resolved", "low")]
    assert after.told[1].event_uid == before.told[0].event_uid != after.told[0].event_uid


def test_a_restart_goes_on_with_the_escalation() -> None:
    rule = {**DWELT, "escalate": [{"after_s": 60, "level": "high"}]}
    before = eyes(rule)
    before.watch(40, standing(*INSIDE))
    after = eyes(rule, inherited=[open_alert(before)], start=70.0)
    after.wall = NOW - 100 + 140 - after.at
    after.watch(30, standing(*INSIDE))
    assert after.brief == [("p", "firing", "high")]
    assert after.told[0].event_uid == before.told[0].event_uid


@pytest.mark.parametrize("away_s", [70.0, -70.0], ids=["hours without power", "a clock that was set back meanwhile"])
@pytest.mark.parametrize("rule", [DWELT, ENTERED, {**PERSON, "cooldown_s": 0}])
def test_what_fired_before_the_machine_started_is_over_and_who_is_there_then_is_told(
    rule: dict[str, Any], away_s: float
) -> None:
    before = eyes(rule)
    before.watch(5, standing(*INSIDE))
    after = eyes(rule, inherited=[open_alert(before)], start=20.0)
    after.wall = before.at + before.wall + away_s - after.at
    after.watch(10, standing(*INSIDE))
    assert [state for _, state, _ in after.brief] == ["resolved", "firing"]
    assert after.told[0].event_uid == before.told[0].event_uid != after.told[1].event_uid


def test_events_of_rules_that_are_gone_and_second_ones_of_a_rule_are_resolved() -> None:
    before = eyes(PERSON, {**PERSON, "name": "gone"})
    before.watch(5, standing(*INSIDE))
    first, gone = before.told
    second = eyes(PERSON)
    second.watch(1, standing(*INSIDE))
    after = eyes(PERSON, inherited=[first, gone, *second.told])
    after.look(standing(*INSIDE))
    assert {(alert.rule, alert.state, alert.event_uid) for alert in after.told} == {
        ("gone", "resolved", gone.event_uid),
        ("p", "resolved", second.told[0].event_uid),
    }


# Other settings in between


def test_a_rule_that_stays_goes_on_when_others_change() -> None:
    look = eyes(DWELT)
    look.watch(2, standing(*INSIDE))
    look.engine.replace(shop(DWELT, {**PERSON, "name": "new", "min_confidence": 0.95}), 0.5)
    look.watch(2, standing(*INSIDE))
    assert look.brief == [("p", "firing", "low")], "what it remembered counts, and what goes on is told once"


def test_the_events_of_a_rule_that_changes_are_resolved() -> None:
    look = eyes(PERSON)
    look.watch(2, standing(*INSIDE))
    look.engine.replace(shop({**PERSON, "min_confidence": 0.95}), 0.4)
    look.watch(2, standing(*INSIDE))
    assert look.brief == [("p", "firing", "low"), ("p", "resolved", "low")]
    assert [memory.state for memory in look.engine.memories(look.at)] == ["inactive"]


def test_a_line_that_is_moved_is_the_one_that_counts() -> None:
    look = eyes(CROSSED)
    look.watch(1, standing(500, 600))
    moved = alerts_of(CROSSED, lines=[{**LINE, "start": [0.1, 0.8], "end": [0.9, 0.8]}], zones=[DOOR])
    look.engine.replace(moved, 0.4)
    walk(look, (500, 600), (500, 700), 1)
    assert look.told == []
    walk(look, (500, 700), (500, 900), 1)
    assert look.brief == [("p", "firing", "low")]
