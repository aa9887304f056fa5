"""Real detectors on a recording of six people who come one by one: one object and one alert for each."""

from __future__ import annotations

from collections import Counter

import cv2
import pytest

from edge.config import Detector
from edge.inference.detector import open_detector
from edge.rules.condition import sightings
from edge.rules.engine import Look, RuleEngine
from edge.rules.tracker import Tracker
from edge.types import Alert, Frame, ModelSpec
from tests.seeing import alerts_of
from tests.support import shared_assets

PEOPLE = 6
WAITS = {"name": "waits", "level": "medium", "any": ["person"], "when": "dwelt", "dwell_s": 3}
THRESHOLD = 0.4


def watch(model: str, labels: str) -> tuple[list[Alert], Counter[int]]:
    """The alerts, and how many frames showed each person."""
    models = shared_assets() / "models"
    detector = open_detector(ModelSpec(model, models / model, labels=models / labels), Detector(score_threshold=0.2))
    alerts = alerts_of(WAITS)
    tracker = Tracker(score_threshold=THRESHOLD)
    engine = RuleEngine(alerts, camera_id="main", score_threshold=THRESHOLD)
    video = cv2.VideoCapture(str(shared_assets() / "video" / "one-by-one-person-detection.mp4"))
    fps = video.get(cv2.CAP_PROP_FPS)
    told: list[Alert] = []
    people: Counter[int] = Counter()
    number = 0
    while (read := video.read())[0]:
        number += 1
        now = number / fps
        frame = Frame(number, now, now, read[1])
        detections = detector.detect(frame)
        size = (frame.width, frame.height)
        seen = sightings(detections, tracker.update(detections, now), size, ())
        people.update(each.track_id for each in seen if each.name == "person" and each.track_id is not None)
        told += engine.update(Look(seen, size, now, now, number, tracker.alive))
    video.release()
    detector.close()
    for _ in range(round(6 * fps)):  # the picture stays empty, and the last event is over
        number += 1
        told += engine.update(Look((), size, number / fps, number / fps, number, frozenset()))
    return told, people


@pytest.mark.parametrize(
    ("model", "labels"),
    [
        ("yolov8n_416_full_integer_quant.tflite", "coco80_labels.txt"),
        ("ssd_mobilenet_v1_coco_quant.tflite", "coco_ssd_labelmap.txt"),
    ],
)
def test_each_of_six_people_is_one_object_and_one_alert(model: str, labels: str) -> None:
    told, people = watch(model, labels)
    assert len(people) == PEOPLE
    assert [alert.state for alert in told] == ["firing", "resolved"] * PEOPLE
    for fired, over in zip(told[::2], told[1::2], strict=True):
        assert fired.event_uid == over.event_uid
        assert 5 < over.timestamp - fired.timestamp < 40
    assert len({alert.event_uid for alert in told}) == PEOPLE
