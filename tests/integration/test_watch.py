"""`preact-edge watch` as a process of its own."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.config import Listener
from edge.wire.login import Challenge, prove
from tests.certificates import DEVICE_ID, make_fleet
from tests.scripted import Caller, alert, scripted
from tests.streaming import Served, make_alert, make_result, make_video, own_port, running, serving
from tests.support import wait_until

WATCH = [sys.executable, "-m", "edge", "watch"]
SECRET = bytes(range(32))
WITH_VIDEO = Listener(host="127.0.0.1", port=0, video=True)


@contextmanager
def watching(served: Served, *options: str, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """The command, connected."""
    with running([*WATCH, f"127.0.0.1:{served.port}", *options], stdout) as process:
        wait_until(served.hub.clients, timeout=30)
        yield process


@pytest.mark.parametrize("framing", ["length", "newline"])
def test_json_prints_one_message_a_line_and_nothing_else(framing: str) -> None:
    listener = Listener(host="127.0.0.1", port=0, framing=framing, video=True)  # type: ignore[arg-type]
    with serving(listener) as served, watching(served, "--plain", "--json", "--count", "4") as process:
        served.hub.publish_result(make_result(1, make_alert(1)))
        served.hub.publish_video(make_video(1))
        output, errors = process.communicate(timeout=30)
    types = [json.loads(line)["type"] for line in output.splitlines()]
    assert types == ["welcome", "alert", "detection_result", "video_frame"]
    assert errors == ""
    assert process.returncode == 0


def test_frames_are_saved_whole_under_their_number(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    options = ["--plain", "--json", "--count", "2", "--frames", str(folder)]
    with serving(WITH_VIDEO) as served, watching(served, *options) as process:
        served.hub.publish_video(make_video(42, 5000))
        process.communicate(timeout=30)
    assert [path.name for path in folder.iterdir()] == ["frame-000042.jpg"]
    assert (folder / "frame-000042.jpg").read_bytes() == make_video(42, 5000).jpeg


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with serving(WITH_VIDEO) as served, watching(served, "--plain", "--frames", str(blocked / "sub")) as process:
        served.hub.publish_video(make_video(1))
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert re.fullmatch(r"preact-edge: cannot save .*frame-000001.jpg: Not a directory; choose another .*\n", errors)


def test_without_a_terminal_it_prints_plain_lines_of_what_is_new() -> None:
    with serving(alerts="both") as served, watching(served, "--plain", "--count", "5") as process:
        served.hub.publish_result(make_result(1, make_alert(1)))
        served.hub.publish_result(make_result(2))
        served.hub.publish_result(make_result(3))
        output, errors = process.communicate(timeout=30)
    lines = [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in output.splitlines()]
    assert lines == [
        f"connected to 127.0.0.1 port {served.port}",
        "device edge-01, camera main",
        "alert CRITICAL threat detected: knife, person  0.95  armed person  not on its disk yet",
        "status ok",
        "sees person",
    ]
    assert errors == ""


def test_in_a_terminal_it_draws_a_panel_and_ctrl_c_ends_it_well() -> None:
    terminal, inner = pty.openpty()
    try:
        with serving() as served, watching(served, "--plain", stdout=inner) as process:
            os.close(inner)
            served.hub.publish_result(make_result(1, make_alert(1)))
            shown = read_until(terminal, "knife, person  0.95  armed person").decode("utf-8", "replace")
            assert "edge-01" in shown
            assert "camera main" in shown
            process.send_signal(signal.SIGINT)
            # The panel is drawn once more, and the cursor comes back.
            read_until(terminal, "\x1b[?25h")
            assert process.wait(30) == 0
    finally:
        os.close(terminal)


def device(caller: Caller) -> None:
    """A session with a bit of everything."""
    caller.welcome(next_seq=13)
    asked = caller.hear()
    caller.hello_ok(10, "gap", 3, next_seq=13, subscribed=["alerts", "detections", "health"], camera_id="door")
    assert asked["resume"] == {"stream": "", "after": 0}
    parts = {"camera": {"state": "ok", "reason": ""}, "outbox": {"state": "degraded", "reason": "disk is slow"}}
    caller.send({"type": "health", "components": parts}, {"type": "health", "components": parts})
    told = {"event_uid": "e", "confidence": 0.9, "rule": "armed", "threat_types": ["knife"], "tracks": [3, 5]}
    caller.send(
        alert(10, threat_level="high", message="HIGH threat detected: knife", replay=True, age_s=7300.0, **told),
        alert(11, message="CRITICAL threat detected: knife", age_s=12.5, **told),
        alert(12, message="CRITICAL threat resolved: knife", state="resolved", age_s=0.5, **told),
    )
    caller.send({"type": "detection_result", "status": "blind", "reason": "camera lost\x1b[31m", "detections": []})
    caller.send({"type": "error", "code": "rate_limited", "message": "slower", "fatal": False})
    caller.send({"type": "goodbye", "reason": "shutdown", "retry_after_ms": 60000})
    caller.wait_for_end()


def test_a_session_in_plain_lines() -> None:
    with scripted(device) as peer:
        command = [*WATCH, f"127.0.0.1:{peer.address[1]}", "--replay", "--count", "10"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    lines = [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in done.stdout.splitlines()]
    assert lines == [
        f"connected to 127.0.0.1 port {peer.address[1]}",
        "device edge-01, camera main",
        "session as control, camera door",
        "replay of 3 alerts",
        "gap: 3 alerts of before can no more be had",
        "health camera ok",
        "health outbox degraded disk is slow",
        "alert HIGH threat detected: knife  0.90  armed  replayed, 2 h old  #3 #5",
        "alert CRITICAL threat detected: knife  0.90  armed  up from high  #3 #5",
        "alert CRITICAL threat resolved: knife  0.90  armed  resolved after 2 h  #3 #5",
        "status blind camera lost\\x1b[31m",
        "sees nothing",
        "the device complains: slower (rate_limited)",
        "the device says goodbye: shutdown",
    ]
    assert done.returncode == 0


def test_a_session_in_json_is_what_came() -> None:
    with scripted(device) as peer:
        command = [*WATCH, f"127.0.0.1:{peer.address[1]}", "--replay", "--json", "--count", "10"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    assert [message["type"] for message in messages] == [
        "welcome", "hello_ok", "health", "health", "alert", "alert", "alert", "detection_result", "error", "goodbye",
    ]  # fmt: skip
    assert [message["state"] for message in messages[4:7]] == ["firing", "firing", "resolved"]
    assert done.returncode == 0


@pytest.mark.parametrize(("rows", "columns"), [(15, 60), (50, 200)])
def test_the_panel_fits_the_terminal(rows: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("LINES", str(rows))
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal, inner = pty.openpty()
    with scripted(device) as peer, running([*WATCH, f"127.0.0.1:{peer.address[1]}", "--replay"], inner) as process:
        os.close(inner)
        shown = read_until(terminal, "says")
        shown += read_until(terminal, "╯")  # an interruption leaves what is being drawn at that moment torn
        process.send_signal(signal.SIGINT)
        shown += read_until(terminal, "\x1b[?25h")
        assert process.wait(30) == 0
    os.close(terminal)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    panels = [panel.splitlines() for panel in re.findall("╭[^╰]*╰[^╯]*╯", text)]
    assert all(len(panel) < rows for panel in panels)
    assert all(len(line) == columns for panel in panels for line in panel)
    for word in (
        "▲ outbox degraded",
        "● camera ok",
        "as control",
        "● blind",
        "2 h",
        "replayed",
        "resolved after 2 h",
        "up from high",
        "CRITICAL",
    ):
        assert word in text


def test_against_the_device_itself_pictures_come_on_their_own_connection(tmp_path: Path) -> None:
    with serving(WITH_VIDEO) as served, watching(served, "--json", "--frames", str(tmp_path)) as process:
        assert process.stdout is not None
        types = [json.loads(process.stdout.readline())["type"] for _ in range(2)]
        assert types == ["welcome", "hello_ok"]
        wait_until(lambda: served.hub.clients() == 2)
        picture = tmp_path / "frame-000007.jpg"

        def arrives() -> bool:
            served.hub.publish_video(make_video(7, 5000))  # for nothing until its hello has come, too
            return picture.exists()

        wait_until(arrives)
        assert picture.read_bytes() == make_video(7, 5000).jpeg


def test_tls_and_a_login(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path / "fleet")
    keys = tmp_path / "keys.toml"
    keys.write_text(f'[keys.desk]\nrole = "viewer"\nsecret = "{SECRET.hex()}"\n')
    keys.chmod(0o600)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(fleet.device.certificate, fleet.device.private_key)
    with scripted(guarded, tls=context) as peer:
        trust = ["--ca", str(fleet.ca), "--device", DEVICE_ID, "--login"]
        command = [*WATCH, f"127.0.0.1:{peer.address[1]}", "--json", "--count", "2", *trust]
        done = subprocess.run([*command, f"{keys}:desk"], capture_output=True, text=True, timeout=60)
        assert [json.loads(line)["type"] for line in done.stdout.splitlines()] == ["welcome", "hello_ok"]
        assert done.returncode == 0
        done = subprocess.run([*command, f"{keys}:nobody"], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.endswith("keys.toml: has no key of the name nobody, only: desk\n")
        assert done.stderr.startswith("preact-edge: --login: ")
        done = subprocess.run([*command, str(keys)], capture_output=True, text=True, timeout=60)
        assert "write KEYFILE:KEY_ID" in done.stderr


def guarded(caller: Caller) -> None:
    nonce = "ab" * 32
    caller.welcome(auth="hmac", nonce=nonce)
    auth = caller.hear()["auth"]
    caller.hello_ok(proof=prove(SECRET, "server", Challenge("desk", DEVICE_ID, "tls:main", nonce, auth["nonce"])))
    caller.wait_for_end()


def test_it_ends_where_trying_again_is_hopeless() -> None:
    def refuses(caller: Caller) -> None:
        caller.welcome()
        caller.hear()
        caller.send({"type": "error", "code": "auth_failed", "message": "wrong certificate", "fatal": True})
        caller.wait_for_end()

    with scripted(refuses) as peer:
        command = [*WATCH, f"127.0.0.1:{peer.address[1]}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "preact-edge: the device refused: wrong certificate (auth_failed)"


def test_a_message_with_wrong_fields_ends_it_in_words() -> None:
    def wrong(caller: Caller) -> None:
        caller.accept()
        caller.send({"type": "detection_result", "detections": 3})
        caller.wait_for_end()

    with scripted(wrong) as peer:
        command = [*WATCH, f"127.0.0.1:{peer.address[1]}", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "wrong fields: detection_result" in done.stderr


def read_until(terminal: int, text: str) -> bytes:
    shown = b""
    while text.encode() not in shown:
        shown += os.read(terminal, 65536)
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
    with own_port() as port, running([*WATCH, f"127.0.0.1:{port}", "--json", "--count", "1"]) as process:
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
    with own_port() as port:
        command = [*WATCH, f"127.0.0.1:{port}", "--json", "--timeout", "0.3"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith(f"preact-edge: no message from 127.0.0.1:{port} for 0.3 s: ")


@pytest.mark.parametrize(
    "arguments", [["host:x"], ["host", "--count", "0"], ["host", "--timeout", "nan"], ["host", "--key", "k"], []]
)
def test_bad_usage_has_exit_code_2(arguments: list[str]) -> None:
    done = subprocess.run([*WATCH, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
