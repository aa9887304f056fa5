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
from edge.stream.address import show

SHOWN_ALERTS = 5
FEWEST_ALERT_LINES = 2  # their number and the newest
DISPENSABLE = ("model", "latency", "source", "sees", "try", "buzzer")  # in the order of going
AIR = 3  # empty lines: one above, one below, one between
WIDE = 80  # columns from which on there is air at the sides too


class Notes(logging.Handler):
    """Keeps the last log lines for the view, which owns the terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
        self.lines: deque[str] = deque(maxlen=4)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.lines.append(self.format(record).splitlines()[0])
        except Exception:  # noqa: BLE001  # a badly written call of the log is told, and ends no thread
            self.handleError(record)


class LiveView:
    """``notes`` takes the log; ``show`` draws until the program ends."""

    def __init__(self, console: Console | None = None) -> None:
        self.notes = Notes()
        self._console = console or Console()

    def show(self, app: App) -> None:
        """Draw until the program is to end."""
        with Live(self.picture(app), console=self._console, auto_refresh=False) as live:
            app.wait(lambda: live.update(self.picture(app), refresh=True), interval=0.25)

    def picture(self, app: App) -> RenderableType:
        """What is to be seen now, in at most the terminal's height less one.

        Where there is little room the empty lines go first, then the log, then the older alerts, then what a glance
        can do without.
        """
        figures = app.tally.figures()
        room = max(self._console.height - 3, 1)  # borders, and the line of the cursor
        facts = _facts(app, figures)
        for name in DISPENSABLE[: max(0, len(facts) + FEWEST_ALERT_LINES - room)]:
            del facts[name]
        alerts = _alerts(figures)[: max(FEWEST_ALERT_LINES, room - len(facts))]
        spare = room - len(facts) - len(alerts)
        lines = list(self.notes.lines)[-(spare - 1) :] if spare > 1 else []
        log = [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in lines]
        airy = spare - len(log) - 1 >= AIR  # the log has a line of air already
        parts: list[RenderableType] = [_table(facts), *([Text()] if airy else []), *alerts]
        parts += [Text(), *log] if log else []
        sides = 2 if self._console.width >= WIDE else 1
        return Panel(
            Group(*parts),
            title="preact-edge demo",
            subtitle="Ctrl-C ends",
            box=box.ROUNDED,
            padding=(1 if airy else 0, sides),
        )


def _facts(app: App, figures: Figures) -> dict[str, RenderableType]:
    """What is known, in the order of showing; each takes a line."""
    clients = app.hub.clients()
    framing = app.config.listeners[0].framing
    addresses = [show(address) for address in app.server.addresses]
    return {
        "stream": f"{', '.join(addresses)} ({framing}), {clients} client{'' if clients == 1 else 's'}",
        "source": f"{app.source.name}, {figures.frames_per_s:.1f} frames/s, {figures.dropped} dropped",
        "model": str(app.detector.description),
        "latency": f"{figures.latency_ms:.1f} ms, of it inference {figures.inference_ms:.1f} ms (medians)",
        "status": _status(figures),
        "buzzer": _buzzer(app),
        "sees": counted(figures.detections) or "nobody",
        "try": f".venv/bin/preact-edge watch {addresses[0]}",
    }


def _table(facts: dict[str, RenderableType]) -> Table:
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(style="dim", no_wrap=True, width=max(map(len, facts)))
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for name, value in facts.items():
        table.add_row(name, value)
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


def _alerts(figures: Figures) -> list[Text]:
    """How many there were, and a line for each of the last ones."""
    lines = [Text(f"alerts: {figures.alerts}", style="bold")]
    for alert in figures.last_alerts[:SHOWN_ALERTS]:
        when = time.strftime("%H:%M:%S", time.localtime(alert.timestamp))
        level = (alert.threat_level.upper(), LEVEL_STYLES[alert.threat_level])
        what = f"  {', '.join(alert.threat_types)}  {alert.confidence:.2f}"
        lines.append(Text.assemble(f"{when}  ", level, what, no_wrap=True, overflow="ellipsis"))
    return lines
