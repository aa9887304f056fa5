"""What the device says: each function builds the JSON of one message. The specification is docs/protocol.md, section 4.

Numbers are rounded (times to 3 places, others to 4) and always finite: JSON has no NaN, and a client's parser would
refuse the whole message. A confidence or a coordinate that is not finite is sent as 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec

from edge.types import Alert, Detection, Result, StoredAlert, StreamBounds, VideoFrame
from edge.wire.inbound import LIMIT_BEFORE
from edge.wire.requests import PROTOCOL_VERSION

AlertsMode: TypeAlias = Literal["separate", "batch", "both"]

FEATURES = ("resume", "acks", "commands", "frames", "health", "events")
CHANNELS = 3
TIME_PLACES = 3
PLACES = 4


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is speaking: names that every client sees. ``boot_id`` is another one each time the program starts."""

    device_id: str
    camera_id: str
    boot_id: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a listener speaks: its name, its login and the longest quiet of its plain stream in seconds."""

    listener: str
    auth: Literal["none", "hmac", "mtls"]
    heartbeat_s: float


@dataclass(frozen=True, slots=True)
class Copy:
    """Which copy of an alert a message is: with ``stored`` one that is on disk; ``age_s`` counts from its timestamp."""

    alert: Alert
    stored: StoredAlert | None = None
    replay: bool = False
    age_s: float = 0.0


def welcome(identity: Identity, now: float, terms: Terms, bounds: StreamBounds | None = None, nonce: str = "") -> bytes:
    """The first message of a connection; ``now`` is Unix time. Where there is a login it tells strangers little."""
    fields: dict[str, Any] = {
        "type": "welcome",
        "message": "Connected to PreAct Crime Detection System",
        "timestamp": _number(now, TIME_PLACES),
        "mode": "detection_stream",
        "device_id": identity.device_id,
    }
    protocol: dict[str, Any] = {"version": PROTOCOL_VERSION, "boot_id": identity.boot_id}
    if terms.auth == "none":
        fields["camera_id"] = identity.camera_id
        protocol |= where(bounds)
    protocol |= {
        "features": FEATURES,
        "auth": terms.auth,
        "listener": terms.listener,
        "heartbeat_s": _number(terms.heartbeat_s),
        "max_inbound": LIMIT_BEFORE,
    }
    if nonce:
        protocol["nonce"] = nonce
    return to_json(fields | {"protocol": protocol})


def where(bounds: StreamBounds | None) -> dict[str, Any]:
    """What the outbox holds, as fields; none while it is not open."""
    if bounds is None:
        return {}
    return {"stream": bounds.stream, "oldest_seq": bounds.oldest_seq, "next_seq": bounds.next_seq}


def detection_result(result: Result, device_id: str, copies: Sequence[Copy] | None = None) -> bytes:
    """One look at the camera. ``copies``, where given, are the alerts of this look to be put into it."""
    width, height = result.frame_size
    if result.frame is not None and not width:
        width, height = result.frame.width, result.frame.height
    timestamp = _number(result.timestamp, TIME_PLACES)
    fields: dict[str, Any] = {
        "type": "detection_result",
        "timestamp": timestamp,
        "detection_count": len(result.detections),
        "detections": [
            _detection(seen, relevant, timestamp) | _followed(result, index)
            for index, (seen, relevant) in enumerate(zip(result.detections, result.crime_relevant, strict=True))
        ],
        "frame_info": {"width": int(width), "height": int(height), "channels": CHANNELS},
        "camera_id": result.camera_id,
        "status": result.status,
    }
    if result.reason:
        fields["reason"] = result.reason
    fields["model"] = result.model
    fields["dropped"] = int(result.dropped)
    fields |= _look(result)
    if copies is not None:
        fields["alerts"] = [alert_fields(copy, device_id) for copy in copies]
    return to_json(fields)


def alert(copy: Copy, device_id: str) -> bytes:
    """A rule that fired, fired with a higher level, or whose event is over."""
    return to_json(alert_fields(copy, device_id))


def video_frame(video: VideoFrame, dropped: int) -> bytes:
    """The header of a picture; ``dropped`` counts those that this connection was too slow for."""
    return to_json(
        {
            "type": "video_frame",
            "frame_id": int(video.frame_id),
            "timestamp": _number(video.timestamp, TIME_PLACES),
            "camera_id": video.camera_id,
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
        "class_name": seen.class_name,
        "is_crime_relevant": bool(relevant),
        "timestamp": timestamp,
    }


def _followed(result: Result, index: int) -> dict[str, Any]:
    """What is known of a detection beyond its frame."""
    fields: dict[str, Any] = {}
    track = result.tracks[index] if result.tracks else None
    if track is not None:
        fields["track_id"] = track.track_id
        fields["age_s"] = _number(track.seen_at - track.began_at, TIME_PLACES)
        fields["speed"] = _number(track.speed)
    if result.zones and result.zones[index]:
        fields["zones"] = result.zones[index]
    return fields


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


def alert_fields(copy: Copy, device_id: str) -> dict[str, Any]:
    """An alert as the fields of its message."""
    alert = copy.alert
    x, y = alert.location
    fields = {
        "type": "alert",
        "alert_id": alert.alert_id,
        "timestamp": _number(alert.timestamp, TIME_PLACES),
        "camera_id": alert.camera_id,
        "threat_level": alert.threat_level,
        "confidence": _number(alert.confidence),
        "threat_types": alert.threat_types,
        "location": {"x": int(x), "y": int(y)},
        "detection_count": int(alert.detection_count),
        "message": alert.message,
        "device_id": device_id,
        "rule": alert.rule,
        "state": alert.state,
        "frame_id": int(alert.frame_id),
        "event_uid": alert.event_uid,
        "tracks": [int(track) for track in alert.tracks],
        "durable": copy.stored is not None,
        "replay": copy.replay,
        "age_s": max(0.0, _number(copy.age_s, TIME_PLACES)),
    }
    if alert.snapshot:
        fields["snapshot"] = {"id": alert.snapshot}
    if copy.stored is not None:
        fields |= {"stream": copy.stored.stream, "seq": copy.stored.seq}
    return fields


def _number(value: float, places: int = PLACES) -> float:
    return round(float(value), places) if math.isfinite(value) else 0.0


def to_json(fields: Mapping[str, Any]) -> bytes:
    """The JSON of one message; a number in it that is not finite becomes null.

    UTF-8 has no lone surrogates, which Python makes of a file name in another encoding: each becomes `?`.
    """
    try:
        return _encode(fields)
    except UnicodeEncodeError:
        return _encode(_without_surrogates(fields))


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {_without_surrogates(key): _without_surrogates(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_surrogates(inner) for inner in value]
    return value


_encode = msgspec.json.Encoder().encode
