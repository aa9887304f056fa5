"""A real model, a real recording, real sockets, a mock pin: what goes in at one end comes out at the others."""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import pytest
from gpiozero.pins.mock import MockFactory

from edge.app import App
from edge.catalog import Catalog
from edge.config import Config, Rule
from edge.configure import load_config
from edge.errors import EdgeError
from edge.stream.client import connect
from tests.support import ROOT, shared_assets, wait_until

BUZZER_PIN = 17
QUICK = ["gpio.patterns.critical.on_s=0.02", "gpio.patterns.critical.off_s=0.01", "gpio.patterns.critical.repeats=2"]


@contextmanager
def running(config: Config, **options: Any) -> Iterator[App]:
    """The whole program in this process."""
    app = App(config, **options)
    app.start(Catalog.load().resolve(config.detector.model, config.detector.labels, Path("no-store")))
    try:
        yield app
    finally:
        code = app.stop()
    assert (code, app.failure) == (0, None)


def settings(tmp_path: Path, *overrides: str, rule: Rule | None = None) -> Config:
    fixed = [f"storage.state_dir={tmp_path}", "listeners.0.host=127.0.0.1", "listeners.0.port=0", "device.id=bench"]
    if rule is not None:
        classes = [f'any = {list(rule.any)}, all = {list(rule.all)}, level = "{rule.level}", name = "{rule.name}"']
        fixed.append(f"alerts.rules=[{{{classes[0]}, hold_hits = 2, hold_frames = 3, cooldown_s = 60}}]")
    return load_config(None, {}, [*fixed, *QUICK, *overrides])


def sounding(factory: MockFactory) -> list[bool]:
    """All that the buzzer's pin ever was."""
    return [bool(state.state) for state in factory.pin(BUZZER_PIN).states]


def test_the_bundled_scene_gives_an_alert_and_one_sounding(tmp_path: Path) -> None:
    factory = MockFactory()
    config = settings(tmp_path, "camera.unpaced=true", "camera.width=640", "camera.height=360")
    with running(config, pin_factory=factory) as app:
        with connect(*app.server.addresses[0], timeout=10) as client:
            messages = until_alert(client)
        assert app.buzzer is not None
        wait_until(lambda: app.buzzer and app.buzzer.state.soundings == 1 and not app.buzzer.state.sounding)
    welcome, alert = messages[0], messages[-1]
    assert welcome["message"] == "Connected to PreAct Crime Detection System"
    assert welcome["mode"] == "detection_stream"
    assert alert["threat_level"] == "critical"
    assert alert["threat_types"] == ["knife", "person"]
    assert alert["message"] == "CRITICAL threat detected: knife, person"
    assert alert["camera_id"] == "main"
    assert alert["alert_id"] == f"alert_{int(alert['timestamp'])}"
    assert 0 <= alert["location"]["x"] <= 640
    assert sounding(factory)[:5] == [False, True, False, True, False]


def test_a_dead_worker_ends_the_program_with_the_buzzer_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    factory = MockFactory()
    config = settings(tmp_path, "camera.unpaced=true", "gpio.patterns.critical.on_s=30")
    app = App(config, pin_factory=factory)
    app.start(Catalog.load().resolve("bundled", "", tmp_path))
    wait_until(lambda: app.buzzer and app.buzzer.state.sounding, 30)

    def fail(_: Any) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(app.detector, "detect", fail)
    app.wait()
    assert app.stop() == 1
    assert app.stop() == 1
    assert str(app.failure) == "the inference thread died: broken on purpose"
    assert "the inference thread died" in caplog.text
    assert sounding(factory) == [False, True, False]
    assert not threads_of_the_program()


class SlowHandler(logging.Handler):
    """A log that takes its time, as a full journal does."""

    def emit(self, record: logging.LogRecord) -> None:
        self.format(record)
        threading.Event().wait(0.02)


def test_a_capture_thread_that_dies_is_never_taken_for_the_end_of_a_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its death is logged before it is told, and the inference thread ends meanwhile since no more frames come."""

    def fail(*_: Any) -> None:
        raise RuntimeError("broken on purpose")

    handler = SlowHandler()
    logging.getLogger().addHandler(handler)
    try:
        app = App(settings(tmp_path), pin_factory=MockFactory())
        app.start(Catalog.load().resolve("bundled", "", tmp_path))
        monkeypatch.setattr(app.source, "read", fail)
        app.wait()
        assert app.stop() == 1
    finally:
        logging.getLogger().removeHandler(handler)
    assert str(app.failure) == "the capture thread died: broken on purpose"


@pytest.mark.parametrize(
    "override", ["detector.labels=nothing.txt", "camera.source=nothing.mp4", "listeners.0.port=1", "gpio.required=true"]
)
def test_a_start_that_fails_leaves_nothing_open(tmp_path: Path, override: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = settings(tmp_path, override.replace("port=1", f"port={port}"))
        spec = Catalog.load().resolve("bundled", config.detector.labels, tmp_path)
        gc.collect()
        before = set(os.listdir("/proc/self/fd"))
        with pytest.raises(EdgeError):
            App(config).start(spec)
        gc.collect()
        assert set(os.listdir("/proc/self/fd")) - before == set()
    assert not threads_of_the_program()


def threads_of_the_program() -> list[str]:
    names = {"capture", "inference", "evidence", "keeper", "stream", "buzzer"}
    return [thread.name for thread in threading.enumerate() if thread.name in names]


def until_alert(client: Any) -> list[dict[str, Any]]:
    messages = []
    for message in client:
        messages.append(message)
        if message["type"] == "alert":
            return messages
    raise AssertionError("the stream ended without an alert")


def test_a_knife_in_a_real_picture_sounds_the_buzzer(tmp_path: Path) -> None:
    assets = shared_assets()
    factory = MockFactory()
    config = settings(
        tmp_path,
        f"camera.source={assets / 'images' / '000000419312.jpg'}",
        f"detector.model={assets / 'models' / 'yolo11n_640_full_integer_quant.tflite'}",
        f"detector.labels={assets / 'models' / 'coco80_labels.txt'}",
        "camera.fps=5",
        rule=Rule(name="knife alone", level="critical", any=("knife",)),
    )
    with running(config, pin_factory=factory) as app:
        with connect(*app.server.addresses[0], timeout=10) as client:
            alert = until_alert(client)[-1]
        wait_until(lambda: app.buzzer and app.buzzer.state.soundings == 1 and not app.buzzer.state.sounding)
    assert (alert["threat_types"], alert["rule"]) == (["knife"], "knife alone")
    assert alert["confidence"] == pytest.approx(0.7, abs=0.1)
    assert sounding(factory) == [False, True, False, True, False]


def test_a_person_in_a_real_video_sounds_the_buzzer_once(tmp_path: Path) -> None:
    assets = shared_assets()
    factory = MockFactory()
    config = settings(
        tmp_path,
        f"camera.source={assets / 'video' / 'one-by-one-person-detection.mp4'}",
        f"detector.model={assets / 'models' / 'ssd_mobilenet_v1_coco_quant.tflite'}",
        f"detector.labels={assets / 'models' / 'coco_ssd_labelmap.txt'}",
        "camera.unpaced=true",
        rule=Rule(name="anybody", level="critical", any=("person",)),
    )
    with running(config, pin_factory=factory, max_frames=150) as app:
        app.wait()
        figures = app.tally.figures()
        wait_until(lambda: app.buzzer and not app.buzzer.state.sounding)
    assert figures.frames == 150
    assert figures.dropped == 0
    assert figures.alerts == 1, "the cooldown holds"
    assert sounding(factory) == [False, True, False, True, False]


@pytest.mark.parametrize("framing", ["length", "newline"])
@pytest.mark.parametrize(
    ("model", "labels"),
    [
        ("ssd_mobilenet_v1_coco_quant.tflite", "coco_ssd_labelmap.txt"),
        ("yolov8n_416_full_integer_quant.tflite", "coco80_labels.txt"),
    ],
)
def test_watch_and_a_plain_node_client_read_the_same_stream(
    tmp_path: Path, framing: str, model: str, labels: str
) -> None:
    """Both clients at once, with video, on the real video."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node for the plain client")
    assets = shared_assets()
    config = settings(
        tmp_path,
        f"camera.source={assets / 'video' / 'one-by-one-person-detection.mp4'}",
        f"detector.model={assets / 'models' / model}",
        f"detector.labels={assets / 'models' / labels}",
        f"listeners.0.framing={framing}",
        "listeners.0.video=true",
        "camera.fps=10",
        rule=Rule(name="anybody", level="critical", any=("person",)),
    )
    with running(config, pin_factory=MockFactory()) as app:
        host, port = app.server.addresses[0]
        plain = [node, str(ROOT / "tests" / "integration" / "plain_client.mjs"), host, str(port), framing, "60"]
        watch = [sys.executable, "-m", "edge", "watch", f"{host}:{port}", "--json", "--count", "60"]
        outputs = read_both(plain, [*watch, "--frames", str(tmp_path / "frames")])
    for rows in outputs:
        kinds = [row["type"] for row in rows]
        assert len(rows) == 60
        assert kinds[0] == "welcome"
        assert kinds.count("detection_result") > 10
        assert kinds.count("video_frame") > 10
        results = [row for row in rows if row["type"] == "detection_result"]
        assert all(row["frame_info"] == {"width": 768, "height": 432, "channels": 3} for row in results)
        assert all(row["detection_count"] == len(row["detections"]) for row in results)
    numbers = [{row["frame_id"] for row in rows if row["type"] == "detection_result"} for rows in outputs]
    assert numbers[0] & numbers[1], "both were there at the same time"
    pictures = sorted((tmp_path / "frames").glob("frame-*.jpg"))
    assert len(pictures) > 10
    assert cv2.imread(str(pictures[0])).shape == (432, 768, 3)


def read_both(*commands: list[str]) -> list[list[dict[str, Any]]]:
    """The JSON lines of several programs run at the same time."""
    outputs: list[list[dict[str, Any]]] = [[] for _ in commands]

    def read(index: int, command: list[str]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=True)
        outputs[index] = [json.loads(line) for line in done.stdout.splitlines()]

    threads = [threading.Thread(target=read, args=item) for item in enumerate(commands)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outputs
