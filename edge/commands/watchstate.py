"""What a watch knows of a device: fed with events, read by the views. Time comes as an argument."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from edge.stream.client import OpenEvents, messages
from edge.text import printable
from edge.types import LEVELS

KEPT_ALERTS = 50
KEPT_EVENTS = 256  # whose beginning is known; full: the oldest is forgotten
SECONDS = 60  # of rates and latencies that are kept, one value each
RATE_S = 5  # over which frames a second are counted
ANOTHER = "another device answers"  # says more than that its alerts have other numbers
NOTICE_S = 20.0  # a notice stays so long


@dataclass(frozen=True, slots=True)
class SeenAlert:
    """An alert and the monotonic time when it happened, by its own age where it told one.

    ``was`` is the level that its event had before, where it rose. ``lasted_s`` is, of a resolved one, how long its
    event went on; None where its beginning was not seen.
    """

    alert: messages.Alert
    happened_at: float
    was: str = ""
    lasted_s: float | None = None


class Beginnings:
    """When each event was told of first, and its last level."""

    def __init__(self) -> None:
        self._events: dict[str, tuple[float, str]] = {}

    def see(self, alert: messages.Alert, happened_at: float) -> SeenAlert:
        """The alert with what is known of its event."""
        uid, level = alert.event_uid, alert.threat_level
        if alert.state == "resolved":
            began_at, _ = self._events.pop(uid, (None, ""))
            return SeenAlert(alert, happened_at, lasted_s=None if began_at is None else happened_at - began_at)
        began_at, was = self._events.get(uid, (happened_at, ""))
        rose = _rank(level) > _rank(was)  # a lower one came late: its copy without a number was missed
        if uid:
            self._events[uid] = (min(began_at, happened_at), level if rose else was)
        if len(self._events) > KEPT_EVENTS:
            del self._events[next(iter(self._events))]
        return SeenAlert(alert, happened_at, was=was if rose else "")


def _rank(level: str) -> int:
    """-1 for none, and for one of a later version."""
    return LEVELS.index(level) if level in LEVELS else -1


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
        self.connected: messages.Connected | None = None
        self.connected_at = 0.0
        self.lost: messages.Lost | None = None  # until the device has said its welcome again
        self.lost_at = 0.0
        self.away_since: float | None = None
        self.greeted = False
        self.ended = False
        self.welcome: messages.Welcome | None = None
        self.session: messages.HelloOk | None = None
        self.result: messages.DetectionResult | None = None
        self.result_at = 0.0
        self.health: dict[str, messages.Component] = {}
        self.alerts: deque[SeenAlert] = deque(maxlen=KEPT_ALERTS)
        self.alert_count = 0  # firing ones
        self.open_events = OpenEvents()
        self.replayed = 0
        self.missed = 0
        self.pictures = Seconds()
        self.pictures_dropped = 0
        self.latencies = Seconds()
        self._notice = ""
        self._notice_at = 0.0
        self._known: deque[tuple[str, str, str]] = deque(maxlen=KEPT_ALERTS)
        self._beginnings = Beginnings()

    def take(self, event: messages.Event, now: float, unix: float) -> list[SeenAlert]:
        """Remember what came, at these monotonic and Unix times; the alerts in it that are new."""
        self.open_events.take(event)
        if isinstance(event, (messages.Connected, messages.Lost)):
            self._connection(event, now)
        elif isinstance(event, messages.Welcome):
            self._greet(event, now)
        elif isinstance(event, messages.HelloOk):
            self._begin(event, now)
        elif isinstance(event, messages.DetectionResult):
            self._result(event, now)
        elif isinstance(event, messages.VideoFrame):
            self.pictures.add(1.0, now)
            self.pictures_dropped = event.dropped
        elif isinstance(event, messages.Health):
            self.health = event.components
        else:
            self._note(event, now)
        return self._alerts(event, now, unix)

    def notice(self, now: float) -> str:
        """What happened lately beside the ordinary; empty when that is long ago."""
        return self._notice if now - self._notice_at < NOTICE_S else ""

    @property
    def going_on(self) -> int:
        """How many events are not over; 0 where that is not told."""
        told = self.welcome is not None and "events" in self.welcome.protocol.features and self.session is not None
        return len(self.open_events) if told else 0

    def _connection(self, event: messages.Connected | messages.Lost, now: float) -> None:
        self.session, self.result, self.health, self.greeted = None, None, {}, False
        self.latencies.clear()
        self.pictures.clear()
        if isinstance(event, messages.Connected):
            self.connected, self.connected_at = event, now
        else:
            self.connected, self.lost, self.lost_at = None, event, now
            self.away_since = now if self.away_since is None else self.away_since

    def _greet(self, welcome: messages.Welcome, now: float) -> None:
        if self.welcome is not None and self.welcome.device_id != welcome.device_id:
            before, after = printable(self.welcome.device_id), printable(welcome.device_id)
            self._say(f"{ANOTHER}: {after}, not {before}", now)
            self.open_events = OpenEvents()
        self.welcome, self.greeted, self.lost, self.away_since = welcome, True, None, None

    def _begin(self, hello: messages.HelloOk, now: float) -> None:
        self.session = hello
        waiting = hello.next_seq - hello.resume.start if hello.resume is not None else 0
        if waiting > 0:
            self._say(f"replay of {counted_things(waiting, 'alert')}", now)

    def _result(self, result: messages.DetectionResult, now: float) -> None:
        self.result, self.result_at = result, now
        if result.frame_id is not None:
            self.latencies.add(result.latency_ms.total if result.latency_ms is not None else 0.0, now)

    def _note(self, event: messages.Event, now: float) -> None:
        if isinstance(event, messages.Gap):
            self.missed += event.missed
        text = describe(event)
        if text and not (isinstance(event, messages.Reset) and self.notice(now).startswith(ANOTHER)):
            self._say(text, now)

    def _say(self, text: str, now: float) -> None:
        self._notice, self._notice_at = text, now

    def _alerts(self, event: messages.Event, now: float, unix: float) -> list[SeenAlert]:
        """A device may send an alert in two ways."""
        given: Sequence[messages.Alert] = ()
        if isinstance(event, messages.Alert):
            given = [event]
        elif isinstance(event, messages.DetectionResult):
            given = event.alerts
        fresh = []
        for alert in given:
            key = (alert.event_uid or alert.alert_id, alert.state, alert.threat_level)
            if key not in self._known:
                self._known.append(key)
                age = alert.age_s if "age_s" in alert.raw else max(0.0, unix - alert.timestamp)
                fresh.append(self._beginnings.see(alert, now - age))
                self.alerts.appendleft(fresh[-1])
                self.alert_count += alert.state != "resolved"
                self.replayed += alert.replay
        return fresh


def describe(event: messages.Event) -> str:
    """A notice in words; empty for what is none."""
    if isinstance(event, messages.Gap):
        return f"gap: {counted_things(event.missed, 'alert')} of before can no more be had"
    if isinstance(event, messages.Reset):
        return "the device numbers its alerts anew"
    if isinstance(event, messages.Goodbye):
        return f"the device says goodbye: {printable(event.reason)}"
    if isinstance(event, messages.ErrorMessage):
        return f"the device complains: {printable(event.message)} ({printable(event.code)})"
    if isinstance(event, messages.FramesLost):
        return f"no pictures: {printable(event.reason)}"
    return ""


def status(result: messages.DetectionResult) -> str:
    return " ".join(filter(None, (printable(result.status), printable(result.reason))))


def seen(result: messages.DetectionResult) -> str:
    return counted(printable(detected.class_name) for detected in result.detections)


def followed(result: messages.DetectionResult) -> str:
    """``person #3 12 s in door, knife``: each object by itself where the device follows some; else as ``seen``."""
    if all(detected.track_id is None for detected in result.detections):
        return seen(result)
    in_order = sorted(result.detections, key=lambda each: (each.track_id is None, each.track_id or 0))
    return ", ".join(map(_object, in_order))


def _object(detected: messages.Detected) -> str:
    parts = [printable(detected.class_name)]
    if detected.track_id is not None:
        parts.append(f"#{detected.track_id}")
    if detected.age_s is not None:
        parts.append(span(detected.age_s))
    if detected.zones:
        parts.append(f"in {' and '.join(map(printable, detected.zones))}")
    return " ".join(parts)


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
