"""Values that tests and benches publish; it imports nothing that a bench would not want in its process."""

from __future__ import annotations

from edge.types import Alert

SOME_DAY = 1710000000.789  # Unix seconds


def make_alert(number: int = 1, uid: str = "", at: float = 0.0) -> Alert:
    """The alert of frame ``number``, raised at ``at``: where that is 0, so many seconds after SOME_DAY."""
    at = at or SOME_DAY + number
    return Alert(
        alert_id=f"alert_{int(at)}",
        timestamp=at,
        camera_id="main",
        rule="armed person",
        threat_level="critical",
        confidence=0.95,
        threat_types=("knife", "person"),
        location=(640, 360),
        detection_count=2,
        frame_id=number,
        event_uid=uid or f"event-{number}",
    )
