"""What was going on when the program ended."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from edge.errors import StateError
from edge.outbox.outbox import Outbox
from edge.types import Alert

LOOK_BACK = 1000  # stored alerts, the newest, in which to look for events that were not resolved
MAX_OPEN = 64  # the newest; a device that has more open events than this is not well

logger = logging.getLogger(__name__)


def read_open_events(outbox: Outbox) -> tuple[Alert, ...]:
    """``open_events`` of what the outbox holds; none, with a warning, where it cannot be read."""
    bounds = outbox.bounds
    if bounds is None:
        return ()
    try:
        stored = outbox.read(max(0, bounds.next_seq - 1 - LOOK_BACK), LOOK_BACK)
    except StateError as error:
        logger.warning("what went on before the start may be told again: %s", error)
        return ()
    return open_events(each.alert for each in stored)


def open_events(alerts: Iterable[Alert]) -> tuple[Alert, ...]:
    """The last firing alert of each event that was not resolved; ``alerts`` come in the order of their telling."""
    events: dict[str, Alert] = {}
    for alert in alerts:
        events.pop(alert.event_uid, None)
        if alert.state == "firing":
            events[alert.event_uid] = alert
    return tuple(events.values())[-MAX_OPEN:]
