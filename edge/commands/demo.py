"""``preact-edge demo``: everything on the drawn scene and the bundled model, with a live view in the terminal."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from edge.app import App
from edge.commands import common
from edge.commands.liveview import LiveView

logger = logging.getLogger(__name__)
PLAIN_EVERY_S = 10.0  # without a terminal, a line of figures this often


def run(args: argparse.Namespace) -> int:
    """As ``run``, with the pins simulated unless the settings say otherwise."""
    config = common.load(args)
    if config.gpio.factory == "auto":
        args.overrides.append("gpio.factory=simulated")
        config = common.load(args)
    view = LiveView() if sys.stdout.isatty() else None
    common.start_logging(config, view.notes if view else None)
    app = App(config, max_frames=args.max_frames, on_buzzer=_log_buzzer)
    app.handle_signals()
    try:
        app.start(common.resolve_model(config))
        if view:
            view.show(app)
        else:
            app.wait(_PlainFigures(app))
    finally:
        common.start_logging(config)
        code = app.stop()
    if app.failure:
        print(f"preact-edge: {app.failure}", file=sys.stderr)
    return code


class _PlainFigures:
    """Called often, logs one line of figures every PLAIN_EVERY_S."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._due = time.monotonic() + PLAIN_EVERY_S

    def __call__(self) -> None:
        if time.monotonic() < self._due:
            return
        self._due += PLAIN_EVERY_S
        figures = self._app.tally.figures()
        logger.info(
            "%.1f frames/s, latency %.1f ms, %d alerts, %d clients, status %s",
            figures.frames_per_s,
            figures.latency_ms,
            figures.alerts,
            self._app.hub.clients(),
            figures.status,
        )


def _log_buzzer(on: bool) -> None:
    logger.info("buzzer %s", "on" if on else "off")
