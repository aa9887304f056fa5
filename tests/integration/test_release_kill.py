"""The installer killed, as by a power cut, before each single thing that it does to the disk or has done by others."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

pytest.importorskip("deploy.release", reason="deploy/ is not beside these tests")

from tests.release_device import Device
from tests.releases import Made, new_key
from tests.support import ROOT

pytestmark = pytest.mark.timeout(400)  # each test runs the installer a hundred times

# Python tells a hook of all that changes a disk or starts a program, before it is done.
KILLER = """
import os, sys
count, tool = int(sys.argv[1]), sys.argv[2]
TOLD = {"os.rename", "os.remove", "os.rmdir", "os.symlink", "subprocess.Popen"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
def deed(event, arguments):
    if event == "open":
        return not isinstance(arguments[0], int) and arguments[2] & WRITES
    if event == "os.remove" and arguments[1] == -1 and not os.path.lexists(arguments[0]):
        return False  # there is nothing to remove
    return event in TOLD
def hook(event, arguments):
    global count
    if deed(event, arguments):
        count -= 1
        if count == 0:
            os.kill(os.getpid(), 9)
sys.path.insert(0, tool)
from release.cli import main
sys.dont_write_bytecode = True
sys.addaudithook(hook)
sys.exit(main(sys.argv[3:]))
"""
PIP = """
import sys, zipfile, pathlib
folder = pathlib.Path(sys.argv[sys.argv.index("--find-links") + 1])
with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
    name = next(name for name in wheel.namelist() if name.endswith("/scripts/preact-edge"))
    target = pathlib.Path(sys.prefix, "bin", "preact-edge")
    target.write_bytes(wheel.read(name))
    target.chmod(0o755)
"""


def killed(device: Device, at: int, *arguments: str | Path) -> bool:
    """Runs an action that is killed before its ``at``-th deed; whether it got so far."""
    command = [sys.executable, "-I", "-c", KILLER, str(at), str(ROOT / "deploy"), "--root", str(device.root)]
    command += map(str, arguments)
    done = subprocess.run(command, env=device.environ(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 3, -9), done.stderr
    return done.returncode == -9


def quick_pip() -> bytes:
    """What installs our one wheel in no time."""
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as wheel:
        wheel.writestr("pip/__main__.py", PIP)
    return made.getvalue()


def bundle(device: Device, release: str) -> Path:
    path = device.root.parent / f"{release}.bundle"
    Made(release, device.state, files={"pip/pip-1-py3-none-any.whl": quick_pip()}).write(path, device.key)
    return path


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """0.4.0 runs, 0.3.0 before it, 0.5.0 and the broken 0.6.0 are installed."""
    device = Device(tmp_path / "a device", new_key(tmp_path))
    assert device.run("install", bundle(device, "0.3.0")).code == 0
    for release in ("0.4.0", "0.5.0"):
        device.grow(release, like="0.3.0")
    device.grow("0.6.0", like="0.3.0", words="starts-not")
    for release in ("0.3.0", "0.4.0"):
        assert device.activate(release).code == 0
    return device


def switch(device: Device, release: str, words: str) -> tuple[str, ...]:
    return "activate", release, "--config", str(device.settings(words)), "--settle-s", "0", "--health-s", "2"


def test_a_switch_that_is_killed_at_any_point_is_undone_or_done(device: Device) -> None:
    """After `settle` all is as before, or, from the moment of its confirmation on, all is new; again, and it succeeds.

    The new release has settings of its own already, which come back, too.
    """
    (device.home / "releases/0.5.0/config/preact-edge.toml").write_text("of an earlier try\n")
    before, kept = device.seen(), device.keep()
    confirmed, at = False, 0
    while killed(device, at := at + 1, *switch(device, "0.5.0", "new settings\n")):
        assert device.run("settle").code == 0
        seen = device.seen()
        confirmed = confirmed or seen["current"] == "0.5.0"
        if confirmed:
            assert (seen["current"], seen["running"], seen["previous"]) == ("0.5.0", "0.5.0", "releases/0.4.0"), at
            assert seen["opt/preact-edge/releases/0.5.0/config/preact-edge.toml"] == "new settings\n", at
        else:
            assert {name: text for name, text in seen.items() if "candidate" not in name} == before, at
        assert seen["pending"] == "no", at
        if at % 8 == 0:
            assert device.run(*switch(device, "0.5.0", "new settings\n")).code == 0, at
            assert device.running() == "0.5.0"
        device.restore(kept)
    assert confirmed
    assert at > 30


def test_going_back_that_is_killed_at_any_point_is_gone_on_with(device: Device) -> None:
    """Of a switch to a broken release, and of the undoing itself: whatever was done, `settle` ends it."""
    before, kept = device.seen(), device.keep()
    at = 25  # what comes before is the same for a good release
    while killed(device, at := at + 1, *switch(device, "0.6.0", "new settings\n")):
        assert device.run("settle").code == 0
        assert device.seen() == before, at
        device.restore(kept)
    assert at > 35


def test_settle_that_is_killed_at_any_point_is_gone_on_with(device: Device) -> None:
    before = device.seen()
    at = 15
    while device.current() != "0.5.0":
        device.run("settle")
        assert killed(device, at := at + 1, *switch(device, "0.5.0", "new settings\n"))
    kept = device.keep()
    for deed in range(1, 100):
        if not killed(device, deed, "settle"):
            break
        assert device.run("settle").code == 0
        assert device.seen() == before, deed
        device.restore(kept)
    assert deed > 10
    assert device.seen() == before


def test_new_settings_that_are_killed_at_any_point_are_in_force_or_not_there(device: Device) -> None:
    before, kept = device.seen(), device.keep()
    name, at, confirmed = "opt/preact-edge/releases/0.4.0/config/preact-edge.toml", 15, False
    while killed(device, at := at + 1, *switch(device, "0.4.0", "new settings\n")):
        assert device.run("settle").code == 0
        seen = {name: text for name, text in device.seen().items() if "candidate" not in name}
        confirmed = confirmed or seen[name] == "new settings\n"
        assert seen == ({**before, name: "new settings\n"} if confirmed else before), at
        device.restore(kept)
    assert confirmed


def test_an_install_that_is_killed_at_any_point_is_never_taken_for_whole(device: Device) -> None:
    path = bundle(device, "0.7.0")
    before, kept = device.seen(), device.keep()
    at, whole = 0, False
    while killed(device, at := at + 2, "install", path):
        assert device.seen() == before, at
        listed = (device.home / "releases/0.7.0/installed.json").exists()
        whole = whole or listed
        assert listed is whole, at
        if at % 4 == 0 or whole:
            ended = device.run("install", path)
            assert (ended.code, ended.told["changed"]) == (0, not whole), at
            assert not list((device.home / "releases").glob(".*")), at
            assert device.activate("0.7.0").code == 0, at
        device.restore(kept)
    assert at > 20


def test_a_venv_that_is_made_anew_and_killed_at_any_point_keeps_the_settings(device: Device) -> None:
    """As after the system's Python was away: the release that is current is installed once more."""
    path = bundle(device, "0.3.0")
    device.run("rollback", "--settle-s", "0")
    (device.home / "releases/0.3.0/venv/bin/python").unlink()
    kept, at = device.keep(), 0
    while killed(device, at := at + 4, "install", path):
        ended = device.run("install", path)
        assert ended.code == 0, ended.said
        assert (device.home / "releases/0.3.0/config/preact-edge.toml").read_text() == "good\n", at
        assert device.run("activate", "0.3.0", "--settle-s", "0").code == 0
        device.restore(kept)
    assert at > 20
