"""Frames for the rules, without a camera."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from edge.config import Alerts, Rule
from edge.geometry import Box
from edge.rules.condition import Condition, Match, Scene, sightings
from edge.rules.engine import Look, RuleEngine
from edge.rules.tracker import Tracker
from edge.types import Alert, Detection

NOW = 1710000002.789
SIZE = (1000, 1000)
SOMEWHERE = Box(0, 0, 10, 10)
CLASSES = ("person", "knife", "gun", "dog", "cat")


def seen(name: str, confidence: float = 0.9, box: Box = SOMEWHERE) -> Detection:
    class_id = CLASSES.index(name) if name in CLASSES else len(CLASSES)
    return Detection(class_id, name, confidence, box)


def standing(x: float, y: float, name: str = "person", confidence: float = 0.9, height: float = 200) -> Detection:
    """Somebody whose feet are at this point of a picture of SIZE, 0.4 times as wide as high."""
    return seen(name, confidence, Box(x - 0.2 * height, y - height, x + 0.2 * height, y))


def alerts_of(*rules: Rule | dict[str, Any], **more: Any) -> Alerts:
    """Settings as a file gives them, checked like those."""
    listed = [msgspec.to_builtins(rule) if isinstance(rule, Rule) else rule for rule in rules]
    return msgspec.convert({"rules": listed, **more}, Alerts)


def match(rule: Rule, detections: Sequence[Detection], size: tuple[int, int] = SIZE) -> Match | None:
    """What a rule about the whole picture makes of one frame."""
    return Condition(rule).look(Scene(sightings(detections, [None] * len(detections), size, ()))).match


class Eyes:
    """Tracker, zones and rules together, as the pipeline has them; ``told`` collects every alert."""

    def __init__(
        self, alerts: Alerts, *, fps: float = 10.0, inherited: Iterable[Alert] = (), start: float = 100.0, **more: Any
    ) -> None:
        self.alerts = alerts
        self.tracker = Tracker(score_threshold=0.4, max_lost_s=alerts.max_lost_s)
        self.engine = RuleEngine(alerts, camera_id="main", score_threshold=0.4, **more)
        self.engine.inherit(tuple(inherited))
        self.told: list[Alert] = []
        self.at = start  # monotonic
        self.wall = NOW - start  # Unix time less the monotonic one
        self.wall_known = True
        self.frames = 0
        self._step = 1 / fps

    def look(self, *detections: Detection) -> tuple[Alert, ...]:
        """One frame."""
        self.frames += 1
        self.at += self._step
        tracks = self.tracker.update(detections, self.at)
        look = Look(
            seen=sightings(detections, tracks, SIZE, self.alerts.zones),
            size=SIZE,
            now=self.at + self.wall,
            monotonic=self.at,
            frame_id=self.frames,
            alive=self.tracker.alive,
            wall_known=self.wall_known,
        )
        alerts = self.engine.update(look)
        self.told += alerts
        return alerts

    def watch(self, seconds: float, *detections: Detection) -> tuple[Alert, ...]:
        """The same for so long."""
        return tuple(alert for _ in range(round(seconds / self._step)) for alert in self.look(*detections))

    @property
    def brief(self) -> list[tuple[str, str, str]]:
        return [(alert.rule, alert.state, alert.threat_level) for alert in self.told]
