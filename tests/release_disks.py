"""A disk that is full when a release is installed. Run with its own mounts: python -m tests.release_disks SCENE DIR."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

from tests.mounts import fill, mount
from tests.release_device import Device
from tests.releases import Made, new_key
from tests.support import ROOT

# The disk is full from the moment on that the requirements are about to be written.
FILLED = """
import os, sys
def hook(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".part/requirements.txt") and not os.path.exists(sys.argv[2]):
        with open(sys.argv[2], "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 12))
            except OSError:
                pass
sys.path.insert(0, sys.argv[1])
from release.cli import main
sys.addaudithook(hook)
sys.exit(main(sys.argv[3:]))
"""
HUNGRY_PIP = """
import sys, pathlib
with pathlib.Path(sys.prefix, "lib", "much").open("wb", buffering=0) as file:
    while True:
        file.write(bytes(1 << 16))
"""


def begin(folder: Path, size: str) -> Device:
    device = Device(folder / "a device", new_key(folder))
    device.home.mkdir(parents=True)
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(device.home))
    return device


def expect_as_before(device: Device, free: int) -> None:
    """Nothing of the install is left, neither seen nor taking room."""
    assert list((device.home / "releases").iterdir()) == []
    assert abs(shutil.disk_usage(device.home).free - free) < 100_000


def unpack(folder: Path) -> None:
    device = begin(folder, "150m")
    path = device.bundle("0.4.0")
    free, filler = shutil.disk_usage(device.home).free, device.home / "filler"
    command = [sys.executable, "-I", "-c", FILLED, str(ROOT / "deploy"), str(filler), *device.command()[3:]]
    done = subprocess.run([*command, "install", str(path)], env=device.environ(), capture_output=True, check=False)
    assert done.returncode == 1, done.stderr
    assert b"No space left on device" in done.stderr, done.stderr
    filler.unlink()
    expect_as_before(device, free)
    assert device.run("install", path).code == 0


def venv(folder: Path) -> None:
    device = begin(folder, "150m")
    pip = BytesIO()
    with zipfile.ZipFile(pip, "w") as wheel:
        wheel.writestr("pip/__main__.py", HUNGRY_PIP)
    free = shutil.disk_usage(device.home).free
    path = folder / "hungry.bundle"
    Made("0.4.0", device.state, files={"pip/pip-1-py3-none-any.whl": pip.getvalue()}).write(path, device.key)
    ended = device.run("install", path)
    assert ended.code == 1, ended.said
    assert "No space left on device" in ended.told["reason"], ended.told
    expect_as_before(device, free)
    assert device.install("0.4.0").code == 0


def too_small(folder: Path) -> None:
    """Told before anything is written, with how much is needed."""
    device = begin(folder, "60m")
    ended = device.install("0.4.0")
    assert ended.code == 1
    assert "MB are needed in" in ended.told["reason"], ended.told
    assert not (device.home / "releases").exists()


def quite_full(folder: Path) -> None:
    """There is no room for the outcome either: still one line that says why, and no traceback."""
    device = begin(folder, "1m")
    fill(device.home)
    ended = device.install("0.4.0")
    assert ended.code == 1
    assert "MB are needed in" in ended.told["reason"], ended.told
    assert "outcome.json cannot be written: [Errno 28] No space left on device" in ended.said


def switch(folder: Path) -> None:
    """A disk that fills up is no reason to lose the release that runs."""
    device = begin(folder, "150m")
    device.hasten()
    assert device.install("0.3.0").code == 0
    device.grow("0.4.0", like="0.3.0")
    assert device.activate("0.3.0").code == 0
    before = device.seen()
    settings = device.settings("new\n")
    filler = fill(device.home)
    ended = device.run("activate", "0.4.0", "--config", settings, "--settle-s", "0")
    assert ended.code == 1, ended.said
    assert device.seen() == before
    filler.unlink()
    assert device.run("activate", "0.4.0", "--config", settings, "--settle-s", "0").code == 0
    assert device.running() == "0.4.0"


def settle(folder: Path) -> None:
    """The release that fills the disk is the one to be left."""
    device = begin(folder, "150m")
    device.hasten()
    assert device.install("0.3.0").code == 0
    device.grow("0.4.0", like="0.3.0")
    assert device.activate("0.3.0").code == 0
    before = device.seen()
    pending = {"action": "activate", "release": "0.4.0", "back_to": "0.3.0", "previous": None, "began": 0}
    (device.home / "pending.json").write_text(json.dumps({**pending, "had_settings": False, "outbox_copy": None}))
    (device.home / "current").unlink()
    (device.home / "current").symlink_to("releases/0.4.0")
    (device.home / ".lock").unlink()
    fill(device.home)
    ended = device.run("settle")
    assert ended.code == 0, ended.said
    assert device.seen() == before


SCENES = {
    "unpack": unpack,
    "venv": venv,
    "too_small": too_small,
    "quite_full": quite_full,
    "switch": switch,
    "settle": settle,
}

if __name__ == "__main__":
    os.umask(0o022)
    SCENES[sys.argv[1]](Path(sys.argv[2]))
