"""What ``preact-edge watch`` draws in a terminal: one calm panel, a device at a glance."""

from __future__ import annotations

import textwrap
import time
from statistics import median

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edge.commands.watchlines import marks
from edge.commands.watchstate import DeviceState, SeenAlert, counted, counted_things, followed, span, status
from edge.stream.client import Connected, Event, Lost, Subscriber, Welcome
from edge.text import printable

__all__ = ["LEVEL_STYLES", "STATUS_STYLES", "Screen", "counted"]

LEVEL_STYLES = {"low": "cyan", "medium": "yellow", "high": "dark_orange", "critical": "bold red"}
STATUS_STYLES = {"ok": "green", "degraded": "yellow", "blind": "bold red"}
HEALTH_STYLES = {"ok": "green", "degraded": "yellow", "failed": "bold red", "off": "dim"}
HEALTH_ORDER = {"failed": -2, "degraded": -1, "ok": 1, "off": 2}
HEALTH_SIGNS = {"ok": "●", "off": "○"}
REDRAW_S = 0.25
QUIET_S = 6.0  # a device says something every 5 s
BARS = "▁▂▃▄▅▆▇█"
LEAST_HEIGHT = 12
LABEL_WIDTH = 10
WIDEST_CHART = 30
FEWEST_ALERTS = 4  # rows that are there from the beginning, where there is room
MOST_ALERTS = 20  # rows on the tallest of terminals
WIDE = 80  # columns from which on an alert's time of day is shown beside its age
TALL = 20  # rows from which on the reasons of what is not well have a row of their own


class Screen:
    """The panel, drawn again when something came or time went by, at most every REDRAW_S seconds."""

    def __init__(self, address: str, client: Subscriber | None = None, console: Console | None = None) -> None:
        self.state = DeviceState()
        self._address = address
        self._client = client
        self._console = console or Console()
        self._started_at = time.strftime("%H:%M")
        self._drawn_at = 0.0
        self._live = Live(console=self._console, auto_refresh=False, get_renderable=self.picture)

    def __enter__(self) -> Screen:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.state.ended = True
        self._live.refresh()
        self._live.stop()

    def show(self, event: Event) -> None:
        """Remember what came; what should be seen at once is drawn at once."""
        fresh = self.state.take(event, time.monotonic(), time.time())
        self._draw(urgent=bool(fresh) or isinstance(event, (Connected, Lost, Welcome)))

    def tick(self) -> None:
        """Ages grow, and waits shrink."""
        self._draw(urgent=False)

    def picture(self) -> RenderableType:
        """What is to be seen now, in at most the terminal's height less one."""
        now = time.monotonic()
        rows = self._rows(now)
        room = max(self._console.height - 1, LEAST_HEIGHT) - len(rows) - 4  # borders, the notice, the heading
        table = Table.grid(padding=(0, 2), expand=True)
        table.add_column(style="dim", no_wrap=True, width=LABEL_WIDTH)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for name, value in rows:
            table.add_row(name, value)
        shown = max(1, min(room, max(FEWEST_ALERTS, len(self.state.alerts)), MOST_ALERTS))  # it grows and never shrinks
        body = Group(table, self._notice(now), self._heading(), self._alerts(now, shown))
        title = Text(f"preact-edge watch {self._address}")
        return Panel(
            body,
            title=title,
            subtitle=None if self.state.ended else "Ctrl-C ends",
            box=box.ROUNDED,
            height=len(rows) + shown + 4,
        )

    def _draw(self, *, urgent: bool) -> None:
        now = time.monotonic()
        if urgent or now - self._drawn_at >= REDRAW_S:
            self._drawn_at = now
            self._live.refresh()

    def _rows(self, now: float) -> list[tuple[str, RenderableType]]:
        """As many rows in every state, so that nothing jumps."""
        facts = self._facts(now)
        if self.state.lost is not None and not self.state.ended:
            facts = self._why(self.state.lost.reason, len(facts))
        return [("device", self._device()), ("connection", self._connection(now)), *facts]

    def _why(self, reason: str, count: int) -> list[tuple[str, RenderableType]]:
        """What is wrong and what to do, in full, where the facts stand otherwise."""
        width = max(20, self._console.width - LABEL_WIDTH - 6)  # borders and gaps
        lines = textwrap.wrap(printable(reason), width)[:count]
        rows: list[tuple[str, RenderableType]] = [("", Text(line, style="red")) for line in lines]
        return rows + [("", Text())] * (count - len(rows))

    def _facts(self, now: float) -> list[tuple[str, RenderableType]]:
        state = self.state
        rows: list[tuple[str, RenderableType]] = [("status", self._status(now))]
        if state.session is None or "health" in state.session.subscribed:
            rows.append(("health", self._health()))
            if self._console.height >= TALL:
                rows.append(("", self._reasons()))
        rows += [
            ("sees", Text((followed(state.result) or "nothing") if state.result is not None else "-")),
            ("rate", self._rate(now)),
            ("latency", self._latency(now)),
            ("dropped", self._dropped()),
        ]
        return rows

    def _device(self) -> Text:
        welcome, session = self.state.welcome, self.state.session
        if welcome is None:
            return Text("-")
        camera = welcome.camera_id or (session.camera_id if session is not None else "")
        model = printable(self.state.result.model) if self.state.result is not None else ""
        text = Text(printable(welcome.device_id), style="bold")
        text.append(f", camera {printable(camera)}" if camera else "", style="not bold")
        return text.append(f"  {model}", style="not bold dim")

    def _connection(self, now: float) -> Text:
        state = self.state
        if state.ended:
            return Text("○ ended", style="dim")
        if state.connected is None and state.lost is not None:
            away = span(now - (state.away_since or now))
            left = max(0.0, state.lost.retry_s - (now - state.lost_at))
            again = f"in {left:.0f} s" if left >= 1 else "now"
            return Text(f"○ not connected {away}; trying again {again}", style="bold red")
        if state.connected is None:
            return Text("○ connecting ...", style="yellow")
        if not state.greeted:
            return Text(f"○ connected {span(now - state.connected_at)}, no welcome yet", style="yellow")
        text = Text().append(f"● connected {span(now - state.connected_at)}", style="green")
        facts = [state.connected.encryption or "not encrypted"]
        if state.session is not None:
            facts += [f"as {printable(state.session.role)}", f"session {printable(state.session.session)[:8]}"]
        elif state.welcome is not None:
            facts.append("plain stream")
        return text.append("  " + " · ".join(facts), style="dim")

    def _status(self, now: float) -> Text:
        result = self.state.result
        if result is None:
            return Text("-")
        quiet = now - self.state.result_at
        if quiet > QUIET_S:
            return Text(f"● nothing heard for {span(quiet)}", style="yellow")
        return Text(f"● {status(result)}", style=STATUS_STYLES.get(result.status, ""))

    def _health(self) -> Text:
        """The components by their state, what is worst first."""
        by_state: dict[str, list[str]] = {}
        for name, part in self.state.health.items():
            by_state.setdefault(part.state, []).append(printable(name))
        text = Text() if by_state else Text("-")
        for state in sorted(by_state, key=lambda state: HEALTH_ORDER.get(state, 0)):
            style = HEALTH_STYLES.get(state, "yellow")
            text.append(
                f"{HEALTH_SIGNS.get(state, '▲')} {', '.join(by_state[state])} {printable(state)}  ", style=style
            )
        return text

    def _reasons(self) -> Text:
        parts = self.state.health.items()
        return Text(
            "; ".join(f"{printable(name)}: {printable(part.reason)}" for name, part in parts if part.reason),
            style="dim",
        )

    def _rate(self, now: float) -> Text:
        state = self.state
        frames = state.latencies.rate(now) if state.result is not None else None
        pictures = state.pictures.rate(now)
        text = Text("-" if frames is None else f"{frames:.1f} frames/s")
        return text.append("" if pictures is None else f", {pictures:.1f} pictures/s")

    def _latency(self, now: float) -> Text:
        values = self.state.latencies.all()
        if not values:
            return Text("-")
        numbers = f"{median(values):.1f} ms median, {max(values):.0f} worst"
        width = min(WIDEST_CHART, self._console.width - 20 - len(numbers))
        chart = sparkline(self.state.latencies.medians(now, width)) if width > 5 else ""
        return Text(f"{numbers}  ").append(chart, style="cyan")

    def _dropped(self) -> Text:
        state, client = self.state, self._client
        frames = state.result.dropped if state.result is not None else 0
        pictures = state.pictures_dropped + (client.frames_dropped if client is not None else 0)
        results = client.results_dropped if client is not None else 0
        ours = f"{counted_things(results, 'result')}, {counted_things(pictures, 'picture')} here"
        return Text(f"{frames} by the device · {ours}")

    def _notice(self, now: float) -> Text:
        return Text(self.state.notice(now), style="yellow", no_wrap=True, overflow="ellipsis")

    def _heading(self) -> Text:
        state = self.state
        text = Text(
            f"{counted_things(state.alert_count, 'alert')} since {self._started_at}", style="bold", no_wrap=True
        )
        facts = [f"{state.going_on} not over"] if state.going_on else []
        facts += [f"{state.replayed} replayed"] if state.replayed else []
        facts += [f"{state.missed} lost in gaps"] if state.missed else []
        return text.append(f" ({', '.join(facts)})" if facts else "", style="not bold dim")

    def _alerts(self, now: float, count: int) -> Table:
        table = Table.grid(padding=(0, 2), expand=True)
        table.add_column(style="dim", no_wrap=True, justify="right", width=6)
        wide = self._console.width >= WIDE
        if wide:
            table.add_column(style="dim", no_wrap=True, width=8)
        table.add_column(no_wrap=True, width=8)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for item in list(self.state.alerts)[:count]:
            at = [Text(time.strftime("%H:%M:%S", time.localtime(item.alert.timestamp)))] if wide else []
            table.add_row(Text(span(now - item.happened_at)), *at, *_alert(item))
        return table


def _alert(item: SeenAlert) -> tuple[Text, Text]:
    alert = item.alert
    level = Text(printable(alert.threat_level).upper(), style=LEVEL_STYLES.get(alert.threat_level, ""))
    if alert.state == "resolved":
        level.stylize("dim")
    found = [mark.split(",")[0] for mark in marks(item)]  # the age stands at the row's beginning
    score = [] if alert.state == "resolved" else [f"{alert.confidence:.2f}"]
    line = Text("  ".join([", ".join(map(printable, alert.threat_types)), *score, printable(alert.rule)]))
    return level, line.append("".join(f"  {mark}" for mark in found), style="dim")


def sparkline(values: list[float | None]) -> str:
    """A bar for each value, from 0 to the highest; a blank where there is none."""
    top = max((value for value in values if value is not None), default=0.0) or 1.0
    last = len(BARS) - 1
    return "".join(" " if value is None else BARS[min(last, int(value / top * last + 0.5))] for value in values)
