"""What was going on when the program ended."""

from __future__ import annotations

from collections.abc import Iterable

from edge.types import Alert

MAX_OPEN = 64  # the newest; a device that has more open events than this is not well


def open_events(alerts: Iterable[Alert]) -> tuple[Alert, ...]:
    """The last firing alert of each event that was not resolved; ``alerts`` come in the order of their telling."""
    events: dict[str, Alert] = {}
    for alert in alerts:
        events.pop(alert.event_uid, None)
        if alert.state == "firing":
            events[alert.event_uid] = alert
    return tuple(events.values())[-MAX_OPEN:]
