"""`preact-edge watch` as a process of its own."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.config import Listener
from tests.streaming import Served, make_alert, make_result, make_video, running, serving
from tests.support import wait_until

WATCH = [sys.executable, "-m", "edge", "watch"]
WITH_VIDEO = Listener(host="127.0.0.1", port=0, video=True)


@contextmanager
def watching(served: Served, *options: str, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """The command, connected."""
    with running([*WATCH, f"127.0.0.1:{served.port}", *options], stdout) as process:
        wait_until(served.hub.clients, timeout=30)
        yield process


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("framing", ["length", "newline"])
def test_json_prints_one_message_a_line_and_nothing_else(framing: str) -> None:
    listener = Listener(host="127.0.0.1", port=0, framing=framing, video=True)  # type: ignore[arg-type]
    with serving(listener) as served, watching(served, "--json", "--count", "4") as process:
        served.hub.publish_result(make_result(1, make_alert(1)))
        served.hub.publish_video(make_video(1))
        output, errors = process.communicate(timeout=30)
    types = [json.loads(line)["type"] for line in output.splitlines()]
    assert types == ["welcome", "alert", "detection_result", "video_frame"]
    assert errors == ""
    assert process.returncode == 0


def test_frames_are_saved_whole_under_their_number(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    with serving(WITH_VIDEO) as served, watching(served, "--json", "--count", "2", "--frames", str(folder)) as process:
        served.hub.publish_video(make_video(42, 5000))
        process.communicate(timeout=30)
    assert [path.name for path in folder.iterdir()] == ["frame-000042.jpg"]
    assert (folder / "frame-000042.jpg").read_bytes() == make_video(42, 5000).jpeg


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with serving(WITH_VIDEO) as served, watching(served, "--json", "--frames", str(blocked / "sub")) as process:
        served.hub.publish_video(make_video(1))
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert re.fullmatch(r"preact-edge: cannot save .*frame-000001.jpg: Not a directory; choose another .*\n", errors)


def test_without_a_terminal_it_prints_plain_lines_of_what_is_new() -> None:
    with serving(alerts="both") as served, watching(served, "--count", "5") as process:
        served.hub.publish_result(make_result(1, make_alert(1)))
        served.hub.publish_result(make_result(2))
        served.hub.publish_result(make_result(3))
        output, errors = process.communicate(timeout=30)
    lines = [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in output.splitlines()]
    assert lines == [
        f"connected to 127.0.0.1 port {served.port}",
        "device edge-01, camera main",
        "alert CRITICAL threat detected: knife, person  0.95  armed person",
        "status ok",
        "sees person",
    ]
    assert errors == ""


def test_in_a_terminal_it_draws_a_panel_and_ctrl_c_ends_it_well() -> None:
    terminal, inner = pty.openpty()
    try:
        with serving() as served, watching(served, stdout=inner) as process:
            os.close(inner)
            served.hub.publish_result(make_result(1, make_alert(1)))
            shown = read_until(terminal, "CRITICAL threat detected: knife, person")
            assert "edge-01, camera main" in shown
            process.send_signal(signal.SIGINT)
            # The panel is drawn once more, and the cursor comes back.
            read_until(terminal, "\x1b[?25h")
            assert process.wait(30) == 0
    finally:
        os.close(terminal)


def read_until(terminal: int, text: str) -> str:
    shown = ""
    while text not in shown:
        shown += os.read(terminal, 65536).decode("utf-8", "replace")
    return shown


@pytest.mark.parametrize("options", [["--json"], []])
def test_ctrl_c_ends_it_well(options: list[str]) -> None:
    with serving() as served, watching(served, *options) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_it_ends_quietly_when_nobody_reads_its_output_any_more() -> None:
    with serving() as served, watching(served, "--json") as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        served.hub.publish_result(make_result(1))
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_it_says_that_it_cannot_connect_and_goes_on_trying() -> None:
    port = unused_port()
    command = [*WATCH, f"127.0.0.1:{port}", "--json", "--count", "1"]
    with running(command) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert re.fullmatch(
            rf"preact-edge: cannot connect to 127.0.0.1:{port}: Connection refused; trying again in \d\.\d s\n", first
        )
        with serving(Listener(host="127.0.0.1", port=port)):
            output, _ = process.communicate(timeout=30)
        assert json.loads(output)["type"] == "welcome"
        assert process.returncode == 0


def test_it_gives_up_after_the_timeout() -> None:
    port = unused_port()
    done = subprocess.run(
        [*WATCH, f"127.0.0.1:{port}", "--json", "--timeout", "0.3"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith(f"preact-edge: no message from 127.0.0.1:{port} for 0.3 s: ")


@pytest.mark.parametrize("arguments", [["host:x"], ["host", "--count", "0"], ["host", "--timeout", "nan"], []])
def test_bad_usage_has_exit_code_2(arguments: list[str]) -> None:
    done = subprocess.run([*WATCH, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
