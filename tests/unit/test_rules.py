"""The alert rules about a whole frame: pure functions of (detections, now)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import DEFAULT_RULES, Rule
from edge.configure import load_config
from edge.errors import ConfigError
from edge.geometry import Box
from edge.rules.checks import check_rules, judge, unknown_classes
from edge.rules.condition import crime_relevant, sightings
from edge.rules.engine import Look, RuleEngine
from edge.rules.labels import REMEMBERED_SECONDS, AlertLabels
from edge.types import Alert, Detection
from tests.seeing import NOW, SIZE, alerts_of, match, seen


def rule(**changes: object) -> Rule:
    return Rule(**{"name": "r", "level": "critical", "any": ("knife", "gun"), "all": ("person",), **changes})  # type: ignore[arg-type]


def look(detections: Sequence[Detection], now: float, monotonic: float, frame_id: int) -> Look:
    found = sightings(detections, [None] * len(detections), SIZE, ())
    return Look(found, SIZE, now, monotonic, frame_id)


def engine_of(*rules: Rule, **more: Any) -> RuleEngine:
    return RuleEngine(alerts_of(*rules), camera_id="main", **more)


def feed(engine: RuleEngine, *frames: list[Detection], start: float = 0.0) -> list[tuple[Alert, ...]]:
    """One frame a second, from ``start`` on the monotonic clock."""
    return [
        engine.update(look(detections, NOW + start + index, start + index, index + 1))
        for index, detections in enumerate(frames)
    ]


def states(alerts: Sequence[Sequence[Alert]]) -> list[str]:
    """For each frame ``f`` where it told that an event fires, ``r`` where one was resolved."""
    return ["".join(alert.state[0] for alert in each) for each in alerts]


def fires(detections: list[Detection], **changes: object) -> bool:
    return match(rule(**changes), detections) is not None


# What matches one frame


def test_a_frame_needs_one_of_any_and_every_one_of_all() -> None:
    assert fires([seen("knife"), seen("person")])
    assert fires([seen("gun"), seen("person")])
    assert not fires([seen("knife")])
    assert not fires([seen("person")])
    assert not fires([seen("person"), seen("dog")])
    assert fires([seen("person"), seen("dog")], any=(), all=("dog", "person"))
    assert not fires([seen("person")], any=(), all=("dog", "person"))
    assert fires([seen("gun")], all=())


def test_none_bars_a_frame() -> None:
    assert fires([seen("knife")], all=(), none=("person",))
    assert not fires([seen("knife"), seen("person")], all=(), none=("person",))


def test_detections_below_the_minimum_count_for_nothing() -> None:
    assert not fires([seen("knife", 0.49), seen("person")])
    assert not fires([seen("knife"), seen("person", 0.49)])
    assert fires([seen("knife", 0.5), seen("person", 0.5)])
    assert fires([seen("knife"), seen("person", 0.49)], all=(), none=("person",)), "a doubt must not hide a knife"


def test_class_names_are_compared_without_case_and_outer_spaces() -> None:
    assert fires([seen(" Knife"), seen("PERSON ")])
    assert fires([seen("knife"), seen("person")], any=("KNIFE ",), all=(" Person",))


def test_a_rule_without_classes_never_matches() -> None:
    assert not fires([], any=(), all=())
    assert not fires([seen("knife")], any=(), all=(), none=("person",))


# What an alert says


def test_the_alert_of_the_guide() -> None:
    knife = seen("knife", 0.95, Box(600, 330, 680, 390))
    engine = engine_of(rule(hold_hits=1, hold_frames=1), new_uid=lambda: "uid")
    (alert,) = engine.update(look([seen("person", 0.99), knife], NOW, 5.0, 7))
    assert alert == Alert(
        alert_id="alert_1710000002",
        timestamp=NOW,
        camera_id="main",
        rule="r",
        threat_level="critical",
        confidence=0.95,
        threat_types=("knife", "person"),
        location=(640, 360),
        detection_count=1,
        frame_id=7,
        event_uid="uid",
    )
    assert alert.message == "CRITICAL threat detected: knife, person"


def test_the_most_confident_weapon_leads_and_weapons_are_counted() -> None:
    gun = seen("gun", 0.8, Box(0, 0, 3, 3))
    detections = [seen("knife", 0.6), seen("knife", 0.7), gun, seen("person"), seen("person"), seen("gun", 0.1)]
    found = match(rule(), detections)
    assert found is not None
    assert found.leader is gun
    assert found.threat_types == ("gun", "knife", "person")
    assert found.count == 3


def test_without_any_the_first_class_of_all_leads() -> None:
    found = match(rule(any=(), all=("knife", "person")), [seen("person", 0.9), seen("knife", 0.6)])
    assert found is not None
    assert (found.leader.class_name, found.threat_types, found.count) == ("knife", ("knife", "person"), 2)


def test_a_class_in_any_and_all_is_named_once() -> None:
    found = match(rule(any=("person",), all=("person", "dog")), [seen("person"), seen("dog")])
    assert found is not None
    assert found.threat_types == ("person", "dog")


def test_the_location_is_whole_pixels() -> None:
    engine = engine_of(rule(all=(), hold_hits=1, hold_frames=1))
    ((alert,),) = feed(engine, [seen("knife", box=Box(0.4, 0.4, 5.0, 9.0))])
    assert alert.location == (3, 5)
    assert all(type(value) is int for value in alert.location)


# Hold, cooldown, states

THREAT, CALM = [seen("knife"), seen("person")], [seen("person")]


def test_hold_counts_hits_in_the_last_frames() -> None:
    engine = engine_of(rule(hold_hits=3, hold_frames=5))
    fired = feed(engine, THREAT, CALM, THREAT, CALM, CALM, THREAT, THREAT, CALM, THREAT)
    assert [len(alerts) for alerts in fired] == [0, 0, 0, 0, 0, 0, 1, 0, 0]
    assert fired[6][0].frame_id == 7


def test_hold_s_counts_from_the_first_of_the_matches_in_a_row() -> None:
    engine = engine_of(rule(hold_hits=1, hold_frames=2, hold_s=3.5))
    assert states(feed(engine, THREAT, CALM, THREAT, THREAT, CALM, CALM, *[THREAT] * 5)) == [*[""] * 10, "f"]
    assert states(feed(engine_of(rule(hold_hits=1, hold_frames=2, hold_s=3)), *[THREAT] * 4)) == ["", "", "", "f"]


def test_states() -> None:
    engine = engine_of(rule(hold_hits=2, hold_frames=3, resolve_after_s=1.5))
    states = []
    for index, frame in enumerate((CALM, THREAT, THREAT, CALM, CALM, CALM)):
        feed(engine, frame, start=index)
        states.append(engine.memories(index)[0].state)
    assert states == ["inactive", "pending", "firing", "firing", "inactive", "inactive"]


def test_what_stays_is_told_once_and_resolved_when_it_is_over() -> None:
    engine = engine_of(rule(hold_hits=1, hold_frames=1, cooldown_s=0, resolve_after_s=2))
    told = feed(engine, *[THREAT] * 8, *[CALM] * 4, THREAT)
    assert states(told) == ["f", *[""] * 7, "", "", "r", "", "f"]
    uids = [alert.event_uid for alerts in told for alert in alerts]
    assert uids[0] == uids[1] != uids[2]


def test_no_alert_on_a_frame_that_does_not_match_when_the_cooldown_ends() -> None:
    engine = engine_of(rule(hold_hits=1, hold_frames=3, cooldown_s=2, resolve_after_s=0.5))
    assert states(feed(engine, THREAT, CALM, THREAT, CALM, THREAT)) == ["f", "r", "", "", "f"]


def test_a_stepping_wall_clock_moves_no_cooldown_and_repeats_no_label() -> None:
    engine = engine_of(rule(hold_hits=1, hold_frames=1, cooldown_s=2, resolve_after_s=0.5))
    walls, labels = (NOW, NOW + 1e9, NOW - 1e9, NOW + 1e9, NOW), []
    for index, wall in enumerate(walls):
        frame = THREAT if index != 1 else CALM
        labels += [(index, alert.alert_id) for alert in engine.update(look(frame, wall, float(index), index))]
    assert labels == [(0, "alert_1710000002"), (1, "alert_2710000002"), (3, "alert_2710000002_2")]


def test_two_rules_in_one_frame_alert_in_their_order_with_different_labels() -> None:
    rules = [rule(name=name, hold_hits=1, hold_frames=1) for name in ("first", "second")]
    ((one, two),) = feed(engine_of(*rules), THREAT)
    assert (one.rule, two.rule) == ("first", "second")
    assert (one.alert_id, two.alert_id) == ("alert_1710000002", "alert_1710000002_2")


def test_the_built_in_rules_make_a_knife_with_a_person_critical() -> None:
    fired = [alert for alerts in feed(engine_of(*DEFAULT_RULES), *[THREAT] * 8) for alert in alerts]
    assert [(alert.rule, alert.threat_level) for alert in fired] == [("armed person", "critical")]


@pytest.mark.parametrize("person", [0.0, 0.3, 0.49, 0.5, 0.9])
def test_the_built_in_rules_see_a_knife_however_doubtful_the_person(person: float) -> None:
    assert any(feed(engine_of(*DEFAULT_RULES), *[[seen("knife"), seen("person", person)]] * 8))


# For every sequence of frames

frames = st.lists(st.lists(st.sampled_from([seen("knife"), seen("person"), seen("dog")]), max_size=3), max_size=40)
steps = st.lists(st.floats(0.0, 5.0), min_size=40, max_size=40)


@given(frames, steps, st.integers(1, 6), st.integers(0, 6), st.floats(0, 12), st.floats(0.5, 8))
def test_an_alert_needs_its_hits_and_respects_the_cooldown(
    sequence: list[list[Detection]], gaps: list[float], hits: int, spare: int, cooldown: float, resolve: float
) -> None:
    """The whole of a rule about the picture, as a model of ten lines has it."""
    watched = rule(hold_hits=hits, hold_frames=hits + spare, cooldown_s=cooldown, resolve_after_s=resolve)
    engine = engine_of(watched)
    matched: list[bool] = []
    clock, open_since_match, quiet_until = 0.0, None, 0.0
    for index, detections in enumerate(sequence):
        clock += gaps[index]
        matched.append(match(watched, detections) is not None)
        expected = ""
        if open_since_match is not None:
            if matched[-1]:
                open_since_match = clock
            elif clock - open_since_match > resolve:
                expected, open_since_match, quiet_until = "r", None, clock + cooldown
        elif matched[-1] and sum(matched[-watched.hold_frames :]) >= hits and clock >= quiet_until:
            expected, open_since_match = "f", clock
        assert states([engine.update(look(detections, NOW, clock, index))]) == [expected]


@given(st.lists(st.sampled_from(["knife", "gun", "person", "dog"])), st.lists(st.floats(0, 1), min_size=1))
def test_more_or_surer_detections_never_undo_a_match(names: list[str], scores: list[float]) -> None:
    detections = [seen(name, scores[index % len(scores)]) for index, name in enumerate(names)]
    surer = [seen(each.class_name, min(1.0, each.confidence + 0.2)) for each in detections]
    if fires(detections):
        assert fires([*detections, seen("person", 0.1), seen("gun")])
        assert fires(surer)


@given(st.lists(st.tuples(st.integers(1_000, 1_020), st.floats(0, 0.999)), max_size=100))
def test_labels_are_unique_and_name_their_second(times: list[tuple[int, float]]) -> None:
    labels = AlertLabels()
    given_out = [labels.label(second + part) for second, part in times]
    assert len(set(given_out)) == len(given_out)
    assert [int(label.split("_")[1]) for label in given_out] == [second for second, _ in times]


def test_labels_forget_the_longest_unused_second() -> None:
    labels = AlertLabels()
    for second in range(REMEMBERED_SECONDS):
        labels.label(second)
    assert labels.label(0) == "alert_0_2"
    labels.label(REMEMBERED_SECONDS)
    assert labels.label(0) == "alert_0_3"
    assert labels.label(2) == "alert_2_2"
    assert labels.label(1) == "alert_1", "second 1 was the longest unused when one more came"


# Helpers and checks


def test_crime_relevant_flags_each_detection() -> None:
    assert crime_relevant([seen("Knife"), seen("dog"), seen("person")], ["person", "knife "]) == (True, False, True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"any": ("knife\u2028",)}, "its name or that of a class holds control characters"),
        ({"any": (), "all": ()}, "asks for no class"),
        ({"any": (), "all": (), "none": ("person",)}, "asks for no class"),
        ({"any": ("knife", " ")}, "class name is empty"),
        ({"hold_hits": 6, "hold_frames": 5}, "hold_hits is 6 of hold_frames 5"),
        ({"none": ("Person",)}, "'person' stands in `all` and in `none`"),
        ({"none": ("gun", "knife")}, "every class of `any` stands in `none`"),
    ],
)
def test_an_impossible_rule_is_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=r"^alerts\.rules: rule 'bad': ") as caught:
        check_rules([rule(), rule(name="bad", **changes)])
    assert words in str(caught.value)


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="rule 'R ': another rule has this name"):
        check_rules([rule(), rule(name="R ")])


def test_the_built_in_rules_are_possible() -> None:
    check_rules(DEFAULT_RULES)


def test_rules_that_a_model_can_never_fire_are_told() -> None:
    assert unknown_classes([rule(), rule(any=()), rule(all=())], ["Person", "knife"]) == ()
    assert unknown_classes([rule(name="a", all=("person", "cat", "dog"))], ["person", "knife", "dog"]) == (
        "rule 'a' can never fire: the model does not know 'cat'",
    )
    assert unknown_classes([rule(name="a")], ["person"]) == (
        "rule 'a' can never fire: the model knows none of 'knife', 'gun'",
    )
    assert unknown_classes([rule(name="a", none=("knife",))], ["person", "knife"]) == (
        "rule 'a' can never fire: the model knows none of 'gun'",
    )
    many = tuple(f"x{number}" for number in range(64))
    assert unknown_classes([rule(name="a", any=many), rule(name="b", all=many[:4])], ["person"]) == (
        "rule 'a' can never fire: the model knows none of 'x0', 'x1', 'x2' and 61 more",
        "rule 'b' can never fire: the model does not know 'x0', 'x1', 'x2' and 1 more",
    )
    assert unknown_classes([rule(none=("unicorn",))], ["person", "knife"]) == (), "what is unknown is never in the way"


@pytest.mark.parametrize(
    "name", ["a\nWARNING forged", "\x1b[2J", "\x9b2J", "a\u2028b", "a\u2029b", "gun\u202eemas", "\u2066a"]
)
def test_a_name_that_forges_a_line_or_steers_a_terminal_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^alerts\.rules: rule ") as caught:
        check_rules([rule(name=name)])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["Messer am Körper", "چاقو\u200cکشی", "刀", "knife 🔪"])
def test_names_of_every_language_are_taken(name: str) -> None:
    check_rules([rule(name=name)])


@pytest.mark.parametrize(
    ("overrides", "class_names", "lines"),
    [
        ((), ["person", "knife"], ()),
        (("alerts.rules=[]",), ["person", "knife"], ("no rule can fire: alerts.rules is empty",)),
        ((), ["cat"], ("no rule can fire: the model lacks their classes",)),
        (
            ("detector.score_threshold=0.95",),
            ["person", "knife"],
            ("detector.score_threshold is 0.95: hardly anything can be detected",),
        ),
        (("detector.score_threshold=0.94",), ["person", "knife"], ()),
        (
            ("alerts.rules.0.min_confidence=0.97", "alerts.rules.1.hold_frames=500", "alerts.rules.1.hold_hits=500"),
            ["person", "knife", "scissors"],
            (
                "rule 'armed person' can hardly fire: min_confidence is 0.97",
                "rule 'weapon' can hardly fire: hold_hits is 500",
            ),
        ),
        (
            ("alerts.rules.2.name=own",),
            ["person", "knife"],
            ("rule 'own' can never fire: the model knows none of 'scissors', 'baseball bat'",),
        ),
        (
            ("alerts.rules.0.max_size=0", "alerts.rules.1.min_size=1", "alerts.rules.2.hold_s=3600"),
            ["person", "knife", "scissors"],
            (
                "rule 'armed person' can hardly fire: max_size is 0",
                "rule 'weapon' can hardly fire: min_size is 1",
                "rule 'possible weapon' can hardly fire: hold_s is 3600",
            ),
        ),
        (('alerts.rules.0.any=["class 3"]', 'alerts.rules.0.all=["Class 0"]'), [], ()),
        (
            ("alerts.rules=[]", "detector.score_threshold=1"),
            [],
            (
                "no rule can fire: alerts.rules is empty",
                "detector.score_threshold is 1: hardly anything can be detected",
            ),
        ),
    ],
)
def test_settings_under_which_silence_is_no_safety(
    overrides: Sequence[str], class_names: Sequence[str], lines: tuple[str, ...]
) -> None:
    assert judge(load_config(None, {}, overrides), class_names) == lines
