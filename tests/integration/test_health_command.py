"""`preact-edge health` as a process of its own, asking whole devices and devices made of a script."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge import __version__
from edge.app import App
from edge.health.board import COMPONENTS
from edge.security.issue import Terms, self_signed
from edge.security.keys import append_key
from tests.certificates import DEVICE_ID, FleetFiles, make_fleet
from tests.integration.test_commands_device import device
from tests.scripted import Caller, scripted
from tests.streaming import own_port, serving
from tests.support import wait_until

HEALTH = [sys.executable, "-m", "edge", "health"]
MTLS = "host = '0.0.0.0'\ntls = true\nauth = 'mtls'\n"
CREDENTIALS = "ca = '${CREDENTIALS_DIRECTORY}/ca.pem'\ncertificate = '${CREDENTIALS_DIRECTORY}/none.pem'\n"


def health(*options: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command; with a wait that a busy computer does not use up, unless the test names one."""
    options = options if "--wait" in options else (*options, "--wait", "60")
    clean = {name: value for name, value in os.environ.items() if name != "CREDENTIALS_DIRECTORY"}
    return subprocess.run([*HEALTH, *options], capture_output=True, text=True, timeout=90, env=clean | environ)


def answer(done: subprocess.CompletedProcess[str], code: int) -> dict[str, Any]:
    """What --json printed, and nothing else was."""
    assert (done.returncode, done.stderr) == (code, ""), done
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["ok"] is (code == 0)
    return told


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> FleetFiles:
    return make_fleet(tmp_path_factory.mktemp("a fleet"))


@pytest.fixture(scope="module")
def app(fleet: FleetFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A whole device that sees, behind certificates."""
    with device(fleet, tmp_path_factory.mktemp("a state")) as running:
        wait_until(lambda: running.tally.figures().frames > 0, 30)
        yield running


def at(app: App) -> str:
    return f"127.0.0.1:{app.server.addresses[0][1]}"


def shown(fleet: FleetFiles, name: str) -> list[str]:
    """The options with this client's certificate."""
    found = fleet.security(f"backend-{name}")
    return ["--cert", found.certificate, "--key", found.private_key]


def settings(folder: Path, port: int, listener: str, security: str = "", device_id: str = DEVICE_ID) -> list[str]:
    """The options with the settings that the device runs with."""
    file = folder / "the edge.toml"
    state = f"[storage]\nstate_dir = '{folder}'\n"
    text = f"[device]\nid = '{device_id}'\n{state}[security]\n{security}[[listeners]]\nport = {port}\n{listener}"
    file.write_text(text)
    return ["-c", str(file)]


def port_of(app: App) -> int:
    return int(app.server.addresses[0][1])


def test_a_viewer_is_told_that_it_sees(app: App, fleet: FleetFiles, tmp_path: Path) -> None:
    """As the installer asks: by the device's own settings, which name the service's credentials."""
    own = settings(tmp_path, port_of(app), MTLS, CREDENTIALS)
    done = health(*own, *shown(fleet, "viewer"), "--json", CREDENTIALS_DIRECTORY=str(fleet.ca.parent))
    told = answer(done, 0)
    assert (told["status"], told["reason"], told["device_id"], told["role"]) == ("ok", "", DEVICE_ID, "viewer")
    assert (told["camera_id"], told["address"]) == ("main", at(app))
    assert told["fps"] > 0
    assert set(told["components"]) == set(COMPONENTS)
    assert set(told["outbox"]) == {"stream", "oldest_seq", "next_seq"}
    assert told["boot_id"]
    assert "version" not in told, "that is for who may command"


def test_who_may_command_is_told_more(app: App, fleet: FleetFiles) -> None:
    trust = ["--ca", str(fleet.ca), "--device", DEVICE_ID]
    told = answer(health(at(app), *trust, *shown(fleet, "control"), "--json"), 0)
    assert (told["version"], told["clients"], told["role"]) == (__version__, 1, "control")
    assert {"waiting", "given_up", "unread", "consumers", "next_seq"} <= set(told["outbox"])


def test_one_line_for_people(app: App, fleet: FleetFiles) -> None:
    done = health(at(app), "--ca", str(fleet.ca), "--device", DEVICE_ID, *shown(fleet, "viewer"))
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    assert done.stdout.startswith(f"ok       {DEVICE_ID} ({at(app)}): sees, ")


@pytest.mark.parametrize("who", ["stranger", "other device", "no role", "no certificate", "no TLS"])
def test_who_is_not_to_be_trusted_is_told_at_once(app: App, fleet: FleetFiles, tmp_path: Path, who: str) -> None:
    """Waiting would change nothing, and no wait is as long as this one."""
    trust = ["--ca", str(fleet.ca), "--device", DEVICE_ID, *shown(fleet, "viewer")]
    words = "the certificate is of edge-01, not of the device edge-02"
    if who == "stranger":
        trust[1], words = str(make_fleet(tmp_path / "others").ca), "is --ca the file of its authority?"
    elif who == "other device":
        trust[3] = "edge-02"
    elif who == "no role":
        nobody = fleet.with_unit("nobody", "guest")
        trust[4:] = ["--cert", nobody.certificate, "--key", nobody.private_key]
        words = "(auth_failed)"
    elif who == "no certificate":
        trust[4:], words = [], "give --cert FILE and --key FILE"
    address = at(app)
    with serving() if who == "no TLS" else contextlib.nullcontext() as plain:
        if plain is not None:
            address, words = f"127.0.0.1:{plain.port}", "take the port that does"
        told = answer(health(address, *trust, "--json", "--wait", "85"), 1)
    assert told["status"] == "unreachable"
    assert words in told["reason"]


def test_it_waits_for_a_device_that_starts(fleet: FleetFiles, tmp_path: Path) -> None:
    with own_port() as port:
        own = settings(tmp_path, port, "host = '127.0.0.1'\n")
        with subprocess.Popen(
            [*HEALTH, *own, "--wait", "80"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as asking:
            assert asking.stderr is not None
            assert asking.stderr.readline().endswith(": Connection refused\n")
            plain = ["listeners.0.auth=none", "listeners.0.tls=false", f"listeners.0.port={port}"]
            with device(fleet, tmp_path / "state", *plain):
                said, _ = asking.communicate(timeout=90)
    assert asking.returncode == 0
    assert said.startswith(f"ok       {DEVICE_ID} (127.0.0.1:{port}): sees, ")


def test_nobody_there_until_the_time_is_over() -> None:
    with own_port() as port:
        told = answer(health(f"127.0.0.1:{port}", "--wait", "1.5", "--json"), 1)
    assert (told["status"], "Connection refused" in told["reason"]) == ("unreachable", True)


def test_a_device_without_a_camera_is_blind(fleet: FleetFiles, tmp_path: Path) -> None:
    with device(fleet, tmp_path / "state", "camera.source=/dev/video87") as app:
        trust = ["--ca", str(fleet.ca), "--device", DEVICE_ID, *shown(fleet, "viewer")]
        told = answer(health(at(app), *trust, "--wait", "6", "--json"), 1)
        done = health(at(app), *trust, "--wait", "6")
    assert told["status"] == "blind"
    assert told["reason"].startswith("camera lost: /dev/video87: no such camera")
    assert told["components"]["camera"]["state"] == "failed"
    assert "fps" not in told
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith(f"problem  {DEVICE_ID} ({at(app)}): blind: camera lost: /dev/video87")


def look(number: int | None, status: str = "ok", **more: object) -> dict[str, Any]:
    told = {"type": "detection_result", "timestamp": time.time(), "status": status, "camera_id": "main"}
    return told | ({} if number is None else {"frame_id": number}) | more


@pytest.mark.parametrize("framing", ["length", "newline"])
def test_a_device_that_only_talks(framing: Any) -> None:
    """The guide's own listener: it knows no hello, and is not asked for anything."""

    def talk(caller: Caller) -> None:
        caller.welcome(features=[])
        caller.socket.settimeout(0.05)
        for number in range(1, 400):
            caller.send(look(number, "degraded", reason="the CPU instead\x1b[31m"))
            with contextlib.suppress(TimeoutError):
                assert not caller.socket.recv(1), "a plain client says nothing"
                return

    with scripted(talk, framing=framing) as peer:
        told = answer(health(f"127.0.0.1:{peer.address[1]}", "--json"), 0)
        done = health(f"127.0.0.1:{peer.address[1]}")
    assert (told["status"], told["device_id"]) == ("degraded", "edge-01")
    assert told["fps"] > 0
    assert not {"components", "role", "version"} & set(told)
    assert done.stdout.rstrip().endswith(r"frames a second; degraded: the CPU instead\x1b[31m")


def test_one_frame_and_then_none_is_not_enough() -> None:
    def talk(caller: Caller) -> None:
        caller.accept(role="viewer")
        caller.send(look(1))
        caller.wait_for_end()

    with scripted(talk) as peer:
        told = answer(health(f"127.0.0.1:{peer.address[1]}", "--wait", "6", "--json"), 1)
    assert (told["status"], told["reason"]) == ("blind", "one frame was looked at, and no other came")


def test_a_device_that_hangs_after_its_first_frames_does_not_see() -> None:
    def talk(caller: Caller) -> None:
        caller.accept(role="viewer")
        caller.send(look(1), look(2))
        caller.wait_for_end()

    with scripted(talk) as peer:
        told = answer(health(f"127.0.0.1:{peer.address[1]}", "--wait", "6", "--json"), 1)
    assert told["status"] == "blind"
    assert told["reason"].startswith("frames were looked at, and then none for ")
    assert "fps" not in told


def test_a_device_that_sees_and_keeps_no_alerts_is_degraded() -> None:
    """The installer goes back from a release that does worse than the one before: it is to hear of this."""

    def talk(caller: Caller) -> None:
        caller.accept(role="viewer")
        components = {name: {"state": "ok", "reason": ""} for name in COMPONENTS}
        components["outbox"] = {"state": "failed", "reason": "the disk is full"}
        components["clock"] = {"state": "degraded", "reason": "it follows no time server"}
        caller.send({"type": "health", "timestamp": time.time(), "components": components})
        caller.socket.settimeout(0.05)
        for number in range(1, 400):
            caller.send(look(number))
            with contextlib.suppress(TimeoutError):
                caller.hear()

    with scripted(talk) as peer:
        told = answer(health(f"127.0.0.1:{peer.address[1]}", "--json"), 0)
        done = health(f"127.0.0.1:{peer.address[1]}")
    assert (told["status"], told["reason"]) == ("degraded", "outbox failed: the disk is full")
    words = done.stdout.rstrip().split("; ")
    assert words[1:] == ["degraded: outbox failed: the disk is full", "clock degraded: it follows no time server"]


def test_what_it_saw_before_it_was_blind_does_not_count() -> None:
    def talk(caller: Caller) -> None:
        caller.accept(role="viewer")
        caller.send(look(1), look(2), look(None, "blind", reason="camera lost: it is covered"), look(3))
        caller.send(look(None, "blind", reason="camera lost: once more"))
        caller.wait_for_end()

    with scripted(talk) as peer:
        told = answer(health(f"127.0.0.1:{peer.address[1]}", "--wait", "6", "--json"), 1)
    assert (told["status"], told["reason"]) == ("blind", "camera lost: once more")


def test_a_device_that_restarts_is_asked_again() -> None:
    def dies(caller: Caller) -> None:
        caller.accept()
        caller.send(look(1), look(2))
        caller.reset()

    def lives(caller: Caller) -> None:
        caller.accept(role="viewer")
        caller.socket.settimeout(0.05)
        for number in range(1, 400):
            caller.send(look(number))
            with contextlib.suppress(TimeoutError):
                caller.hear()

    with scripted(dies, lives) as peer:
        told = answer(health(f"127.0.0.1:{peer.address[1]}", "--json"), 0)
        assert peer.connections == 2
    assert told["status"] == "ok"


def test_on_its_own_port_it_must_be_the_device_of_the_settings(tmp_path: Path) -> None:
    with serving() as served:
        own = settings(tmp_path, served.port, "host = '127.0.0.1'\n", device_id="edge-77")
        told = answer(health(*own, "--json"), 1)
    assert told["reason"] == f"127.0.0.1:{served.port} is the device edge-01, not edge-77"


def test_a_certificate_that_signs_itself_is_known_from_its_file(fleet: FleetFiles, tmp_path: Path) -> None:
    key, certificate = self_signed(DEVICE_ID, tmp_path, Terms(days=30))
    files = [f"security.certificate={certificate}", f"security.private_key={key}", "security.ca="]
    append_key("desk", "viewer", tmp_path / "keys.toml")
    keys = f"security.login_keys={tmp_path / 'keys.toml'}"
    with device(fleet, tmp_path / "state", "listeners.0.auth=hmac", keys, *files) as app:
        security = f"certificate = '{certificate}'\n"
        own = settings(tmp_path, port_of(app), "host = '127.0.0.1'\ntls = true\nauth = 'hmac'\n", security)
        told = answer(health(*own, "--login", f"{tmp_path / 'keys.toml'}:desk", "--json"), 0)
    assert told["role"] == "viewer"
    (secret,) = re.findall(r"[0-9a-f]{32,}", (tmp_path / "keys.toml").read_text())
    assert secret not in json.dumps(told)


def test_what_has_to_be_given(fleet: FleetFiles, tmp_path: Path) -> None:
    def refusal(*options: str, **environ: str) -> str:
        done = health(*options, **environ)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        return done.stderr

    mutual = settings(tmp_path, 8443, MTLS, CREDENTIALS)
    assert "every listener of this device has a login: give --cert FILE and --key FILE of a viewer" in refusal(*mutual)
    missing = "there is no variable CREDENTIALS_DIRECTORY here; set it, or write the path in full"
    assert missing in refusal(*mutual, *shown(fleet, "viewer"))
    assert "none here" in refusal(*mutual, *shown(fleet, "viewer"), CREDENTIALS_DIRECTORY="/none here")
    assert "HOST is a device elsewhere" in refusal("localhost", *mutual)
    assert "give HOST:PORT, as its log says" in refusal(*settings(tmp_path, 0, ""))
    assert "expected a number of seconds above 0" in health("localhost", "--wait", "0").stderr
