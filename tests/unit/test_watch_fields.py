"""A device that sends wrong fields is told as such, not with a traceback."""

from __future__ import annotations

from typing import Any

import pytest

from edge.commands.watch import follow
from edge.commands.watchlines import PlainLines
from edge.commands.watchview import Screen
from edge.errors import ProtocolError
from edge.wire.framing import Message


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "detection_result", "detections": None},
        {"type": "detection_result", "detections": [3], "alerts": None},
        {"type": "alert", "alert_id": "alert_1", "confidence": "high"},
    ],
)
def test_wrong_fields_are_one_clear_error(fields: dict[str, Any]) -> None:
    for view in (PlainLines(), Screen("here")):
        events: Any = [Message(fields)]
        with pytest.raises(ProtocolError, match="the device sent a message with wrong fields"):
            follow(events, view, None, None)
