"""The demo's panel in terminals of several sizes."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import pytest
from rich.console import Console

from edge.app import App
from edge.catalog import Catalog
from edge.commands.liveview import LiveView
from edge.configure import load_config
from tests.support import wait_until


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory):
    """The whole program on the scene, after its first alert."""
    folder = tmp_path_factory.mktemp("state of the view")
    overrides = ["listeners.0.host=127.0.0.1", "listeners.0.port=0", "camera.unpaced=true", "gpio.factory=simulated"]
    app = App(load_config(None, {}, [f"storage.state_dir={folder}", *overrides]))
    app.start(Catalog.load().resolve("bundled", "", Path("no-store")))
    try:
        wait_until(lambda: app.tally.figures().alerts, 30)
        yield app
    finally:
        app.stop()


def drawn(app: App, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, color_system=None)
    view = LiveView(console)
    for number in range(4):
        view.notes.handle(logging.LogRecord("log", logging.INFO, "", 0, f"line {number} of the log", (), None))
    console.print(view.picture(app))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(("width", "height"), [(60, 15), (80, 24), (200, 50)])
def test_it_fits_and_shows_what_matters(app: App, width: int, height: int) -> None:
    lines = drawn(app, width, height)
    text = "\n".join(lines)
    port = app.server.addresses[0][1]
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    for word in (
        f"watch 127.0.0.1:{port} ",
        "status",
        "stream",
        "buzzer",
        "sees",
        "alerts: ",
        "CRITICAL",
        "Ctrl-C ends",
    ):
        assert word in text, text


def test_what_is_less_important_goes_first(app: App) -> None:
    order = ("line 0 of", "line 3 of", "model ", "latency ", "source ", "sees ", "try ", "buzzer ")
    before = 0
    for height in range(24, 6, -1):
        lines = drawn(app, 80, height)
        text = "\n".join(lines)
        gone = [word not in text for word in order]
        assert gone == sorted(gone, reverse=True), (height, text)
        assert sum(gone) >= before
        assert len(lines) < height
        for word in ("status ", "stream ", "CRITICAL"):
            assert word in text
        before = sum(gone)
    assert before == len(order)
