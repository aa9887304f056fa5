"""What the device says beside sessions, against the examples that docs/protocol.md prints."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.geometry import Box
from edge.types import Alert, Detection, Latency, Result, StoredAlert, StreamBounds, Track
from edge.wire import messages
from edge.wire.messages import Copy, Identity, Terms
from tests.streaming import make_alert, make_result, make_video
from tests.support import ROOT

EXAMPLES: dict[str, dict[str, Any]] = json.loads((ROOT / "tests/vectors/messages.json").read_text("utf-8"))
STREAM = "5f0c2a9be1d74c38"
IDENTITY = Identity("edge-01", "main", "c41d8e02a9f35b67")
BOUNDS = StreamBounds(STREAM, 1, 42)
OPEN = Terms("listener-1", "none", 4.0)
NONCE = EXAMPLES["welcome_login"]["protocol"]["nonce"]
ALERT = replace(make_alert(2), event_uid="0b54c1d8e7f24a36", tracks=(3, 5))
LOITERER = Alert(
    alert_id="alert_1710000060",
    timestamp=1710000060.25,
    camera_id="main",
    rule="loitering",
    threat_level="high",
    confidence=0.91,
    threat_types=("person",),
    location=(488, 362),
    detection_count=1,
    frame_id=884,
    event_uid="e5d1904c7a2b4f83",
    tracks=(7,),
)
BLIND = Result(
    timestamp=1710000061.5,
    camera_id="main",
    status="blind",
    model="bundled",
    reason="camera lost: /dev/video0 gives no frames",
    frame_size=(1280, 720),
    dropped=3,
)

any_text = st.text(alphabet=st.characters(), max_size=30)  # lone surrogates too
any_number = st.floats() | st.floats().map(lambda value: value * 1e-5)


def parse(message: bytes) -> dict[str, Any]:
    """As strictly as a browser or Node does: Python's own parser lets NaN through."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} in a message")

    parsed: dict[str, Any] = json.loads(message.decode("utf-8", "strict"), parse_constant=refuse)
    return parsed


def same(message: bytes, example: dict[str, Any]) -> None:
    """Equal, in the order of the fields too, and of equal types: 3 and 3.0 are not the same."""
    assert json.dumps(parse(message)) == json.dumps(example)


def stored(alert: Alert, seq: int = 42) -> StoredAlert:
    return StoredAlert(STREAM, seq, alert)


# --- welcome


def test_welcome_is_the_documented_one() -> None:
    """[EDGE-4-1]"""
    same(messages.welcome(IDENTITY, 1710000000.1234, OPEN, BOUNDS), EXAMPLES["welcome"])


def test_welcome_of_a_listener_with_a_login_is_the_documented_one() -> None:
    """[EDGE-4-1] [EDGE-4-8] The bounds are known, and kept back."""
    terms = replace(OPEN, auth="hmac")
    same(messages.welcome(IDENTITY, 1710000000.1234, terms, BOUNDS, NONCE), EXAMPLES["welcome_login"])


def test_welcome_to_certificates_has_neither_a_nonce_nor_what_is_kept_back() -> None:
    """[EDGE-4-1] [EDGE-4-8]"""
    welcome = parse(messages.welcome(IDENTITY, 1710000000.1234, replace(OPEN, auth="mtls"), BOUNDS))
    kept_back = {"stream", "oldest_seq", "next_seq"}
    assert set(welcome) == set(EXAMPLES["welcome"]) - {"camera_id"}
    assert set(welcome["protocol"]) == set(EXAMPLES["welcome"]["protocol"]) - kept_back
    assert STREAM.encode() not in messages.welcome(IDENTITY, 1.0, replace(OPEN, auth="mtls"), BOUNDS)


def test_welcome_without_an_outbox_names_no_stream() -> None:
    """[EDGE-9-3]"""
    protocol = parse(messages.welcome(IDENTITY, 1.0, OPEN))["protocol"]
    assert set(EXAMPLES["welcome"]["protocol"]) - set(protocol) == {"stream", "oldest_seq", "next_seq"}


# --- detection_result


def test_detection_result_is_the_documented_one() -> None:
    """[EDGE-4-2]"""
    same(messages.detection_result(make_result(2), "edge-01"), EXAMPLES["detection_result"])


def test_a_result_with_an_object_that_is_followed_is_the_documented_one() -> None:
    """[EDGE-4-2] [EDGE-4-17]"""
    person = make_result(2).detections[0]
    knife = Detection(43, "knife", 0.61, Box(702.25, 310.0, 760.0, 352.75))
    track = Track(7, person, person.box, began_at=87.75, seen_at=100.0, velocity=(48.5, 0.0), hits=180)
    result = replace(
        make_result(2),
        detections=(person, knife),
        crime_relevant=(True, True),
        tracks=(track, None),
        zones=(("door",), ()),
    )
    same(messages.detection_result(result, "edge-01"), EXAMPLES["followed"])


@pytest.mark.parametrize("velocity", [(math.nan, 0.0), (math.inf, 1.0)])
def test_a_speed_that_is_not_finite_is_sent_as_zero(velocity: tuple[float, float]) -> None:
    """[EDGE-2-6]"""
    result = make_result(2)
    (person,) = result.detections
    track = Track(7, person, person.box, began_at=0.0, seen_at=1 / 3, velocity=velocity)
    (told,) = parse(messages.detection_result(replace(result, tracks=(track,)), "edge-01"))["detections"]
    assert (told["track_id"], told["age_s"], told["speed"]) == (7, 0.333, 0.0)
    assert "zones" not in told


def test_without_a_frame_the_result_says_why() -> None:
    """[EDGE-4-3]"""
    same(messages.detection_result(BLIND, "edge-01"), EXAMPLES["blind"])


def test_a_result_without_its_pixels_is_the_same_message() -> None:
    result = make_result(2)
    assert messages.detection_result(result.without_pixels(), "edge-01") == messages.detection_result(result, "edge-01")


def test_a_batch_result_holds_its_alerts() -> None:
    """[EDGE-4-4]"""
    copies = [Copy(ALERT, stored(ALERT), age_s=0.031), Copy(ALERT, age_s=0.282)]
    result = parse(messages.detection_result(make_result(2, ALERT), "edge-01", copies))
    assert result == EXAMPLES["detection_result"] | {"alerts": [EXAMPLES["alert"], EXAMPLES["alert_early"]]}
    assert parse(messages.detection_result(make_result(2), "edge-01", []))["alerts"] == []


# --- alert


def test_alert_is_the_documented_one() -> None:
    """[EDGE-4-5]"""
    same(messages.alert(Copy(ALERT, stored(ALERT), age_s=0.0312), "edge-01"), EXAMPLES["alert"])


def test_alert_that_is_not_on_disk_is_the_documented_one() -> None:
    """[EDGE-4-5] [EDGE-9-2]"""
    same(messages.alert(Copy(ALERT, age_s=0.28156), "edge-01"), EXAMPLES["alert_early"])


def test_replayed_alert_is_the_documented_one() -> None:
    """[EDGE-4-5] [EDGE-9-8]"""
    alert = replace(
        ALERT,
        alert_id="alert_1709996400",
        timestamp=1709996400.25,
        frame_id=88123,
        event_uid="77ab02cd19fe4f50",
        tracks=(1, 2),
    )
    copy = Copy(alert, stored(alert, 41), replay=True, age_s=3600.5)
    same(messages.alert(copy, "edge-01"), EXAMPLES["alert_replayed"])


def test_an_alert_with_a_picture_is_the_documented_one() -> None:
    """[EDGE-4-5]"""
    alert = replace(ALERT, snapshot=ALERT.event_uid)
    same(messages.alert(Copy(alert, stored(alert), age_s=0.031), "edge-01"), EXAMPLES["alert_picture"])


def test_a_higher_level_is_the_documented_one() -> None:
    """[EDGE-4-5]"""
    same(messages.alert(Copy(LOITERER, stored(LOITERER, 44), age_s=0.029), "edge-01"), EXAMPLES["alert_escalated"])


def test_a_resolved_alert_is_the_documented_one_and_says_so_to_people() -> None:
    """[EDGE-4-5] [EDGE-4-18]"""
    over = replace(LOITERER, alert_id="alert_1710000072", timestamp=1710000072.5, frame_id=1068, state="resolved")
    same(messages.alert(Copy(over, stored(over, 45), age_s=0.027), "edge-01"), EXAMPLES["alert_resolved"])
    words = {
        state: EXAMPLES[name]["message"] for state, name in (("detected", "alert"), ("resolved", "alert_resolved"))
    }
    assert words == {
        "detected": "CRITICAL threat detected: knife, person",
        "resolved": "HIGH threat resolved: person",
    }


@pytest.mark.parametrize(("age_s", "told"), [(-3600.0, 0.0), (-0.0001, 0.0), (math.nan, 0.0), (0.0015, 0.002)])
def test_an_age_is_never_negative(age_s: float, told: float) -> None:
    """[EDGE-4-5] A clock that was set back."""
    assert parse(messages.alert(Copy(ALERT, age_s=age_s), "edge-01"))["age_s"] == told


# --- video_frame


def test_video_frame_is_the_documented_one() -> None:
    """[EDGE-4-6]"""
    same(messages.video_frame(make_video(2, 48211), 0), EXAMPLES["video_frame"])


# --- all


def test_the_guide_s_own_fields_are_all_there_with_their_types() -> None:
    """[EDGE-4-1] [EDGE-4-2] [EDGE-4-5] The examples of the customer's guide, field for field."""
    welcome = parse(messages.welcome(IDENTITY, 1710000000.123, OPEN, BOUNDS))
    assert list(welcome)[:4] == ["type", "message", "timestamp", "mode"]
    assert welcome["message"] == "Connected to PreAct Crime Detection System"
    assert welcome["mode"] == "detection_stream"
    result = parse(messages.detection_result(make_result(), "edge-01"))
    assert list(result)[:5] == ["type", "timestamp", "detection_count", "detections", "frame_info"]
    assert list(result["detections"][0]) == [
        "bbox", "confidence", "class_id", "class_name", "is_crime_relevant", "timestamp"
    ]  # fmt: skip
    alert = parse(messages.alert(Copy(make_alert()), "edge-01"))
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


@given(name=any_text, number=any_number)
def test_every_message_is_one_line_of_strict_utf_8_json(name: str, number: float) -> None:
    """[EDGE-2-2] [EDGE-2-6] Line breaks, quotes, and lone surrogates, which Python makes of some file names."""
    said = name.encode("utf-8", "replace").decode()
    alert: Alert = replace(
        ALERT,
        **dict.fromkeys(("alert_id", "camera_id", "rule", "event_uid"), name),  # type: ignore[arg-type]
        threat_types=(name,),
        timestamp=number,
        confidence=number,
    )
    seen = Detection(0, name, number, Box(number, number, number, number))
    result = replace(
        make_result(), timestamp=number, camera_id=name, reason=name, model=name, detections=(seen,), alerts=(alert,)
    )
    copy = Copy(alert, stored(alert), age_s=number)
    built = [
        messages.welcome(Identity(name, name, "b"), number, OPEN, BOUNDS),
        messages.detection_result(result, name, [copy]),
        messages.alert(copy, name),
        messages.video_frame(replace(make_video(), camera_id=name, timestamp=number), 3),
    ]
    parsed = [parse(message) for message in built]
    assert all(b"\n" not in message for message in built)
    assert [message.get("camera_id") for message in parsed] == [said] * 4
    assert parsed[1]["alerts"] == [parsed[2]]
    assert parsed[2]["threat_types"] == [said]


def test_numpy_numbers_are_numbers() -> None:
    np = pytest.importorskip("numpy")
    seen = Detection(np.int64(3), "cup", np.float32(0.5), Box(*np.array([1, 2, 3, 4], np.float32)))
    parsed = parse(messages.detection_result(replace(make_result(), detections=(seen,)), "edge-01"))
    assert parsed["detections"][0]["class_id"] == 3
    assert parsed["detections"][0]["bbox"] == [1, 2, 3, 4]
