"""docs/python-client.md is true: each of its programs is run as it stands, with the addresses of a real device."""

from __future__ import annotations

import contextlib
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from edge.security.issue import Fleet, Terms
from edge.security.keys import append_key
from edge.stream import client
from edge.stream.client.messages import Event
from edge.stream.client.refusals import Distrust
from tests.streaming import own_port, running
from tests.support import ROOT

PAGE = (ROOT / "docs/python-client.md").read_text("utf-8")
HOST, PORTS = "door-3.example.org", (8080, 8443, 8444)
FOREVER = [
    ("Follow the alerts", r"door-3 1 firing CRITICAL threat detected: .*"),
    ("What is guaranteed", r"stored \S+"),
    ("Which events go on", r"CRITICAL threat detected: .* \| now: .*\w.*"),
    ("Pictures", r"\d+ 1280 720 dropped here: \d+"),
    ("Who is there: TLS, certificates, logins 1", "session as control"),
    ("Who is there: TLS, certificates, logins 2", "session as viewer"),
    ("Timeouts and threads", r"alert \S+"),
    ("Only listening", "welcome None"),
    ("Errors", r"does this port want TLS, or are there too many clients\? .* before its welcome"),
]
CONFIG = """
[device]
id = "door-3"
[camera]
fps = 5
[storage]
state_dir = "{folder}/state"
[security]
certificate = "{folder}/fleet/device-door-3.pem"
private_key = "{folder}/fleet/device-door-3.key"
ca = "{folder}/fleet/ca.pem"
login_keys = "{folder}/keys.toml"
[[listeners]]
host = "127.0.0.1"
port = {ports[0]}
video = true
[[listeners]]
host = "127.0.0.1"
port = {ports[1]}
tls = true
auth = "mtls"
[[listeners]]
host = "127.0.0.1"
port = {ports[2]}
tls = true
auth = "hmac"
"""


def programs() -> dict[str, str]:
    """The page's blocks by the heading above them, numbered where there are several."""
    found: dict[str, str] = {}
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        heading, text = section.split("\n", 1)
        blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        found |= {heading if len(blocks) == 1 else f"{heading} {i}": block for i, block in enumerate(blocks, 1)}
    return found


class Device:
    """A running device."""

    def __init__(self, folder: Path, ports: list[int]) -> None:
        self._folder = folder
        self._ports = ports

    def give_files(self, folder: Path) -> None:
        """What its owner has: certificates and a login key."""
        for name in ("fleet", "keys.toml"):
            (folder / name).symlink_to(self._folder / name)

    def command(self, name: str) -> list[str]:
        """The page's program, in this folder, with the device's addresses in place of the page's."""
        program = programs()[name].replace(HOST, "127.0.0.1")
        for shown, port in zip(PORTS, self._ports, strict=True):
            program = program.replace(str(shown), str(port))
        Path("program.py").write_text(program, "utf-8")
        return [sys.executable, "-u", "program.py"]


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    folder = tmp_path_factory.mktemp("a device")
    fleet = Fleet(folder / "fleet", time.time)
    fleet.create()
    fleet.device("door-3", Terms(days=30))
    fleet.backend("main", "control", Terms(days=30))
    append_key("backend-1", "viewer", folder / "keys.toml")
    command = [sys.executable, "-m", "edge", "run", "-c", str(folder / "device.toml")]
    with contextlib.ExitStack() as held:
        ports = [held.enter_context(own_port()) for _ in PORTS]
        (folder / "device.toml").write_text(CONFIG.format(folder=folder, ports=ports))
        process = held.enter_context(subprocess.Popen(command, cwd=ROOT))
        try:
            wait_for_an_alert(ports[0])
            yield Device(folder, ports)
        finally:
            process.terminate()
            process.wait(30)


def wait_for_an_alert(port: int) -> None:
    deadline = time.monotonic() + 60
    with client.Subscriber("127.0.0.1", port, start="oldest") as subscriber:
        while not isinstance(subscriber.take(1.0), client.Alert):
            assert time.monotonic() < deadline


@pytest.fixture(autouse=True)
def _at_home(device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    device.give_files(tmp_path)


def first_line(command: list[str]) -> str:
    """What a program says first; then Ctrl-C ends it, and nothing else goes wrong."""
    with running(command) as process:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], 60)
        line = process.stdout.readline().rstrip("\n") if ready else ""
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert errors.endswith("KeyboardInterrupt\n"), errors
    return line


@pytest.mark.parametrize(("name", "expected"), FOREVER)
def test_a_program_that_follows_says_what_the_page_says(device: Device, name: str, expected: str) -> None:
    assert re.fullmatch(expected, first_line(device.command(name)))
    if name == "Pictures":
        assert Path("newest.jpg").read_bytes().startswith(b"\xff\xd8")


def test_an_alert_that_comes_again_is_stored_once(device: Device) -> None:
    program = device.command("What is guaranteed")
    stored = first_line(program)
    Path("door-3.cursor").unlink(missing_ok=True)  # as a crash before the ack leaves it
    assert first_line(program) == stored.replace("stored", "had it")


def test_commands_are_answered(device: Device) -> None:
    done = subprocess.run(device.command("Commands"), capture_output=True, text=True, timeout=60)
    assert re.fullmatch(r"ok\nbad_args .*\n", done.stdout), done
    assert done.returncode == 0


def test_every_program_of_the_page_is_run() -> None:
    assert set(programs()) == {name for name, _ in FOREVER} | {"Commands"}


def test_the_page_names_every_event_and_code() -> None:
    assert [kind.__name__ for kind in get_args(Event) if f"`{kind.__name__}`" not in PAGE] == ["FromDevice"]
    for name in client.__all__:
        if name not in ("Client", "Cursor", "CursorStore", "Event"):
            assert re.search(rf"\b{name}\b", PAGE), name
    assert [code for code in get_args(Distrust) if not re.search(rf"\b{code}\b", PAGE)] == []


def test_the_client_needs_no_more_than_the_page_says() -> None:
    listed = "import sys, edge.stream.client; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True, check=True).stdout.split()
    assert {"cv2", "cryptography", "rich", "gpiozero", "ai_edge_litert"} & set(loaded) == set()
