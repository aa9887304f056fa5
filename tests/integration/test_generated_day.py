"""A day in a shop, drawn by dice with known truth: one alert for every true event, and none besides."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from edge.outbox.open_events import open_events
from edge.types import Alert, Detection
from tests.seeing import Eyes, alerts_of, standing

FPS = 10
DOOR = {"name": "door", "points": [[0.4, 0.3], [0.6, 0.3], [0.6, 1], [0.4, 1]]}
POSTER = {"name": "poster", "points": [[0.9, 0], [1, 0], [1, 0.5], [0.9, 0.5]], "kind": "exclude"}
LINE = {"name": "step", "start": [0.05, 0.5], "end": [0.95, 0.5]}
RULES = (
    {"name": "waits", "level": "low", "any": ["person"], "zones": ["door"], "when": "dwelt", "dwell_s": 6,
     "escalate": [{"after_s": 25, "level": "high"}]},
    {"name": "steps up", "level": "low", "any": ["person"], "when": "crossed", "line": "step", "direction": "to_left",
     "hold_hits": 1, "hold_frames": 1},
    {"name": "armed", "level": "critical", "any": ["knife"], "all": ["person"], "near": 0.5},
)  # fmt: skip


@dataclass
class Visit:
    """Somebody walks from point to point, each with a wait; ``knife`` says whether one is in the hand."""

    stops: list[tuple[float, float, float]]  # x, y, seconds there
    knife: bool = False
    speed: float = 120.0
    truth: Counter[tuple[str, str]] = field(default_factory=Counter)

    def path(self) -> list[tuple[float, float]]:
        places, (x, y, _) = [], self.stops[0]
        for to_x, to_y, wait in self.stops:
            steps = max(1, round(((to_x - x) ** 2 + (to_y - y) ** 2) ** 0.5 / self.speed * FPS))
            places += [(x + (to_x - x) * n / steps, y + (to_y - y) * n / steps) for n in range(1, steps + 1)]
            places += [(to_x, to_y)] * round(wait * FPS)
            x, y = to_x, to_y
        return places


def visits(dice: random.Random) -> list[list[Visit]]:
    """Groups that are in the picture together, with what is true of each person."""
    y = dice.uniform(700, 900)
    return dice.choice(
        [
            # waits at the door, and leaves
            lambda: [Visit([(100, y, 1), (500, y, 14), (100, y, 1)], truth=Counter({("waits", "low"): 1}))],
            # for long
            lambda: [
                Visit(
                    [(900, y, 1), (500, y, 40), (100, y, 1)], truth=Counter({("waits", "low"): 1, ("waits", "high"): 1})
                )
            ],
            # passes by
            lambda: [Visit([(50, y, 1), (950, y, 1)])],
            # two pass each other, one of them hidden for a moment
            lambda: [Visit([(50, 800, 1), (950, 800, 1)]), Visit([(950, 830, 1), (50, 830, 1)])],
            # one waits while another passes in front
            lambda: [
                Visit([(500, 780, 18)], truth=Counter({("waits", "low"): 1})),
                Visit([(50, 830, 5), (950, 830, 1)], speed=200),
            ],
            # two wait side by side
            lambda: [
                Visit([(100, 850, 1), (450, 850, 15), (100, 850, 1)], truth=Counter({("waits", "low"): 1})),
                Visit([(900, 850, 1), (560, 850, 15), (900, 850, 1)], truth=Counter({("waits", "low"): 1})),
            ],
            # goes up the step and later down again, on which nobody asked
            lambda: [Visit([(200, 700, 1), (200, 300, 12), (200, 700, 2)], truth=Counter({("steps up", "low"): 1}))],
            # with a knife
            lambda: [
                Visit([(800, y, 1), (850, y, 10), (750, y, 2)], knife=True, truth=Counter({("armed", "critical"): 1}))
            ],
        ]
    )()


def shown(group: list[Visit], step: int, dice: random.Random) -> list[Detection]:
    """What a restless detector makes of it: boxes tremble, blink, double, merge, and there is noise."""
    places = [(visit, *path[step]) for visit in group if step < len(path := visit.path())]
    found = []
    for visit, x, y in places:
        if any(abs(x - other_x) < 50 and y < other_y for other, other_x, other_y in places if other is not visit):
            continue  # who is behind is not seen
        score = dice.choices([dice.uniform(0.55, 0.95), dice.uniform(0.22, 0.39), 0.0], [0.8, 0.12, 0.08])[0]
        if score:
            found.append(standing(x + dice.gauss(0, 3), y + dice.gauss(0, 3), "person", score))
        if score and dice.random() < 0.2:
            found.append(standing(x + dice.gauss(0, 4), y - 20, "person", score * 0.8, 160))
        if visit.knife and dice.random() < 0.8:
            found.append(standing(x + 45, y - 90, "knife", dice.uniform(0.5, 0.9), 40))
    if dice.random() < 0.05:
        found.append(standing(dice.uniform(0, 1000), dice.uniform(500, 1000), "person", dice.uniform(0.2, 0.45)))
    if dice.random() < 0.05:
        found.append(standing(dice.uniform(50, 950), 300, "knife", dice.uniform(0.3, 0.7), 30))
    found.append(standing(950, 300, "person", 0.8))  # on the poster
    return found


@pytest.mark.parametrize("seed", range(4))
def test_one_alert_for_every_true_event(seed: int) -> None:
    dice = random.Random(seed)
    alerts = alerts_of(*RULES, zones=[DOOR, POSTER], lines=[LINE])
    look = Eyes(alerts, fps=FPS)
    told: list[Alert] = []
    for number in range(25):
        group = visits(dice)
        truth = sum((visit.truth for visit in group), Counter[tuple[str, str]]())
        length = max(len(visit.path()) for visit in group)
        restart = dice.randrange(length) if number % 5 == 4 else -1
        before = len(told)
        for step in range(length + 25 * FPS):
            if step == restart:  # and a new start; the clock on the wall goes on
                wall = look.at + look.wall
                look = Eyes(alerts, fps=FPS, inherited=open_events(told), start=dice.uniform(1000, 2000))
                look.wall = wall - look.at
            told += look.look(*shown(group, step, dice))
        fired = Counter((alert.rule, alert.threat_level) for alert in told[before:] if alert.state == "firing")
        assert fired == truth, f"group {number}: {[visit.stops for visit in group]}, restart at {restart}"
        assert open_events(told) == (), f"group {number}"
    resolved = Counter(alert.event_uid for alert in told if alert.state == "resolved")
    assert set(resolved) == {alert.event_uid for alert in told}
    assert set(resolved.values()) == {1}
