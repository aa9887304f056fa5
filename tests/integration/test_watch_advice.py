"""`preact-edge watch` where it cannot connect, or may not: what happened, and the option that helps."""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console

from edge.commands.watchadvice import ADVICE, advised
from edge.commands.watchview import Screen
from edge.security.keys import append_key
from edge.stream.client import Connected, HelloOk, Lost, NoWelcome, Reset, Welcome
from edge.stream.client.refusals import Distrust
from tests.certificates import DEVICE_ID, FleetFiles, make_fleet
from tests.scripted import Caller, scripted
from tests.streaming import serving

WATCH = [sys.executable, "-m", "edge", "watch"]


def watched(address: tuple[str, int], *options: str) -> subprocess.CompletedProcess[str]:
    command = [*WATCH, f"{address[0]}:{address[1]}", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> FleetFiles:
    return make_fleet(tmp_path_factory.mktemp("a fleet"))


def key_file(folder: Path) -> Path:
    append_key("desk", "viewer", folder / "keys.toml")
    return folder / "keys.toml"


@pytest.mark.parametrize("options", [["--json"], []])
def test_tls_to_a_plain_port_is_said_once_with_the_options(fleet: FleetFiles, options: list[str]) -> None:
    with serving() as served:
        done = watched(("127.0.0.1", served.port), "--ca", str(fleet.ca), "--device", DEVICE_ID, *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"preact-edge: no TLS with 127.0.0.1:{served.port}: what answers there speaks none; "
        "take the port that does; without --ca and --pin nothing is protected\n"
    )


def test_a_port_that_says_nothing_may_speak_tls() -> None:
    with scripted(lambda _: None) as peer:
        done = watched(peer.address, "--timeout", "0.5", "--json")
    assert done.returncode == 1
    first = done.stderr.splitlines()[0]
    assert "closed the connection before its welcome; it speaks TLS (then give --ca FILE or --pin SHA256)" in first


def test_a_listener_with_a_login_names_the_option(tmp_path: Path) -> None:
    def device(caller: Caller) -> None:
        caller.welcome(auth="hmac", nonce="ab" * 32)
        caller.wait_for_end()

    with scripted(device) as peer:
        done = watched(peer.address, "--json")
        assert done.stderr == "preact-edge: the device wants a login; give --login KEYFILE:KEY_ID\n"
        done = watched(peer.address, "--json", "--login", f"{key_file(tmp_path)}:desk")
        assert done.stderr.endswith("give --ca FILE or --pin SHA256 where the port speaks TLS, else --plain-login\n")
        assert len(done.stderr.splitlines()) == 1


def test_a_login_that_is_not_asked_for_and_a_certificate_that_is(tmp_path: Path, fleet: FleetFiles) -> None:
    with serving() as served:
        login = ["--login", f"{key_file(tmp_path)}:desk", "--plain-login", "--json"]
        done = watched(("127.0.0.1", served.port), *login)
    assert done.stderr.endswith("; leave out --login, or take the port that does\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(fleet.device.certificate, fleet.device.private_key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(fleet.ca)
    with scripted(lambda caller: caller.wait_for_end(), tls=context) as peer:
        done = watched(peer.address, "--json", "--ca", str(fleet.ca), "--device", DEVICE_ID)
        assert done.stderr.endswith("; give --cert FILE and --key FILE, made with `preact-edge certs backend`\n")
        done = watched(peer.address, "--json", "--ca", str(fleet.ca), "--device", "edge-02")
        assert done.stderr.endswith(
            f"is of {DEVICE_ID}, not of the device edge-02; give that as --device, or connect to the other one\n"
        )
        done = watched(peer.address, "--json", "--ca", str(fleet.ca))
        assert "Without --device ID the certificate must name the host" in done.stderr
        done = watched(peer.address, "--json", "--pin", "ab" * 32)
        assert "give the new one's --pin" in done.stderr


def test_every_reason_for_distrust_has_its_advice() -> None:
    assert set(ADVICE) == set(get_args(Distrust))


def test_a_key_that_everybody_may_open_is_refused(tmp_path: Path, fleet: FleetFiles) -> None:
    own = tmp_path / "backend.key"
    own.write_bytes(Path(fleet.viewer.private_key).read_bytes())
    own.chmod(0o644)
    trust = ["--ca", str(fleet.ca), "--device", DEVICE_ID, "--cert", fleet.viewer.certificate]
    done = watched(("127.0.0.1", 1), *trust, "--key", str(own))
    assert done.returncode == 2
    assert done.stderr.endswith(f"every user of this machine may open it; run: chmod o= '{own}'\n")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--pin", "ab" * 32, "--ca", "x"], "--pin and --ca: give one of them"),
        (["--pin", "ab"], "--pin: the pin is no SHA-256 of a certificate: 64 hexadecimal digits are needed"),
        (["--ca", "x", "--key", "y"], "--key: give its certificate too, with --cert FILE"),
        (["--pin", "ab" * 32, "--device", "y"], "--device is for --ca: a --pin names one certificate already"),
        (["--login", "nowhere:k"], "--login: login keys: nowhere: cannot be read: No such file or directory"),
    ],
)
def test_options_that_do_not_go_together_are_named(options: list[str], reason: str) -> None:
    done = watched(("127.0.0.1", 1), *options)
    assert (done.returncode, done.stderr) == (2, f"preact-edge: {reason}\n")


def panel(screen: Screen, console: Console) -> list[str]:
    with console.capture() as captured:
        console.print(screen.picture())
    return captured.get().splitlines()


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (60, 15)])
def test_the_panel_says_in_full_why_there_is_no_connection_and_nothing_jumps(columns: int, rows: int) -> None:
    console = Console(width=columns, height=rows, force_terminal=False)
    screen = Screen("door-3", console=console)
    shown = [panel(screen, console)]
    for event in (
        Connected("door-3", 8080),
        advised(Lost("closed", 2.9, NoWelcome("the device closed the connection before its welcome")), encrypted=False),
        Connected("door-3", 8080),
        Welcome(device_id="edge-01", camera_id="main"),
        HelloOk(role="viewer", subscribed=("health",)),
        Lost("the device said goodbye: shutdown", 2.9),
        Connected("door-3", 8080),
        Welcome(device_id="edge-02", camera_id="main"),
        Reset("other"),
    ):
        screen.state.take(event, time.monotonic(), time.time())
        shown.append(panel(screen, console))
    assert {len(lines) for lines in shown} == {len(shown[0])}
    assert len(shown[0]) < rows
    words = [" ".join(" ".join(line.strip("│ ") for line in lines).split()) for lines in shown]
    assert "connecting ..." in words[0]
    assert "connected 0 s, no welcome yet" in words[1]
    why = (
        "closed the connection before its welcome; it speaks TLS (then give --ca FILE or --pin SHA256), or has too many"
    )
    assert "○ not connected 0 s; trying again in 3 s" in words[2]
    assert why in words[2]
    assert "no welcome yet" in words[3]
    assert why in words[3]
    assert "● connected" in words[5]
    assert "not connected" in words[6]
    assert "shutdown" in words[6]
    assert "device edge-01, camera main" in words[6]
    assert "another device answers: edge-02, not edge-01" in words[9]
