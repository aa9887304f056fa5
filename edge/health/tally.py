"""Figures about the running program, for the live view and the closing line of the log."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from edge.types import Alert, Result, Status

WINDOW_S = 5.0  # rates and latencies are those of the last so many seconds
KEPT_ALERTS = 8


@dataclass(frozen=True, slots=True)
class Figures:
    """``frames_per_s`` and ``latency_ms`` (median of total) over the last seconds; the rest since start."""

    frames: int
    frames_per_s: float
    latency_ms: float
    inference_ms: float
    dropped: int
    alerts: int
    last_alerts: tuple[Alert, ...]  # newest first
    detections: tuple[str, ...]  # class names seen in the newest frame
    status: Status
    reason: str


class Tally:
    """A sink of the pipeline that counts.

    Synchronization: observe and figures may be called from any thread.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Guards everything below.
        self._lock = threading.Lock()
        self._recent: deque[tuple[float, float, float]] = deque()  # time, total ms, inference ms
        self._frames = self._alerts = 0
        self._last_alerts: deque[Alert] = deque(maxlen=KEPT_ALERTS)
        self._newest: Result | None = None

    def observe(self, result: Result) -> None:
        """Count one result."""
        with self._lock:
            now = self._clock()
            self._newest = result
            fired = [alert for alert in result.alerts if alert.state == "firing"]
            self._alerts += len(fired)
            self._last_alerts.extendleft(fired)
            if result.latency is not None:
                self._frames += 1
                self._recent.append((now, result.latency.total, result.latency.inference))
            self._forget(now)

    def figures(self) -> Figures:
        """What was counted so far."""
        with self._lock:
            self._forget(self._clock())
            newest = self._newest
            span = self._recent[-1][0] - self._recent[0][0] if self._recent else 0.0
            return Figures(
                frames=self._frames,
                frames_per_s=(len(self._recent) - 1) / span if span > 0 else 0.0,
                latency_ms=median(row[1] for row in self._recent) if self._recent else 0.0,
                inference_ms=median(row[2] for row in self._recent) if self._recent else 0.0,
                dropped=newest.dropped if newest else 0,
                alerts=self._alerts,
                last_alerts=tuple(self._last_alerts),
                detections=tuple(found.class_name for found in newest.detections) if newest else (),
                status=newest.status if newest else "ok",
                reason=newest.reason if newest else "starting",
            )

    def _forget(self, now: float) -> None:
        while self._recent and now - self._recent[0][0] > WINDOW_S:
            self._recent.popleft()
