"""The demo's view in a terminal: one calm panel, redrawn four times a second."""

from __future__ import annotations

import logging
import time
from collections import deque

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edge.app import App
from edge.commands.watchview import LEVEL_STYLES, STATUS_STYLES, counted
from edge.health.tally import Figures

SHOWN_ALERTS = 5


class Notes(logging.Handler):
    """Keeps the last log lines for the view, which owns the terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
        self.lines: deque[str] = deque(maxlen=4)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record).splitlines()[0])


class LiveView:
    """``notes`` takes the log; ``show`` draws until the program ends."""

    def __init__(self) -> None:
        self.notes = Notes()

    def show(self, app: App) -> None:
        """Draw until the program is to end."""
        with Live(self.picture(app), console=Console(), auto_refresh=False) as live:
            app.wait(lambda: live.update(self.picture(app), refresh=True), interval=0.25)

    def picture(self, app: App) -> RenderableType:
        """What is to be seen now."""
        figures = app.tally.figures()
        log = [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in list(self.notes.lines)]
        host, port = app.server.addresses[0]
        hint = f"Ctrl-C ends · in another terminal: .venv/bin/preact-edge watch {host}:{port}"
        body = Group(_state(app, figures), Text(), _alerts(figures), Text(), *log)
        return Panel(body, title="preact-edge demo", subtitle=hint, box=box.ROUNDED, padding=(1, 2))


def _state(app: App, figures: Figures) -> Table:
    addresses = ", ".join(f"{host}:{port}" for host, port in app.server.addresses)
    clients = app.hub.clients()
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(no_wrap=True, overflow="ellipsis")
    framing = app.config.listeners[0].framing
    table.add_row("stream", f"{addresses} ({framing}), {clients} client{'' if clients == 1 else 's'}")
    table.add_row("source", f"{app.source.name}, {figures.frames_per_s:.1f} frames/s, {figures.dropped} dropped")
    table.add_row("model", str(app.detector.description))
    table.add_row("latency", f"{figures.latency_ms:.1f} ms, of it inference {figures.inference_ms:.1f} ms (medians)")
    table.add_row("status", _status(figures))
    table.add_row("buzzer", _buzzer(app))
    table.add_row("sees", counted(figures.detections) or "nobody")
    return table


def _status(figures: Figures) -> Text:
    return Text.assemble(
        (figures.status, STATUS_STYLES[figures.status]), f"  {figures.reason}" if figures.reason else ""
    )


def _buzzer(app: App) -> Text:
    if app.buzzer is None:
        return Text("none")
    state = app.buzzer.state
    simulated = " (simulated pin)" if app.config.gpio.factory == "simulated" else ""
    if state.sounding:
        return Text(f"● ON, {state.level}{simulated}", style="bold red")
    return Text(f"○ off{simulated}")


def _alerts(figures: Figures) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row(Text(f"alerts: {figures.alerts}", style="bold"))
    for alert in figures.last_alerts[:SHOWN_ALERTS]:
        when = time.strftime("%H:%M:%S", time.localtime(alert.timestamp))
        level = (alert.threat_level.upper(), LEVEL_STYLES[alert.threat_level])
        table.add_row(Text.assemble(f"{when}  ", level, f"  {', '.join(alert.threat_types)}  {alert.confidence:.2f}"))
    return table
