"""A device that can detect nothing says so to everybody, the plainest client included."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from edge.app import App
from edge.catalog import Catalog
from edge.configure import load_config
from edge.controls.settings import FILE
from tests.support import wait_until


def first_result(app: App) -> dict[str, Any]:
    with socket.create_connection(app.server.addresses[0], timeout=20) as client:
        for line in client.makefile("rb"):
            message: dict[str, Any] = json.loads(line)
            if message["type"] == "detection_result":
                return message
    raise AssertionError("the stream ended")


@pytest.mark.parametrize(
    ("kept", "override", "reason"),
    [
        ({"detector.score_threshold": 0.97}, [], "detector.score_threshold is 0.97: hardly anything can be detected"),
        ({}, ["alerts.rules=[]"], "no rule can fire: alerts.rules is empty"),
        (
            {"alerts.rules": [{"name": "a", "level": "low", "any": ["ufo"]}]},
            [],
            "no rule can fire: the model lacks their classes; rule 'a' can never fire: the model knows none of 'ufo'",
        ),
    ],
)
def test_silence_is_not_taken_for_safety(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kept: dict[str, Any], override: list[str], reason: str
) -> None:
    (tmp_path / FILE).write_text(json.dumps(kept))
    fixed = [f"storage.state_dir={tmp_path}", "listeners.0.port=0", "listeners.0.framing=newline"]
    app = App(load_config(None, {}, [*fixed, "camera.width=320", "camera.height=180", *override]))
    app.start(Catalog.load().resolve("bundled", "", tmp_path))
    try:
        message = first_result(app)
        assert (message["status"], message["reason"]) == ("degraded", reason)
        wait_until(lambda: app.board.components()["detector"] == {"state": "degraded", "reason": reason})
    finally:
        assert app.stop() == 0
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert set(reason.split("; ")) <= set(warnings)
    for key in kept:
        assert [line for line in warnings if line.startswith(f"kept change (set_config): {key} = ")]
