"""What holds for every sequence of frames, gaps, clocks and changes of settings."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import Alerts
from edge.rules.engine import FORGET_S, OUTAGE_S
from edge.types import LEVELS, Alert, Detection
from tests.seeing import Eyes, alerts_of, standing

DOOR = {"name": "door", "points": [[0.3, 0.3], [0.7, 0.3], [0.7, 1], [0.3, 1]]}
STEP = {"name": "step", "start": [0.1, 0.6], "end": [0.9, 0.6]}
NIGHT = {"name": "night", "times": ["mon-fri 20:00-07:00"]}
ESCALATE = [{"after_s": 2, "level": "medium"}, {"after_s": 6, "level": "high"}]
QUICK = {"hold_hits": 2, "hold_frames": 3, "resolve_after_s": 1.5}
RULES: list[dict[str, Any]] = [
    {"name": "seen", "level": "low", "any": ["person"], "cooldown_s": 4, "escalate": ESCALATE},
    {"name": "armed", "level": "low", "any": ["knife"], "all": ["person"], "near": 1, "cooldown_s": 0},
    {"name": "night", "level": "medium", "any": ["person"], "schedule": "night", "min_count": 2},
    {"name": "entered", "level": "low", "any": ["person"], "when": "entered", "zones": ["door"], "cooldown_s": 2},
    {"name": "dwelt", "level": "low", "any": ["person"], "when": "dwelt", "dwell_s": 1, "escalate": ESCALATE},
    {"name": "crossed", "level": "low", "any": ["person", "dog"], "when": "crossed", "line": "step"},
]
for rule in RULES:
    rule.update(QUICK, **({} if rule.get("when", "seen") == "seen" else {"track_cooldown_s": 5}))


def plan(rules: list[dict[str, Any]]) -> Alerts:
    return alerts_of(*rules, zones=[DOOR], lines=[STEP], schedules=[NIGHT], time_zone="Europe/Berlin", max_lost_s=0.5)


@dataclass
class Events:
    """What was told, checked as it comes."""

    told: dict[str, list[Alert]] = field(default_factory=lambda: defaultdict(list))

    def take(self, alerts: tuple[Alert, ...]) -> None:
        for alert in alerts:
            before = self.told[alert.event_uid]
            if not before:
                assert alert.state == "firing"
            else:
                assert before[-1].state == "firing", "nothing after a resolved one"
                assert before[-1].rule == alert.rule
                rise = LEVELS.index(alert.threat_level) - LEVELS.index(before[-1].threat_level)
                assert rise == 0 if alert.state == "resolved" else rise > 0
            before.append(alert)

    def open_ones(self, rule: str) -> list[Alert]:
        return [told[0] for told in self.told.values() if told[-1].state == "firing" and told[-1].rule == rule]


scores = st.sampled_from([0.25, 0.45, 0.6, 0.9])
things = st.builds(
    lambda name, x, y, score: standing(x, y, name, score, 40 if name == "knife" else 200),
    st.sampled_from(["person", "person", "knife", "dog"]),
    st.sampled_from([150, 350, 420, 500, 800]),
    st.sampled_from([400, 550, 590, 640, 900]),
    scores,
)
stays = st.tuples(
    st.lists(things, max_size=4),
    st.integers(1, 25),
    st.sampled_from([0.0] * 6 + [0.7, 3.0, FORGET_S + 1, OUTAGE_S + 1]),
)
jumps = st.sampled_from([0.0] * 4 + [3600.0 * 11, 3e7, -3e7, 1e9, -1.6e9])
changes = st.sampled_from([None] * 5 + [("other", 0.4), ("back", 0.4), ("back", 0.5)])
days = st.lists(st.tuples(stays, jumps, changes, st.booleans()), min_size=1, max_size=12)


@settings(max_examples=50, deadline=None)
@given(days, st.integers(0, 1 << 32).map(random.Random))
def test_every_event_fires_grows_worse_and_is_resolved(day: list[Any], dice: random.Random) -> None:
    full = plan(RULES)
    other = plan([*RULES[1:5], {**RULES[0], "level": "medium", "escalate": ()}])
    look, events = Eyes(full), Events()
    for (frame, count, gap), jump, change, blinks in day:
        look.at += gap
        look.wall += jump
        look.wall_known = jump != -1.6e9
        if change is not None:
            look.engine.replace(other if change[0] == "other" else full, change[1])
        for _ in range(count):
            shown: list[Detection] = [each for each in frame if not blinks or dice.random() < 0.6]
            events.take(look.look(*shown))
            for rule in RULES[:3]:
                assert len(events.open_ones(rule["name"])) <= 1
            for memory in look.engine.memories(look.at):
                numbers = [event.track_id for event in memory.events if event.track_id is not None]
                assert len(numbers) == len(set(numbers))
                assert len(memory.events) == len(events.open_ones(memory.rule.name))
                assert len(memory.refused) <= 32
    events.take(look.watch(QUICK["resolve_after_s"] + 0.2))
    assert all(told[-1].state == "resolved" for told in events.told.values()), "once nothing is there any more"


@settings(max_examples=50, deadline=None)
@given(st.lists(stays, min_size=1, max_size=15), st.integers(0, 1 << 32).map(random.Random))
def test_cooldowns_are_kept(day: list[Any], dice: random.Random) -> None:
    """Of the rule for the scene, of the rule for objects, and of each object."""
    look = Eyes(plan(RULES))
    for frame, count, gap in day:
        look.at += gap
        for _ in range(count):
            look.look(*(each for each in frame if dice.random() < 0.7))
    wall = look.wall
    for name, quiet in (("seen", 4.0), ("entered", 2.0)):
        ends = [alert.timestamp - wall for alert in look.told if alert.rule == name and alert.state == "resolved"]
        begins = {alert.event_uid: alert.timestamp - wall for alert in reversed(look.told) if alert.rule == name}
        for begin, end in itertools.product(begins.values(), ends):
            assert not end + 1e-6 < begin < end + quiet - 1e-6
    by_object = defaultdict(list)
    for alert in look.told:
        if alert.rule in ("dwelt", "crossed") and alert.tracks:
            by_object[alert.rule, alert.tracks].append(alert)
    for told in by_object.values():
        for first, second in itertools.pairwise(told):
            if (first.state, second.state) == ("resolved", "firing"):
                assert second.timestamp - first.timestamp >= 5.0 - 1e-6


@settings(max_examples=30, deadline=None)
@given(st.lists(stays, min_size=1, max_size=10), jumps)
def test_the_wall_clock_moves_nothing_but_schedules(day: list[Any], jump: float) -> None:
    without = plan([{**rule, "schedule": ""} for rule in RULES])
    told = []
    for jumping in (0.0, jump):
        look = Eyes(without)
        for frame, count, gap in day:
            look.at += gap
            look.wall += jumping
            for _ in range(count):
                look.look(*frame)
        told.append(
            [(alert.rule, alert.state, alert.threat_level, alert.frame_id, alert.tracks) for alert in look.told]
        )
    assert told[0] == told[1]
