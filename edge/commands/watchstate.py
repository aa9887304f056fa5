"""What a watch knows of a device: fed with events, read by the views. Time comes as an argument."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from edge.stream.client import (
    Alert,
    Connected,
    DetectionResult,
    ErrorMessage,
    Event,
    FramesLost,
    Gap,
    Goodbye,
    Health,
    HelloOk,
    Lost,
    Reset,
    VideoFrame,
    Welcome,
)
from edge.stream.client.messages import Component, printable

KEPT_ALERTS = 50
SECONDS = 60  # of rates and latencies that are kept, one value each
RATE_S = 5  # over which frames a second are counted
NOTICE_S = 20.0  # a notice stays so long


@dataclass(frozen=True, slots=True)
class SeenAlert:
    """An alert and the monotonic time when it happened, by its own age where it told one."""

    alert: Alert
    happened_at: float


class Seconds:
    """Values sorted by the second in which they came, the last SECONDS of them."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, list[float]]] = deque(maxlen=SECONDS)

    def add(self, value: float, now: float) -> None:
        second = int(now)
        if not self._buckets or self._buckets[-1][0] != second:
            self._buckets.append((second, []))
        self._buckets[-1][1].append(value)

    def clear(self) -> None:
        self._buckets.clear()

    def medians(self, now: float, count: int) -> list[float | None]:
        """One for each of the last ``count`` full seconds; None where nothing came."""
        found = {second: median(values) for second, values in self._buckets}
        return [found.get(second) for second in range(int(now) - count, int(now))]

    def rate(self, now: float) -> float | None:
        """Values a second over the last RATE_S full seconds; None before there was one."""
        first = self._buckets[0][0] if self._buckets else int(now)
        span = min(RATE_S, int(now) - first)
        came = sum(len(values) for second, values in self._buckets if int(now) - span <= second < int(now))
        return came / span if span > 0 else None

    def all(self) -> list[float]:
        return [value for _, values in self._buckets for value in values]


class DeviceState:
    """The device as the events tell of it.

    Synchronization: one thread.
    """

    def __init__(self) -> None:
        self.connected: Connected | None = None
        self.connected_at = 0.0
        self.lost: Lost | None = None
        self.lost_at = 0.0
        self.welcome: Welcome | None = None
        self.session: HelloOk | None = None
        self.result: DetectionResult | None = None
        self.result_at = 0.0
        self.health: dict[str, Component] = {}
        self.alerts: deque[SeenAlert] = deque(maxlen=KEPT_ALERTS)
        self.alert_count = 0
        self.replayed = 0
        self.missed = 0
        self.pictures = Seconds()
        self.pictures_dropped = 0
        self.latencies = Seconds()
        self._notice = ""
        self._notice_at = 0.0
        self._known: deque[tuple[str, str, str]] = deque(maxlen=KEPT_ALERTS)

    def take(self, event: Event, now: float, unix: float) -> list[Alert]:
        """Remember what came, at these monotonic and Unix times; the alerts in it that are new."""
        if isinstance(event, (Connected, Lost)):
            self._connection(event, now)
        elif isinstance(event, Welcome):
            self.welcome = event
        elif isinstance(event, HelloOk):
            self._begin(event, now)
        elif isinstance(event, DetectionResult):
            self._result(event, now)
        elif isinstance(event, VideoFrame):
            self.pictures.add(1.0, now)
            self.pictures_dropped = event.dropped
        elif isinstance(event, Health):
            self.health = event.components
        else:
            self._note(event, now)
        return self._alerts(event, now, unix)

    def notice(self, now: float) -> str:
        """What happened lately beside the ordinary; empty when that is long ago."""
        return self._notice if now - self._notice_at < NOTICE_S else ""

    def _connection(self, event: Connected | Lost, now: float) -> None:
        self.session, self.result, self.health = None, None, {}
        self.latencies.clear()
        self.pictures.clear()
        if isinstance(event, Connected):
            self.connected, self.connected_at, self.lost = event, now, None
        else:
            self.connected, self.lost, self.lost_at = None, event, now

    def _begin(self, hello: HelloOk, now: float) -> None:
        self.session = hello
        waiting = hello.next_seq - hello.resume.start if hello.resume is not None else 0
        if waiting > 0:
            self._say(f"replay of {counted_things(waiting, 'alert')}", now)

    def _result(self, result: DetectionResult, now: float) -> None:
        self.result, self.result_at = result, now
        if result.frame_id is not None:
            self.latencies.add(result.latency_ms.total if result.latency_ms is not None else 0.0, now)

    def _note(self, event: Event, now: float) -> None:
        if isinstance(event, Gap):
            self.missed += event.missed
        text = describe(event)
        if text:
            self._say(text, now)

    def _say(self, text: str, now: float) -> None:
        self._notice, self._notice_at = text, now

    def _alerts(self, event: Event, now: float, unix: float) -> list[Alert]:
        """A device may send an alert in two ways."""
        given = [event] if isinstance(event, Alert) else event.alerts if isinstance(event, DetectionResult) else ()
        fresh = []
        for alert in given:
            key = (alert.alert_id, alert.event_uid, alert.state)
            if key not in self._known:
                self._known.append(key)
                fresh.append(alert)
                age = alert.age_s if "age_s" in alert.raw else max(0.0, unix - alert.timestamp)
                self.alerts.appendleft(SeenAlert(alert, now - age))
                self.alert_count += 1
                self.replayed += alert.replay
        return fresh


def describe(event: Event) -> str:
    """A notice in words; empty for what is none."""
    if isinstance(event, Gap):
        return f"gap: {counted_things(event.missed, 'alert')} of before can no more be had"
    if isinstance(event, Reset):
        return "the device numbers its alerts anew"
    if isinstance(event, Goodbye):
        return f"the device says goodbye: {printable(event.reason)}"
    if isinstance(event, ErrorMessage):
        return f"the device complains: {printable(event.message)} ({printable(event.code)})"
    if isinstance(event, FramesLost):
        return f"no pictures: {printable(event.reason)}"
    return ""


def status(result: DetectionResult) -> str:
    return " ".join(filter(None, (printable(result.status), printable(result.reason))))


def seen(result: DetectionResult) -> str:
    return counted(printable(detected.class_name) for detected in result.detections)


def counted(names: Iterable[str]) -> str:
    """``knife, person x2``."""
    return ", ".join(f"{name} x{count}" if count > 1 else name for name, count in sorted(Counter(names).items()))


def counted_things(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def span(seconds: float) -> str:
    """A length of time as people say it: ``8 s``, ``14 min``, ``3 h``, ``2 d``."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"
