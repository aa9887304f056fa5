"""Figures of the running program."""

from __future__ import annotations

import numpy as np
import pytest

from edge.geometry import Box
from edge.health.tally import WINDOW_S, Tally
from edge.types import Alert, Detection, Frame, Latency, Result


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def look(number: int, alerts: tuple[Alert, ...] = ()) -> Result:
    return Result(
        timestamp=float(number),
        camera_id="main",
        status="ok",
        model="test",
        frame=Frame(number, 0.0, 0.0, np.zeros((9, 16, 3), np.uint8)),
        detections=(Detection(0, "person", 0.5, Box(0, 0, 1, 1)),),
        crime_relevant=(True,),
        alerts=alerts,
        latency=Latency(1.0, float(number), 1.0 + number),
        dropped=3,
    )


def alert(number: int) -> Alert:
    return Alert(f"alert_{number}", 1.0, "main", "r", "high", 0.9, ("knife",), (1, 2), 1, number, "uid")


def test_rates_and_medians_are_those_of_the_last_seconds() -> None:
    clock = Clock()
    tally = Tally(clock)
    for number in range(1, 12):
        tally.observe(look(number))
        clock.now += 0.1
    figures = tally.figures()
    assert figures.frames == 11
    assert figures.frames_per_s == pytest.approx(10)
    assert figures.inference_ms == 6
    assert figures.latency_ms == 7
    assert figures.detections == ("person",)
    assert figures.dropped == 3
    clock.now += WINDOW_S + 1
    assert tally.figures().frames_per_s == 0
    assert tally.figures().frames == 11


def test_alerts_are_counted_and_the_newest_come_first() -> None:
    tally = Tally()
    for number in range(20):
        tally.observe(look(number, (alert(number),)))
    figures = tally.figures()
    assert figures.alerts == 20
    assert [each.alert_id for each in figures.last_alerts[:2]] == ["alert_19", "alert_18"]
    assert len(figures.last_alerts) == 8


def test_blindness_shows() -> None:
    tally = Tally()
    assert tally.figures().reason == "starting"
    tally.observe(Result(timestamp=1.0, camera_id="main", status="blind", reason="camera lost", model="test"))
    figures = tally.figures()
    assert (figures.status, figures.reason, figures.frames) == ("blind", "camera lost", 0)
