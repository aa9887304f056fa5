"""What the device says: each function builds the JSON of one message. The specification is docs/protocol.md, section 4.

Numbers are rounded (times to 3 places, others to 4) and always finite: JSON has no NaN, and a client's parser would
refuse the whole message. A confidence or a coordinate that is not finite is sent as 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec

from edge.types import Alert, Detection, Result, VideoFrame

AlertsMode: TypeAlias = Literal["separate", "batch", "both"]

PROTOCOL_VERSION = 1
MAX_INBOUND = 4096  # bytes of one message from a client, as its welcome says
CHANNELS = 3
TIME_PLACES = 3
PLACES = 4


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is speaking: names that every client sees."""

    device_id: str
    camera_id: str


def welcome(identity: Identity, now: float, heartbeat_s: float) -> bytes:
    """The first message of a connection; ``now`` is Unix time."""
    return _json(
        {
            "type": "welcome",
            "message": "Connected to PreAct Crime Detection System",
            "timestamp": _number(now, TIME_PLACES),
            "mode": "detection_stream",
            "device_id": _text(identity.device_id),
            "camera_id": _text(identity.camera_id),
            "protocol": {
                "version": PROTOCOL_VERSION,
                "features": [],
                "auth": "none",
                "heartbeat_s": _number(heartbeat_s),
                "max_inbound": MAX_INBOUND,
            },
        }
    )


def detection_result(result: Result, device_id: str, alerts: AlertsMode = "separate") -> bytes:
    """One look at the camera. ``alerts`` other than "separate" puts the alerts of this look into it."""
    width, height = (result.frame.width, result.frame.height) if result.frame is not None else result.frame_size
    timestamp = _number(result.timestamp, TIME_PLACES)
    fields: dict[str, Any] = {
        "type": "detection_result",
        "timestamp": timestamp,
        "detection_count": len(result.detections),
        "detections": [
            _detection(seen, relevant, timestamp)
            for seen, relevant in zip(result.detections, result.crime_relevant, strict=True)
        ],
        "frame_info": {"width": int(width), "height": int(height), "channels": CHANNELS},
        "camera_id": _text(result.camera_id),
        "status": result.status,
    }
    if result.reason:
        fields["reason"] = _text(result.reason)
    fields["model"] = _text(result.model)
    fields["dropped"] = int(result.dropped)
    fields |= _look(result)
    if alerts != "separate":
        fields["alerts"] = [_alert(alert, device_id) for alert in result.alerts]
    return _json(fields)


def alert(alert: Alert, device_id: str) -> bytes:
    """A rule that fired."""
    return _json(_alert(alert, device_id))


def video_frame(video: VideoFrame, dropped: int) -> bytes:
    """The header of a picture; ``dropped`` counts those that this connection was too slow for."""
    return _json(
        {
            "type": "video_frame",
            "frame_id": int(video.frame_id),
            "timestamp": _number(video.timestamp, TIME_PLACES),
            "camera_id": _text(video.camera_id),
            "size": len(video.jpeg),
            "width": int(video.width),
            "height": int(video.height),
            "format": "jpeg",
            "annotated": bool(video.annotated),
            "dropped": dropped,
        }
    )


def _detection(seen: Detection, relevant: bool, timestamp: float) -> dict[str, Any]:
    box = seen.box
    return {
        "bbox": [_number(box.xmin), _number(box.ymin), _number(box.xmax), _number(box.ymax)],
        "confidence": _number(seen.confidence),
        "class_id": int(seen.class_id),
        "class_name": _text(seen.class_name),
        "is_crime_relevant": bool(relevant),
        "timestamp": timestamp,
    }


def _look(result: Result) -> dict[str, Any]:
    """The fields that only a result with a frame has."""
    fields: dict[str, Any] = {}
    if result.frame is not None:
        fields["frame_id"] = int(result.frame.sequence)
        fields["captured_at"] = _number(result.frame.captured_at, TIME_PLACES)
    if result.latency is not None:
        fields["latency_ms"] = {
            "capture": _number(result.latency.capture),
            "inference": _number(result.latency.inference),
            "total": _number(result.latency.total),
        }
    return fields


def _alert(alert: Alert, device_id: str) -> dict[str, Any]:
    x, y = alert.location
    return {
        "type": "alert",
        "alert_id": _text(alert.alert_id),
        "timestamp": _number(alert.timestamp, TIME_PLACES),
        "camera_id": _text(alert.camera_id),
        "threat_level": alert.threat_level,
        "confidence": _number(alert.confidence),
        "threat_types": [_text(name) for name in alert.threat_types],
        "location": {"x": int(x), "y": int(y)},
        "detection_count": int(alert.detection_count),
        "message": _text(alert.message),
        "device_id": _text(device_id),
        "rule": _text(alert.rule),
        "state": "firing",
        "frame_id": int(alert.frame_id),
    }


def _number(value: float, places: int = PLACES) -> float:
    return round(float(value), places) if math.isfinite(value) else 0.0


def _text(value: str) -> str:
    """UTF-8 has no lone surrogates, which Python makes of a file name in another encoding: each becomes `?`."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


_json = msgspec.json.Encoder().encode
