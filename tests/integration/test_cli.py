"""The command line as a user meets it: bad input is one clear line, an exit code, and nothing lost."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support import ROOT, shared_assets, wait_until


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def environment(home: Path, **extra: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PREACT_EDGE_", "XDG_"))}
    return {**kept, "HOME": str(home), "PYTHONPATH": str(ROOT), **extra}


def edge(home: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        [sys.executable, "-m", "edge", *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        env=environment(home, **extra),
        cwd=home,
        check=False,
    )


class Running:
    """The program in the background; ``log`` is what it wrote so far."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.file = home / "log.txt"
        with self.file.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edge", *arguments],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment(home),
                cwd=home,
            )

    @property
    def log(self) -> str:
        return self.file.read_text()

    def port(self) -> int:
        wait_until(lambda: "listening on" in self.log or self.process.poll() is not None, 60)
        return int(self.log.split("listening on")[1].split()[0].rpartition(":")[2].strip(","))


@pytest.fixture
def start(home: Path) -> Iterator[type[Running]]:
    started: list[Running] = []

    class Started(Running):
        def __init__(self, *arguments: str) -> None:
            super().__init__(home, *arguments)
            started.append(self)

    yield Started
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait()


RUN = ("run", "--listen", "127.0.0.1:0")


def test_importing_the_command_line_imports_nothing_heavy() -> None:
    heavy = ("cv2", "numpy", "gpiozero", "rich", "msgspec", "ai_edge_litert")
    code = f"import sys, edge.cli; edge.cli.parser(); print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_version_names_the_program_first(home: Path) -> None:
    done = edge(home, "version")
    assert done.returncode == 0
    assert done.stdout.startswith("preact-edge ")
    assert "numpy" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([*RUN, "--source", "nothing.mp4"], 1, "nothing.mp4: cannot be read: No such file"),
        ([*RUN, "--source", "empty.mp4"], 1, "empty.mp4: is empty"),
        ([*RUN, "--source", "text.mp4"], 1, "text.mp4: is no video that OpenCV can read"),
        ([*RUN, "--source", "pictures"], 1, "pictures: holds no picture"),
        ([*RUN, "--source", "pipe.mp4"], 1, "pipe.mp4: is no file"),
        ([*RUN, "--source", "text.jpg"], 1, "text.jpg: holds no picture that can be read"),
        ([*RUN, "--source", "empty.jpg"], 1, "empty.jpg: is empty; is the file whole?"),
        ([*RUN, "--source", "x" * 300], 1, "File name too long"),
        ([*RUN, "--source", "~nobody-of-this-name/a.mp4"], 2, "no such user"),
        ([*RUN, "--source", "picamera"], 1, "sudo apt install python3-picamera2"),
        ([*RUN, "--source", "text.mp4/a.mp4"], 1, "Not a directory"),
        ([*RUN, "--model", "text.mp4/a.tflite"], 1, "Not a directory"),
        ([*RUN, "--model", "x" * 300 + ".tflite"], 1, "File name too long"),
        ([*RUN, "--model", "nothing.tflite"], 1, "nothing.tflite"),
        ([*RUN, "--model", "text.tflite"], 1, "text.tflite"),
        ([*RUN, "--model", "empty.tflite"], 1, "empty.tflite"),
        ([*RUN, "--labels", "one.txt"], 1, "one.txt"),
        ([*RUN, "--labels", "nothing.txt"], 1, "nothing.txt"),
        ([*RUN, "-c", "nothing.toml"], 2, "nothing.toml: cannot be read"),
        ([*RUN, "-c", "bad.toml"], 2, "bad.toml: camera.colour: unknown key"),
        ([*RUN, "--set", "camera.fps=fast"], 2, "camera.fps: expected"),
        ([*RUN, "--set", "storage.state_dir=/proc/none"], 1, "state folder /proc/none: cannot be written"),
        ([*RUN, "--set", "gpio.required=true"], 1, "gpio.required"),
        ([*RUN, "--set", "alerts.rules.0.hold_hits=900"], 2, "armed person"),
        ([*RUN, "-c", "rule.toml"], 2, "rule.toml: alerts.rules: rule 'x': "),
        (["detect", "a.jpg", "--score-threshold", "7"], 2, "--score-threshold 7: detector.score_threshold: expected"),
        (["detect", "pipe.mp4"], 1, "pipe.mp4: is no file"),
        (["models", "pull", "nope"], 1, "model nope: is not in the catalogue"),
        (["models", "pull", "mobiledet", "--from", "pictures"], 1, "pictures"),
        (["models", "pull", "mobiledet", "--from", "text.mp4"], 1, "text.mp4: is no folder"),
        (["run", "--listen", "0.0.0.0:0"], 2, "allow_insecure"),
        (["run", "--listen", "nowhere"], 2, "write HOST:PORT"),
        (["detect", "nothing.jpg"], 1, "nothing.jpg: cannot be read"),
        (["detect", "text.mp4"], 1, "text.mp4: is no picture"),
        (["watch", "127.0.0.1:99999"], 2, "99999"),
    ],
)
def test_bad_input_is_one_clear_line(home: Path, arguments: list[str], code: int, words: str) -> None:
    (home / "empty.mp4").write_bytes(b"")
    (home / "empty.tflite").write_bytes(b"")
    (home / "text.mp4").write_bytes(b"no video, whatever its name says " * 50)
    (home / "empty.jpg").write_bytes(b"")
    (home / "text.jpg").write_bytes(b"no picture, whatever its name says")
    (home / "rule.toml").write_text('[[alerts.rules]]\nname = "x"\nlevel = "low"\n')
    (home / "text.tflite").write_bytes(b"no model, whatever its name says " * 50)
    (home / "one.txt").write_text("person\n")
    (home / "bad.toml").write_text("[camera]\ncolour = 3\n")
    (home / "pictures").mkdir()
    os.mkfifo(home / "pipe.mp4")
    done = edge(home, *arguments)
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.split(" ")[0][:2].isdigit()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("preact-edge: ")
    assert words in lines[0]
    assert "Traceback" not in done.stderr


def test_usage_errors_exit_2(home: Path) -> None:
    for arguments in (["run", "--max-frames", "0"], ["nonsense"], [], ["run", "--framing", "json"]):
        done = edge(home, *arguments)
        assert done.returncode == 2
        assert "usage: preact-edge" in done.stderr


def test_a_port_in_use_is_named(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = edge(home, "run", "--listen", f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1" in done.stderr.splitlines()[-1]
    assert "in use" in done.stderr.splitlines()[-1]


def test_a_short_recording_ends_with_0(home: Path) -> None:
    cv2.imwrite(str(home / "one.png"), np.full((48, 64, 3), 90, np.uint8))
    done = edge(home, *RUN, "--source", "one.png", "--set", "camera.loop=false", "--set", "device.id=bench")
    assert done.returncode == 0, done.stderr
    assert "listening on 127.0.0.1:" in done.stderr
    assert "litert" in done.stderr.lower()
    assert done.stdout == ""


def test_max_frames_ends_with_0(home: Path) -> None:
    done = edge(home, *RUN, "--unpaced", "--max-frames", "7")
    assert done.returncode == 0, done.stderr
    assert "stopped after 7 frames" in done.stderr


def test_a_folder_that_may_not_be_looked_into_is_one_clear_line(home: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may look into any folder")
    closed = home / "closed"
    closed.mkdir(mode=0o000)
    for arguments in (
        ["run", "--source", f"{closed}/a.mp4"],
        ["run", "--source", f"{closed}/a.jpg"],
        ["run", "--model", f"{closed}/a.tflite"],
        ["run", "--model", "mobiledet", "--set", f"storage.models_dir={closed}"],
        ["models", "pull", "mobiledet", "--from", f"{closed}/x"],
    ):
        done = edge(home, *arguments)
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith("preact-edge: ")


def test_a_camera_that_is_absent_is_retried_and_told_to_clients(start: type[Running]) -> None:
    running = start(*RUN, "--source", "/dev/video87", "--framing", "newline")
    with socket.create_connection(("127.0.0.1", running.port()), timeout=20) as client:
        lines = client.makefile("rb")
        assert json.loads(lines.readline())["type"] == "welcome"
        message = json.loads(lines.readline())
    assert message["type"] == "detection_result"
    assert (message["detection_count"], message["status"]) == (0, "blind")
    assert "/dev/video87: no such camera" in message["reason"]
    assert "camera lost: /dev/video87: no such camera" in running.log
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(10) == 0


def test_a_camera_that_hangs_does_not_hold_up_the_end(start: type[Running]) -> None:
    """An RTSP host that takes the connection and then says nothing: the capture thread sits in FFmpeg for seconds."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        running = start(*RUN, "--source", f"rtsp://127.0.0.1:{port}/door")
        connection, _ = silent.accept()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0
        connection.close()
    assert "not ended in time: capture; leaving without" in running.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_and_sighup_does_not(start: type[Running], number: signal.Signals) -> None:
    running = start("demo", "--listen", "127.0.0.1:0")
    with socket.create_connection(("127.0.0.1", running.port()), timeout=20) as client:
        assert client.recv(4)
        running.process.send_signal(signal.SIGHUP)
        while b"detection_result" not in client.recv(1 << 16):
            pass
        assert running.process.poll() is None
        running.process.send_signal(number)
        while client.recv(1 << 16):
            pass  # an orderly end: EOF, and no reset
    assert running.process.wait(10) == 0
    assert "stopped after" in running.log


def test_check_tells_what_is_wrong_part_by_part(home: Path) -> None:
    done = edge(home, "check", "--source", "/dev/video87", "--listen", "127.0.0.1:0")
    assert done.returncode == 1
    kinds = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines() if not line.startswith("note")}
    assert kinds.pop("camera") == "problem"
    assert kinds == dict.fromkeys(("config", "state", "model", "gpio", "security", "port"), "ok")
    fine = edge(home, "check", "--listen", "127.0.0.1:0")
    assert fine.returncode == 0, fine.stdout
    wrong = edge(home, "check", "--set", "camera.fps=0")
    assert wrong.returncode == 2
    assert wrong.stdout.startswith("problem  config")


def test_selftest_passes_here(home: Path) -> None:
    done = edge(home, "selftest")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "selftest passed" in done.stdout
    assert "invoke" in done.stdout


def test_detect_prints_json_and_nothing_else(home: Path) -> None:
    clip = cv2.VideoCapture(str(ROOT / "models" / "golden" / "golden.avi"))
    frames = []
    while (read := clip.read())[0]:
        frames.append(read[1])
    clip.release()
    expected = json.loads((ROOT / "models" / "golden" / "expected.json").read_bytes())["frames"]
    most = max(range(len(expected)), key=lambda index: len(expected[index]["detections"]))
    cv2.imwrite(str(home / "a.png"), frames[most])
    (home / "broken.jpg").write_bytes(b"x")
    done = edge(home, "detect", "a.png", "broken.jpg", "--json", "--annotate", "drawn", "--score-threshold", "0.5")
    assert done.returncode == 1
    (row,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert set(row) == {"file", "width", "height", "detections"}
    assert (row["file"], row["width"], row["height"]) == ("a.png", 640, 360)
    names = sorted(found["class_name"] for found in row["detections"])
    assert names == sorted(found["class_name"] for found in expected[most]["detections"])
    assert all(set(found) == {"class_id", "class_name", "confidence", "bbox"} for found in row["detections"])
    drawn = cv2.imread(str(home / "drawn" / "a.jpg"))
    assert drawn is not None
    assert drawn.shape == (360, 640, 3)
    assert "broken.jpg: is no picture" in done.stderr


@pytest.mark.parametrize("command", ["detect a.png --json", "models list", "version"])
def test_an_output_that_cannot_be_written_is_one_clear_line(home: Path, command: str) -> None:
    cv2.imwrite(str(home / "a.png"), np.full((48, 64, 3), 90, np.uint8))
    for end, words in (("> /dev/full", "preact-edge: No space left on device\n"), (">&-", "")):
        line = f"{shlex.quote(sys.executable)} -m edge {command} {end}"
        done = subprocess.run(
            ["/bin/sh", "-c", line], capture_output=True, text=True, env=environment(home), cwd=home, check=False
        )
        assert done.stderr == words
        assert done.returncode == (1 if words else 0)


def test_a_reader_that_leaves_is_no_error(home: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        cv2.imwrite(str(home / name), np.full((48, 64, 3), 90, np.uint8))
    command = f"{shlex.quote(sys.executable)} -m edge detect a.png b.png c.png | head -n 1"
    done = subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, text=True, env=environment(home), cwd=home, check=True
    )
    assert done.stdout == "a.png: 64 x 48, 0 detections\n"
    assert done.stderr == ""


def test_a_signal_during_the_start_ends_it(start: type[Running], home: Path) -> None:
    """The model's probe hangs in a delegate; the program does not go on to start when it is asked to end."""
    source = home / "hang.c"
    source.write_text(
        "#include <unistd.h>\n"
        "void *tflite_plugin_create_delegate(char **k, char **v, unsigned long n, void (*e)(const char *))"
        " { sleep(60); return 0; }\n"
        "void tflite_plugin_destroy_delegate(void *d) {}\n"
    )
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc to build a delegate")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(home / "hang.so"), str(source)], check=True)
    running = start(*RUN, "--set", f"detector.delegate={home / 'hang.so'}", "--set", "log_level=debug")
    wait_until(lambda: children(running.process.pid), 30)
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(20) == 0
    assert "listening on" not in running.log
    assert "Traceback" not in running.log


def children(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()


def test_a_terminal_that_closes_during_the_start_does_not_end_it(start: type[Running]) -> None:
    running = start(*RUN)
    wait_until(lambda: ignores_sighup(running.process.pid))
    running.process.send_signal(signal.SIGHUP)
    assert running.port()
    assert running.process.poll() is None
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(20) == 0


def ignores_sighup(pid: int) -> bool:
    masks = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "Sig" in line)
    return bool(int(masks["SigIgn"], 16) & 1 or int(masks["SigCgt"], 16) & 1)


def test_annotate_never_writes_over_its_input(home: Path) -> None:
    cv2.imwrite(str(home / "a.jpg"), np.full((48, 64, 3), 90, np.uint8))
    before = (home / "a.jpg").read_bytes()
    done = edge(home, "detect", "a.jpg", "--annotate", ".")
    assert done.returncode == 2
    assert "would write over" in done.stderr
    assert (home / "a.jpg").read_bytes() == before


def test_detect_with_real_models_on_a_real_picture(home: Path) -> None:
    assets = shared_assets()
    picture = assets / "images" / "000000419312.jpg"
    model = assets / "models" / "yolo11n_640_full_integer_quant.tflite"
    labels = assets / "models" / "coco80_labels.txt"
    done = edge(home, "detect", str(picture), "--model", str(model), "--labels", str(labels), "--json")
    assert done.returncode == 0, done.stderr
    names = [found["class_name"] for found in json.loads(done.stdout)["detections"]]
    assert "knife" in names
    assert "person" not in names
