"""What following objects and judging rules costs a frame: ``python -m tests.bench.rules``.

30 objects that walk about and tremble, two zones, a mask, a line, a schedule, and 10 rules of every kind.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Sequence

import msgspec

from edge.config import Alerts
from edge.geometry import Box
from edge.rules.condition import sightings
from edge.rules.engine import Look, RuleEngine
from edge.rules.tracker import Tracker
from edge.types import Detection

OBJECTS, FRAMES, RUNS, FPS = 30, 600, 5, 15
SIZE = (1280, 720)
CLASSES = ("person", "person", "person", "car", "bicycle", "backpack", "knife", "dog", "chair", "bottle")
ALERTS = {
    "zones": [
        {"name": "door", "points": [[0.3, 0.2], [0.7, 0.2], [0.7, 1], [0.3, 1]]},
        {"name": "till", "points": [[0.7, 0.3], [0.8, 0.25], [0.95, 0.3], [1, 0.6], [0.9, 0.8], [0.7, 0.7]]},
        {"name": "street", "points": [[0, 0], [1, 0], [1, 0.15], [0, 0.15]], "kind": "exclude"},
    ],
    "lines": [{"name": "threshold", "start": [0.2, 0.6], "end": [0.8, 0.6]}],
    "schedules": [{"name": "night", "times": ["mon-fri 20:00-07:00", "sat,sun 00:00-24:00"]}],
    "time_zone": "Europe/Berlin",
    "rules": [
        {"name": "armed", "level": "critical", "any": ["knife", "gun"], "all": ["person"], "near": 0.5},
        {"name": "knife", "level": "high", "any": ["knife", "gun"], "none": ["person"]},
        {"name": "crowd", "level": "low", "any": ["person"], "min_count": 8, "zones": ["door"]},
        {"name": "night person", "level": "medium", "any": ["person"], "schedule": "night"},
        {"name": "bag", "level": "low", "any": ["backpack"], "none": ["person"]},
        {"name": "in", "level": "low", "any": ["person"], "when": "entered", "zones": ["door"]},
        {"name": "stays", "level": "medium", "any": ["person"], "when": "dwelt", "dwell_s": 30, "zones": ["door"]},
        {"name": "till", "level": "high", "any": ["person"], "when": "dwelt", "dwell_s": 5, "zones": ["till"]},
        {"name": "over", "level": "low", "any": ["person", "dog"], "when": "crossed", "line": "threshold"},
        {"name": "parked", "level": "low", "any": ["car", "bicycle"], "when": "dwelt", "dwell_s": 60},
    ],
}


def walk(seed: int) -> list[tuple[Detection, ...]]:
    """The detections of each frame, the best first."""
    dice = random.Random(seed)
    places = [
        [dice.uniform(0, 1150), dice.uniform(100, 500), dice.gauss(0, 3), dice.gauss(0, 2)] for _ in range(OBJECTS)
    ]
    frames = []
    for _ in range(FRAMES):
        seen = []
        for index, place in enumerate(places):
            for axis, most in ((0, 1150), (1, 500)):
                place[axis] += place[axis + 2]
                if not 0 <= place[axis] <= most:
                    place[axis + 2] = -place[axis + 2]
            x, y = place[0] + dice.gauss(0, 2), place[1] + dice.gauss(0, 2)
            name = CLASSES[index % len(CLASSES)]
            box = Box(x, y, x + 60 + index, y + 150 + index)
            seen.append(Detection(CLASSES.index(name), name, dice.uniform(0.3, 0.95), box))
        frames.append(tuple(sorted(seen, key=lambda each: -each.confidence)))
    return frames


def run(frames: Sequence[tuple[Detection, ...]], alerts: Alerts) -> tuple[float, float, float]:
    """Milliseconds a frame, the median, of the tracker, of zones, and of the rules."""
    tracker, engine = Tracker(score_threshold=0.4), RuleEngine(alerts, camera_id="main", score_threshold=0.4)
    spent: list[tuple[float, float, float]] = []
    for index, detections in enumerate(frames):
        at, begin = index / FPS, time.perf_counter()
        tracks = tracker.update(detections, at)
        tracked = time.perf_counter()
        seen = sightings(detections, tracks, SIZE, alerts.zones)
        placed = time.perf_counter()
        engine.update(Look(seen, SIZE, 1.7e9 + at, at, index + 1, tracker.alive))
        spent.append((tracked - begin, placed - tracked, time.perf_counter() - placed))
    tracker_s, zones_s, rules_s = (statistics.median(each) * 1e3 for each in zip(*spent, strict=True))
    return tracker_s, zones_s, rules_s


def main() -> None:
    alerts = msgspec.convert(ALERTS, Alerts)
    frames = walk(1)
    gc.freeze()
    best = min((run(frames, alerts) for _ in range(RUNS)), key=sum)
    print(f"{OBJECTS} detections, {len(alerts.rules)} rules, {FRAMES} frames, the best of {RUNS} runs, ms a frame:")
    print("tracker {:.3f}, zones {:.3f}, rules {:.3f}".format(*best), f"together {sum(best):.3f}")


if __name__ == "__main__":
    main()
