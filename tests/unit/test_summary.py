"""The line that `systemctl status` shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge.health.summary import summary
from edge.health.tally import Figures

WELL = {name: {"state": "ok", "reason": ""} for name in ("camera", "detector", "outbox", "buzzer")}


def figures(**changes: Any) -> Figures:
    at_work = Figures(
        frames=80,
        frames_per_s=9.84,
        latency_ms=1.0,
        inference_ms=1.0,
        dropped=0,
        alerts=0,
        last_alerts=(),
        detections=(),
        status="ok",
        reason="",
    )
    return replace(at_work, **changes)


@pytest.mark.parametrize(
    ("changes", "clients", "line"),
    [
        ({}, 2, "watching, 9.8 frames/s, 2 clients"),
        ({"frames": 0, "reason": "starting"}, 0, "watching, no frame yet, 0 clients"),
        ({"status": "blind", "reason": "camera lost: unplugged"}, 1, "blind: camera lost: unplugged; 1 client"),
        ({"status": "degraded", "reason": "no delegate"}, 0, "degraded: no delegate; 9.8 frames/s, 0 clients"),
    ],
)
def test_what_it_sees_comes_first(changes: dict[str, Any], clients: int, line: str) -> None:
    assert summary(figures(**changes), clients, WELL) == line


def test_what_else_is_not_well_comes_after_it_and_nothing_is_told_twice() -> None:
    components = WELL | {
        "camera": {"state": "failed", "reason": "camera lost: unplugged"},
        "outbox": {"state": "failed", "reason": "the disk is full"},
        "buzzer": {"state": "off", "reason": "there is no buzzer"},
        "clock": {"state": "degraded", "reason": "it was set"},
    }
    line = summary(figures(status="blind", reason="camera lost: unplugged"), 0, components)
    assert (
        line == "blind: camera lost: unplugged; 0 clients; outbox failed: the disk is full; clock degraded: it was set"
    )
