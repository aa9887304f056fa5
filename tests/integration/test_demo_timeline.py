"""The demo's promise: a client that connects at any time sees an alert within 30 s, and then one a minute at least."""

from __future__ import annotations

from itertools import pairwise

from edge.capture.scene import Scene, Truth
from edge.config import Alerts, Camera, Detector
from edge.geometry import Box
from edge.inference.detector import open_detector
from edge.rules.condition import sightings
from edge.rules.engine import Look, RuleEngine
from edge.rules.tracker import Tracker
from edge.types import Frame, ModelSpec
from tests.support import ROOT

FPS = 5  # a slow board; the demo itself draws 15 a second
SPAN_S = 240


def test_alerts_come_at_most_30_s_apart() -> None:
    """Four minutes of the demo's own scene through the real detector and the built-in rules, on the scene's clock."""
    models = ROOT / "models"
    spec = ModelSpec("bundled", models / "preact_scene_320x192_int8.tflite", models / "labels" / "preact_scene.txt")
    detector = open_detector(spec, Detector())
    tracker = Tracker(score_threshold=Detector().score_threshold)
    rules = RuleEngine(Alerts(), camera_id="main", score_threshold=Detector().score_threshold)
    camera = Camera()
    scene = Scene(width=camera.width, height=camera.height, fps=FPS)
    alerts = []
    for index in range(SPAN_S * FPS):
        image, truths = scene.draw(index)
        now = index / FPS
        detections = detector.detect(Frame(index + 1, now, now, image))
        size = (camera.width, camera.height)
        seen = sightings(detections, tracker.update(detections, now), size, ())
        for alert in rules.update(Look(seen, size, now, now, index + 1, tracker.alive)):
            if alert.state == "resolved":
                assert alert.event_uid == alerts[-1].event_uid
                continue
            alerts.append(alert)
            assert alert.threat_types == ("knife", "person"), alert
            assert knife_is_near(truths, alert.location), f"a knife was drawn where the alert at {now} s says"
    detector.close()
    times = [0.0, *(alert.timestamp for alert in alerts), float(SPAN_S)]
    assert max(later - earlier for earlier, later in pairwise(times)) <= 30
    assert {alert.threat_level for alert in alerts} == {"critical"}


def knife_is_near(truths: tuple[Truth, ...], location: tuple[int, int]) -> bool:
    spot = Box(location[0] - 60, location[1] - 60, location[0] + 60, location[1] + 60)
    return any(truth.class_name == "knife" and truth.box.intersection(spot) > 0 for truth in truths)
