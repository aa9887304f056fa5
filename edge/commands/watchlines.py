"""What ``preact-edge watch`` prints where there is no terminal: a line for each thing that is new, or JSON."""

from __future__ import annotations

import sys
import time

import msgspec

from edge.commands.watchstate import DeviceState, SeenAlert, describe, seen, span, status
from edge.stream.client import Connected, DetectionResult, Event, Health, HelloOk, Lost, Message, Welcome
from edge.stream.client.messages import FromDevice
from edge.text import printable


class JsonLines:
    """Messages on stdout, each one line of JSON as it came; what happens to the connection on stderr."""

    def show(self, event: Event) -> None:
        if isinstance(event, (FromDevice, Message)):
            raw = event if isinstance(event, Message) else event.raw
            sys.stdout.buffer.write(msgspec.json.encode(dict(raw)) + b"\n")
            sys.stdout.buffer.flush()
        elif isinstance(event, Lost):
            print(f"preact-edge: {printable(str(event))}", file=sys.stderr, flush=True)
        elif not isinstance(event, Connected) and (text := describe(event)):
            print(f"preact-edge: {text}", file=sys.stderr, flush=True)

    def tick(self) -> None:
        """Nothing happens by itself."""


class PlainLines:
    """One line for each thing that is new: the connection, the status, what is seen, an alert, a notice."""

    def __init__(self) -> None:
        self._state = DeviceState()
        self._status = ""
        self._seen: str | None = None
        self._health: dict[str, str] = {}

    def show(self, event: Event) -> None:
        fresh = self._state.take(event, time.monotonic(), time.time())
        if isinstance(event, Connected):
            encryption = f", {event.encryption}" if event.encryption else ""
            self._say(f"connected to {event.host} port {event.port}{encryption}")
        elif isinstance(event, Lost):
            print(f"preact-edge: {printable(str(event))}", file=sys.stderr, flush=True)
        elif isinstance(event, Welcome):
            camera = f", camera {printable(event.camera_id)}" if event.camera_id else ""
            self._say(f"device {printable(event.device_id)}{camera}")
        elif isinstance(event, HelloOk):
            self._begin(event)
        elif isinstance(event, Health):
            self._take_health(event)
        elif text := describe(event):
            self._say(text)
        for item in fresh:
            self._say(f"alert {alert_line(item)}")
        if isinstance(event, DetectionResult):
            self._result(event)

    def tick(self) -> None:
        """Nothing happens by itself."""

    def _begin(self, hello: HelloOk) -> None:
        self._say(f"session as {printable(hello.role)}, camera {printable(hello.camera_id)}")
        if notice := self._state.notice(time.monotonic()):
            self._say(notice)

    def _take_health(self, event: Health) -> None:
        """Every component once, then those that changed."""
        for name, component in event.components.items():
            text = " ".join(filter(None, (printable(component.state), printable(component.reason))))
            if self._health.get(name) != text:
                self._health[name] = text
                self._say(f"health {printable(name)} {text}")

    def _result(self, result: DetectionResult) -> None:
        now = status(result)
        if now != self._status:
            self._status = now
            self._say(f"status {now}")
        what = seen(result)
        if what != self._seen:
            self._seen = what
            self._say(f"sees {what or 'nothing'}")

    def _say(self, line: str) -> None:
        print(f"{time.strftime('%H:%M:%S')}  {line}", flush=True)


def alert_line(item: SeenAlert) -> str:
    """An alert in one line, with its marks."""
    alert = item.alert
    line = f"{printable(alert.message)}  {alert.confidence:.2f}  {printable(alert.rule)}".rstrip()
    return "  ".join([line, *marks(item)])


def marks(item: SeenAlert) -> list[str]:
    """What is out of the ordinary about an alert, and the objects that took part."""
    alert = item.alert
    found = []
    if alert.state == "resolved":
        found.append("resolved" if item.lasted_s is None else f"resolved after {span(round(item.lasted_s))}")
    elif item.was:
        found.append(f"up from {printable(item.was)}")
    if alert.replay:
        found.append(f"replayed, {span(alert.age_s)} old")
    if "durable" in alert.raw and not alert.durable:
        found.append("not on its disk yet")
    if alert.tracks:
        found.append(" ".join(f"#{track}" for track in alert.tracks))
    return found
