"""What ``preact-edge watch`` shows: a calm panel in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Iterable
from statistics import median
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edge.stream.client import Connected, Event, Lost
from edge.wire.framing import Message

LEVEL_STYLES = {"low": "cyan", "medium": "yellow", "high": "dark_orange", "critical": "bold red"}
STATUS_STYLES = {"ok": "green", "degraded": "yellow", "blind": "bold red"}
SHOWN_ALERTS = 6
RATE_WINDOW_S = 5.0  # over which frames a second are counted
LATENCIES = 100  # results over which the median is taken
REDRAW_S = 0.25


class PlainLines:
    """One line for each thing that is new: the connection, the status, what is seen, an alert."""

    def __init__(self) -> None:
        self._status = ""
        self._seen: str | None = None
        self._known: deque[str] = deque(maxlen=SHOWN_ALERTS)

    def show(self, event: Event) -> None:
        if isinstance(event, Connected):
            self._say(f"connected to {event.host} port {event.port}")
        elif isinstance(event, Lost):
            print(f"preact-edge: {event}", file=sys.stderr, flush=True)
        else:
            self._message(event)

    def _message(self, event: Message) -> None:
        if event.type == "welcome":
            self._say(f"device {_text(event, 'device_id')}, camera {_text(event, 'camera_id')}")
        for alert in _fresh_alerts(event, self._known):
            self._say(f"alert {_alert_line(alert)}")
        if event.type == "detection_result":
            self._result(event)

    def _result(self, message: Message) -> None:
        status = _status(message)
        if status != self._status:
            self._status = status
            self._say(f"status {status}")
        seen = _seen(message)
        if seen != self._seen:
            self._seen = seen
            self._say(f"sees {seen or 'nothing'}")

    def _say(self, line: str) -> None:
        print(f"{time.strftime('%H:%M:%S')}  {line}", flush=True)


class Screen:
    """The panel, drawn again when something came, at most every REDRAW_S seconds."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection = Text("connecting ...", style="yellow")
        self._device = ""
        self._result: Message | None = None
        self._alerts: deque[tuple[str, Text]] = deque(maxlen=SHOWN_ALERTS)
        self._known: deque[str] = deque(maxlen=SHOWN_ALERTS)
        self._alert_count = 0
        self._pictures = 0
        self._arrivals: deque[float] = deque()
        self._latencies: deque[float] = deque(maxlen=LATENCIES)
        self._drawn_at = 0.0
        self._live = Live(self.picture(), console=Console(), auto_refresh=False)

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.update(self.picture(), refresh=True)
        self._live.stop()

    def show(self, event: Event) -> None:
        urgent = self._take(event)
        now = time.monotonic()
        if urgent or now - self._drawn_at >= REDRAW_S:
            self._drawn_at = now
            self._live.update(self.picture(), refresh=True)

    def picture(self) -> RenderableType:
        """What is to be seen now."""
        rows = Table.grid(padding=(0, 2))
        rows.add_column(style="dim")
        rows.add_column(no_wrap=True, overflow="ellipsis")
        rows.add_row("connection", self._connection)
        rows.add_row("device", self._device)
        for name, value in self._result_rows():
            rows.add_row(name, value)
        alerts = Table.grid(padding=(0, 2))
        for when, line in self._alerts:
            alerts.add_row(Text(when, style="dim"), line)
        heading = Text(f"alerts: {self._alert_count}", style="bold")
        title = f"preact-edge watch {self._address}"
        return Panel(Group(rows, Text(), heading, alerts), title=title, subtitle="Ctrl-C ends", box=box.ROUNDED)

    def _take(self, event: Event) -> bool:
        """Remember what came; True when it should be seen at once."""
        if isinstance(event, Connected):
            self._connection = Text("connected", style="green")
            return True
        if isinstance(event, Lost):
            self._connection = Text(str(event), style="bold red")
            self._result = None
            return True
        if event.type == "welcome":
            self._device = f"{_text(event, 'device_id')}, camera {_text(event, 'camera_id')}"
        elif event.type == "detection_result":
            self._take_result(event)
        self._pictures += event.jpeg is not None
        fresh = _fresh_alerts(event, self._known)
        for alert in fresh:
            self._take_alert(alert)
        return event.type == "welcome" or bool(fresh)

    def _take_result(self, message: Message) -> None:
        self._result = message
        if "frame_id" in message:
            self._arrivals.append(time.monotonic())
            self._latencies.append(float(message.get("latency_ms", {}).get("total", 0.0)))

    def _take_alert(self, alert: dict[str, Any]) -> None:
        self._alert_count += 1
        when = time.strftime("%H:%M:%S", time.localtime(float(alert.get("timestamp", 0.0))))
        level = _text(alert, "threat_level")
        self._alerts.appendleft((when, Text(_alert_line(alert), style=LEVEL_STYLES.get(level, ""))))

    def _result_rows(self) -> list[tuple[str, RenderableType]]:
        if self._result is None:
            return []
        while self._arrivals and time.monotonic() - self._arrivals[0] > RATE_WINDOW_S:
            self._arrivals.popleft()
        latency = f"{median(self._latencies):.1f} ms (median)" if self._latencies else "-"
        rows: list[tuple[str, RenderableType]] = [
            ("status", Text(_status(self._result), style=STATUS_STYLES.get(_text(self._result, "status"), ""))),
            ("model", _text(self._result, "model")),
            ("frames/s", _rate(self._arrivals)),
            ("latency", latency),
            ("sees", _seen(self._result) or "nothing"),
        ]
        if self._pictures:
            rows.append(("pictures", str(self._pictures)))
        return rows


def _rate(arrivals: deque[float]) -> str:
    span = arrivals[-1] - arrivals[0] if arrivals else 0.0
    return f"{(len(arrivals) - 1) / span:.1f}" if span > 0 else "-"


def _fresh_alerts(message: Message, known: deque[str]) -> list[dict[str, Any]]:
    """The alerts in a message that are not in ``known``, added to it: a device may send each in two ways."""
    alerts = [message] if message.type == "alert" else message.get("alerts", [])
    fresh = [alert for alert in alerts if _text(alert, "alert_id") not in known]
    known.extend(_text(alert, "alert_id") for alert in fresh)
    return fresh


def _alert_line(alert: dict[str, Any]) -> str:
    return f"{_text(alert, 'message')}  {float(alert.get('confidence', 0.0)):.2f}  {_text(alert, 'rule')}".rstrip()


def _status(message: Message) -> str:
    return " ".join(filter(None, (_text(message, "status"), _text(message, "reason"))))


def _seen(message: Message) -> str:
    return counted(_text(seen, "class_name") for seen in message.get("detections", []))


def counted(names: Iterable[str]) -> str:
    """``knife, person x2``."""
    return ", ".join(f"{name} x{count}" if count > 1 else name for name, count in sorted(Counter(names).items()))


def _text(fields: dict[str, Any], key: str) -> str:
    """A field as text without control characters: a name must not steer the terminal."""
    return "".join(char if char.isprintable() else "?" for char in str(fields.get(key, "")))
