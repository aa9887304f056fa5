"""The messages, against the examples that docs/protocol.md prints. The ids in brackets are its statements."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.geometry import Box
from edge.types import Alert, Detection, Latency, Result
from edge.wire import messages
from tests.streaming import IDENTITY, make_alert, make_result, make_video
from tests.support import ROOT

EXAMPLES: dict[str, dict[str, Any]] = json.loads((ROOT / "tests/vectors/messages.json").read_text())
BLIND = Result(
    timestamp=1710000061.5,
    camera_id="main",
    status="blind",
    model="bundled",
    reason="camera lost: /dev/video0 gives no frames",
    frame_size=(1280, 720),
    dropped=3,
)


def parse(message: bytes) -> dict[str, Any]:
    """As strictly as a browser or Node does: Python's own parser lets NaN through."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} in a message")

    parsed: dict[str, Any] = json.loads(message, parse_constant=refuse)
    return parsed


def same(message: bytes, example: dict[str, Any]) -> None:
    """Equal, in the order of the fields too, and of equal types: 3 and 3.0 are not the same."""
    assert json.dumps(parse(message)) == json.dumps(example)


def test_welcome_is_the_documented_one() -> None:
    """[EDGE-4-1]"""
    same(messages.welcome(IDENTITY, 1710000000.1234, 4.0), EXAMPLES["welcome"])


def test_detection_result_is_the_documented_one() -> None:
    """[EDGE-4-2]"""
    same(messages.detection_result(make_result(2), "edge-01"), EXAMPLES["detection_result"])


def test_without_a_frame_the_result_says_why() -> None:
    """[EDGE-4-3]"""
    same(messages.detection_result(BLIND, "edge-01"), EXAMPLES["blind"])


def test_alert_is_the_documented_one() -> None:
    """[EDGE-4-5]"""
    same(messages.alert(make_alert(2), "edge-01"), EXAMPLES["alert"])


def test_video_frame_is_the_documented_one() -> None:
    """[EDGE-4-6]"""
    same(messages.video_frame(make_video(2, 48211), 0), EXAMPLES["video_frame"])


@pytest.mark.parametrize("mode", ["batch", "both"])
def test_a_batch_result_holds_its_alerts(mode: messages.AlertsMode) -> None:
    """[EDGE-4-4]"""
    result = parse(messages.detection_result(make_result(2, make_alert(2)), "edge-01", mode))
    assert result == EXAMPLES["detection_result"] | {"alerts": [EXAMPLES["alert"]]}
    assert parse(messages.detection_result(make_result(2), "edge-01", mode))["alerts"] == []


def test_the_guide_s_own_fields_are_all_there_with_their_types() -> None:
    """[EDGE-4-1] [EDGE-4-2] [EDGE-4-5] The examples of the customer's guide, field for field."""
    welcome = parse(messages.welcome(IDENTITY, 1710000000.123, 4.0))
    assert list(welcome)[:4] == ["type", "message", "timestamp", "mode"]
    assert welcome["message"] == "Connected to PreAct Crime Detection System"
    assert welcome["mode"] == "detection_stream"
    result = parse(messages.detection_result(make_result(), "edge-01"))
    assert list(result)[:5] == ["type", "timestamp", "detection_count", "detections", "frame_info"]
    assert list(result["detections"][0]) == [
        "bbox", "confidence", "class_id", "class_name", "is_crime_relevant", "timestamp"
    ]  # fmt: skip
    alert = parse(messages.alert(make_alert(), "edge-01"))
    assert list(alert)[:10] == [
        "type", "alert_id", "timestamp", "camera_id", "threat_level", "confidence", "threat_types", "location",
        "detection_count", "message",
    ]  # fmt: skip
    assert alert["message"] == "CRITICAL threat detected: knife, person"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_sent_as_zero(value: float) -> None:
    """[EDGE-2-6]"""
    seen = Detection(0, "person", value, Box(value, 1.0, 2.0, 3.0))
    result = replace(make_result(), timestamp=value, detections=(seen,), latency=Latency(value, value, value))
    parsed = parse(messages.detection_result(result, "edge-01"))
    assert parsed["detections"][0]["confidence"] == 0
    assert parsed["detections"][0]["bbox"] == [0, 1, 2, 3]
    assert parsed["timestamp"] == 0
    assert parsed["latency_ms"] == {"capture": 0, "inference": 0, "total": 0}


def test_numbers_are_rounded() -> None:
    """[EDGE-2-6]"""
    seen = Detection(0, "person", 0.123456789, Box(1 / 3, 0.0, 1.0, 1.0))
    parsed = parse(messages.detection_result(replace(make_result(), detections=(seen,), timestamp=1.23456), "edge-01"))
    assert parsed["detections"][0]["confidence"] == 0.1235
    assert parsed["detections"][0]["bbox"][0] == 0.3333
    assert parsed["timestamp"] == 1.235


@given(name=st.text(alphabet=st.characters(), max_size=30))
def test_any_name_makes_one_line_of_utf_8_json(name: str) -> None:
    """[EDGE-2-2] Line breaks, U+2028, quotes, and the lone surrogates that Python makes of undecodable file names."""
    alert: Alert = replace(make_alert(), threat_types=(name,), rule=name, camera_id=name)
    message = messages.alert(alert, name)
    assert b"\n" not in message
    assert parse(message)["rule"] == name.encode("utf-8", "replace").decode()


def test_numpy_numbers_are_numbers() -> None:
    np = pytest.importorskip("numpy")
    seen = Detection(np.int64(3), "cup", np.float32(0.5), Box(*np.array([1, 2, 3, 4], np.float32)))
    parsed = parse(messages.detection_result(replace(make_result(), detections=(seen,)), "edge-01"))
    assert parsed["detections"][0]["class_id"] == 3
    assert parsed["detections"][0]["bbox"] == [1, 2, 3, 4]
