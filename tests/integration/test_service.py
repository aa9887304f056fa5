"""The program as systemd runs it: what it tells, and what becomes of one that hangs."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from gpiozero.pins.mock import MockFactory

from edge import app as apps
from edge import watchdog
from edge.app import App
from edge.capture import camera
from edge.catalog import Catalog
from edge.configure import load_config
from edge.errors import CaptureError
from edge.systemd import Systemd
from edge.watchdog import Watchdog
from edge.workers import DISK_LIMIT_S, Worker
from tests.notices import Listener, listening
from tests.streaming import own_port
from tests.support import wait_until

SMALL = ("camera.width=640", "camera.height=360", "device.id=bench", "gpio.factory=simulated")


@contextmanager
def service(
    folder: Path, listener: Listener, port: int, *overrides: str, **environ: str
) -> Iterator[subprocess.Popen[bytes]]:
    """`preact-edge run`, as systemd starts it; its log is in ``folder``."""
    settings = (f"storage.state_dir={folder}", f"listeners.0.port={port}", "listeners.0.host=127.0.0.1", *SMALL)
    command = [sys.executable, "-m", "edge", "run", *(f"--set={each}" for each in (*settings, *overrides))]
    told = {"NOTIFY_SOCKET": listener.name, "WATCHDOG_USEC": "2000000"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | told | environ, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def is_connectable(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_ready_comes_when_a_client_can_connect_and_the_end_is_told(tmp_path: Path) -> None:
    with (
        own_port() as port,
        listening(tmp_path, abstract=True) as listener,
        service(tmp_path, listener, port) as process,
    ):
        assert not is_connectable(port)
        wait_until(lambda: listener.listen(), 60)
        assert listener.heard[0] == "READY=1"
        assert is_connectable(port)
        wait_until(lambda: re.match("watching, .* frames/s, 0 clients", listener.status), 60)
        alive = listener.count("WATCHDOG=1")
        with socket.create_connection(("127.0.0.1", port), 5):
            wait_until(lambda: "frames/s, 1 client" in listener.status, 30)
        wait_until(lambda: listener.count("WATCHDOG=1") > alive + 3, 30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert listener.listen()[-1] == "STOPPING=1\nSTATUS=stopping"
        assert listener.count("READY=1") == listener.count("STOPPING=1\nSTATUS=stopping") == 1


def test_without_its_camera_the_program_is_ready_and_lives(tmp_path: Path) -> None:
    source = ("camera.source=/dev/video97", "camera.retry_max_s=0.5", "stream.heartbeat_s=0.5")
    with (
        own_port() as port,
        listening(tmp_path) as listener,
        service(tmp_path, listener, port, *source, WATCHDOG_USEC="400000") as process,
    ):
        listener.wait_for("READY=1", 60)
        wait_until(lambda: listener.status.startswith("blind: camera lost: /dev/video97"), 30)
        alive = listener.count("WATCHDOG=1")
        wait_until(lambda: listener.count("WATCHDOG=1") > alive + 10, 30)
        assert "WATCHDOG=trigger" not in listener.heard
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_stacks_are_in_the_log_of_a_program_that_systemd_aborts(tmp_path: Path) -> None:
    with own_port() as port, listening(tmp_path) as listener, service(tmp_path, listener, port) as process:
        listener.wait_for("READY=1", 60)
        process.send_signal(signal.SIGABRT)
        assert process.wait(30) == -signal.SIGABRT
    log = (tmp_path / "log").read_text()
    assert "Fatal Python error: Aborted" in log
    assert "in _watch" in log, "of every thread"


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of seconds are fair on a computer that is busy: what holds up the whole program does not count."""
    monkeypatch.setattr(watchdog, "LONGEST_STEP_S", 0.1)


class Over(Exception):
    """The test has seen what it waited for."""


@contextmanager
def device(folder: Path, listener: Listener, *overrides: str, **options: Any) -> Iterator[App]:
    """The whole program in this process, which systemd wants to hear of each 0.4 s."""
    fixed = [f"storage.state_dir={folder}", "listeners.0.host=127.0.0.1", "listeners.0.port=0", *SMALL]
    systemd = Systemd({"NOTIFY_SOCKET": listener.name, "WATCHDOG_USEC": "400000"})
    app = App(load_config(None, {}, [*fixed, *overrides]), pin_factory=MockFactory(), systemd=systemd, **options)
    app.start(Catalog.load().resolve("bundled", "", folder))
    try:
        yield app
    finally:
        app.stop()


def wait_in(app: App, listener: Listener, message: str, times: int = 1) -> None:
    """Let the program run in this thread until systemd has heard this so often."""

    def look() -> None:
        if listener.count(message) >= times:
            raise Over

    with pytest.raises(Over):  # pytest's own time limit ends one that never hears it
        app.wait(look)


def test_every_thread_is_watched_and_a_disk_has_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[Worker] = []
    monkeypatch.setattr(Watchdog, "watch", lambda _, *workers: watched.extend(workers))
    before = set(threading.enumerate())
    parts = ("gpio.status_led.pin=27", 'backends=[{host = "127.0.0.1", port = 9, tls = false}]')
    with listening(tmp_path) as listener, device(tmp_path, listener, *parts):
        threads = {thread.name for thread in threading.enumerate() if thread not in before}
        assert {worker.name for worker in watched} == threads
        patient = {worker.name for worker in watched if worker.limit_s == DISK_LIMIT_S}
    assert patient == {"outbox", "keeper", "commands", "replay", "names"}
    assert DISK_LIMIT_S >= 300, "what a dying card may take for an answer"


@contextmanager
def held() -> Iterator[threading.Event]:
    """What a thread hangs at; it goes on at the end, however the test ends."""
    release = threading.Event()
    try:
        yield release
    finally:
        release.set()


@pytest.mark.usefixtures("busy")
def test_a_camera_that_hangs_ends_the_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(camera, "OPENING_S", 1.5)

    def hang() -> None:
        release.wait(60)
        raise CaptureError("scene: hung")

    with (
        listening(tmp_path) as listener,
        device(tmp_path, listener, "camera.stall_s=0.5") as app,
        held() as release,
    ):
        wait_in(app, listener, "WATCHDOG=1", 5)
        monkeypatch.setattr(app.source, "read", hang)
        wait_in(app, listener, "WATCHDOG=trigger")
        alive = listener.count("WATCHDOG=1")
        for _ in range(3):
            with pytest.raises(Over):
                app.wait(over)
        assert listener.count("WATCHDOG=1") == alive
    assert "the capture thread hangs: for more than 2 s it did not pass its loop" in caplog.text
    assert caplog.text.count(" hangs") == 1


def over() -> None:
    raise Over


@pytest.mark.usefixtures("busy")
def test_a_camera_that_fails_over_and_over_is_no_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(camera, "OPENING_S", 1.5)
    calls, settings = [], ("camera.stall_s=0.5", "camera.retry_min_s=0.05", "camera.retry_max_s=0.1")

    def fail() -> None:
        calls.append(threading.Event().wait(0.1))
        raise CaptureError("scene: is broken")

    with listening(tmp_path) as listener, device(tmp_path, listener, *settings) as app:
        monkeypatch.setattr(app.source, "start", fail)
        monkeypatch.setattr(app.source, "read", fail)
        wait_in(app, listener, "WATCHDOG=1", 40)  # twice the limit
        assert listener.status.startswith("blind: camera lost: scene: is broken")
        assert "WATCHDOG=trigger" not in listener.heard
    assert len(calls) > 5
    assert "hangs" not in caplog.text


def test_an_accelerator_that_hangs_ends_them_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(apps, "LIMIT_S", 0.5)
    with listening(tmp_path) as listener, device(tmp_path, listener) as app, held() as release:
        monkeypatch.setattr(app.detector, "detect", lambda _: () if release.wait(60) else None)
        wait_in(app, listener, "WATCHDOG=trigger")
    assert "the inference thread hangs" in caplog.text
