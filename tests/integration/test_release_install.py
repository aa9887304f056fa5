"""Installing a bundle: what is there afterwards, a second time, and what is noticed of a system that changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("deploy.release", reason="deploy/ is not beside these tests")

from tests.release_device import GOOD, Device
from tests.releases import PYTHON, Made, new_key
from tests.support import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Device, Path]:
    folder = tmp_path_factory.mktemp("install")
    device = Device(folder / "a device", new_key(folder))
    assert device.install("0.4.0").code == 0
    assert device.activate("0.4.0").code == 0
    return device, device.keep()


@pytest.fixture
def device(installed: tuple[Device, Path]) -> Iterator[Device]:
    device, kept = installed
    yield device
    device.restore(kept)


def test_a_release_lies_whole_in_its_own_folder(device: Device) -> None:
    before = device.seen()
    ended = device.install("0.5.0+lab.1")
    assert ended.code == 0, ended.said
    assert [step["name"] for step in ended.told["steps"]] == ["verify", "preflight", "unpack", "venv"]
    folder = device.home / "releases/0.5.0+lab.1"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("config", "installed.json", "manifest.json", "manifest.json.sig", "models", "requirements.txt", "systemd"),
        "venv",
    ]
    assert "0.5.0" in subprocess.check_output([folder / "venv/bin/preact-edge", "version"], text=True)
    assert (folder / "models/tiny/model.tflite").read_bytes() == b"a model"
    assert device.seen() == before
    again = device.install("0.5.0+lab.1")
    assert (again.code, again.told["changed"]) == (0, False)


def test_the_same_name_for_another_build_is_refused_while_it_is_in_use(device: Device) -> None:
    before = device.seen()
    ended = device.install("0.4.0", commit="another")
    assert ended.code == 1
    assert "0.4.0 is installed from another bundle and is current" in ended.told["reason"]
    assert device.seen() == before


def test_another_build_of_a_release_that_is_not_in_use_replaces_it(device: Device) -> None:
    device.hasten()
    assert device.install("0.5.0").code == 0
    ended = device.install("0.5.0", commit="another")
    assert (ended.code, ended.told["changed"]) == (0, True)
    manifest = json.loads((device.home / "releases/0.5.0/manifest.json").read_text())
    assert manifest["commit"] == "another"


def test_an_older_release_needs_a_word(device: Device) -> None:
    device.hasten()
    for release, date in (("0.3.9", "2026-11-24T00:00:00Z"), ("0.4.0+b", "2026-01-01T00:00:00Z")):
        ended = device.install(release, date=date)
        assert ended.code == 1
        assert "is older than 0.4.0" in ended.told["reason"]
    ended = device.run("install", device.bundle("0.3.9"), "--allow-downgrade")
    assert ended.code == 0, ended.said


def test_what_was_cut_off_takes_no_room_for_ever(device: Device) -> None:
    """Of an install or a removal; never what is current, which is told instead."""
    (device.home / "releases/0.3.9/venv/bin").mkdir(parents=True)
    record = device.home / "releases/0.4.0/installed.json"
    text = record.read_text()
    record.unlink()
    device.hasten()
    ended = device.install("0.5.0")
    assert ended.code == 0, ended.said
    assert sorted(path.name for path in (device.home / "releases").iterdir()) == ["0.4.0", "0.5.0"]
    record.write_text(text)


def test_packages_that_are_missing_are_installed_first(device: Device) -> None:
    device.hasten()
    (device.state / "package-python3-there").touch()
    files = {"debs/python3-foo_1_all.deb": b"a deb", "debs/python3-there_1_all.deb": b"a deb"}
    names = {"python3-foo": "debs/python3-foo_1_all.deb", "python3-there": "debs/python3-there_1_all.deb"}
    ended = device.install("0.5.0", debs=names, files=files)
    assert ended.code == 0, ended.said
    (call,) = [call for call in device.calls() if call.startswith("dpkg ")]
    assert call.startswith("dpkg --install ")
    assert call.endswith("/python3-foo_1_all.deb")
    assert not (device.home / "releases/0.5.0/debs").exists()


def test_a_package_that_dpkg_does_not_take_stops_the_install(device: Device) -> None:
    device.hasten()
    names, files = {"python3-foo": "debs/python3-foo_1_all.deb"}, {"debs/python3-foo_1_all.deb": b"noise"}
    ended = device.install("0.5.0", debs=names, files=files)
    assert ended.code == 1
    assert "dpkg could not install python3-foo (dpkg: error: no package)" in ended.told["reason"]
    assert not (device.home / "releases/0.5.0").exists()


def test_a_wheel_that_is_not_what_the_requirements_say(device: Device) -> None:
    """A builder's mistake, since all files are signed: pip refuses, and nothing is left."""
    requirements = f"preact-edge==0.5.0 --hash=sha256:{'0' * 64}\n".encode()
    ended = device.install("0.5.0", files={"requirements.txt": requirements})
    assert ended.code == 1
    assert "pip could not install the wheels" in ended.told["reason"]
    assert sorted(path.name for path in (device.home / "releases").iterdir()) == ["0.4.0"]


def test_a_program_that_is_not_what_its_manifest_says(device: Device) -> None:
    device.hasten()
    made = Made("0.5.0", device.state)
    made.fields["outbox_format"] = 2
    made.write(device.root.parent / "b", device.key)
    ended = device.run("install", device.root.parent / "b")
    assert ended.code == 1
    assert "the program's outbox_format is 1, its manifest says 2" in ended.told["reason"]
    assert not (device.home / "releases/0.5.0").exists()


def test_a_program_that_is_gone_is_told(device: Device) -> None:
    device.grow("0.5.0", like="0.4.0")
    (device.home / "releases/0.5.0/venv/bin/preact-edge").unlink()
    status = device.run("status").told
    problems = {one["release"]: one["problem"] for one in status["installed"]}
    assert problems == {"0.5.0": "its program is gone", "0.4.0": ""}


def test_a_python_that_is_gone_is_told_and_installing_once_more_mends_it(device: Device) -> None:
    python = device.home / "releases/0.4.0/venv/bin/python"
    target = os.readlink(python)
    python.unlink()
    doctor = device.run("doctor")
    assert doctor.code == 1
    (problem,) = doctor.told["problems"]  # not also that nobody can read the certificates
    assert problem["text"].startswith(f"0.4.0: its Python {PYTHON} is gone from this system: install")
    assert json.loads((device.root / "run/preact-edge/doctor.json").read_text()) == doctor.told
    assert "its Python" in device.activate("0.4.0", "x\n").told["reason"]
    ended = device.install("0.4.0")
    assert (ended.code, ended.told["changed"]) == (0, True), ended.said
    assert os.readlink(python) == target
    assert (device.home / "releases/0.4.0/config/preact-edge.toml").read_text() == GOOD
    assert "release" not in [problem["name"] for problem in device.run("doctor").told["problems"]]


def test_a_python_of_another_version_is_told(device: Device) -> None:
    python = device.home / "releases/0.4.0/venv/bin/python"
    python.unlink()
    python.write_text("#!/bin/sh\necho 3.99 64\n")
    python.chmod(0o755)
    (problem,) = device.run("doctor").told["problems"]
    assert f"it was built for Python {PYTHON}, this system has 3.99" in problem["text"]


def test_status_in_lines_and_as_json(device: Device) -> None:
    done = subprocess.run(device.command("status"), env=device.environ(), capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        *("current", "previous", "service", "pending", "last", "installed")
    ]
    assert "current    0.4.0\nprevious   -\nservice    active (running)\npending    -\n" in done.stdout
    told = device.run("status").told
    assert (told["current"], told["previous"], told["pending"]) == ("0.4.0", None, None)
    assert told["outcome"]["action"] == "activate"
    assert told["installed"][0]["selftest"]["fps"] == {"golden": 20.5}


@pytest.mark.parametrize("action", ["status", "doctor"])
def test_a_system_without_systemd_is_told_in_a_line(device: Device, tmp_path: Path, action: str) -> None:
    environ = {**device.environ(), "PATH": str(tmp_path)}
    done = subprocess.run(device.command(action), env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "preact-edge-release: systemctl cannot be run (No such file or directory): install it\n"


def test_a_device_without_anything(tmp_path: Path, installed: tuple[Device, Path]) -> None:
    device = Device(tmp_path, installed[0].key)
    assert device.run("status").told["installed"] == []
    (problem,) = device.run("doctor").told["problems"]
    assert problem["name"] == "release"
    for action in ("rollback", "configure"):
        more = ["--config", str(device.settings())] if action == "configure" else []
        ended = device.run(action, *more)
        assert ended.code == 1
        assert f"there is no {'previous' if action == 'rollback' else 'current'} release" in ended.told["reason"]
    assert device.run("settle").code == 0


def test_the_doctor_finds_what_will_need_a_hand(device: Device) -> None:
    (device.state / "clock").write_text("no\n")
    (device.state / "active").unlink()
    (device.root / "etc/preact-edge/credentials/device.pem").unlink()
    power = device.root / "sys/devices/platform/soc/soc:firmware/get_throttled"
    power.parent.mkdir(parents=True)
    power.write_text("50000\n")
    pending = {"action": "activate", "release": "0.5.0", "back_to": "0.4.0", "began": time.time() - 3600}
    (device.home / "pending.json").write_text(json.dumps(pending))
    doctor = device.run("doctor")
    assert doctor.code == 1
    texts = {problem["name"]: problem["text"] for problem in doctor.told["problems"]}
    assert sorted(texts) == ["certificates", "clock", "pending", "power", "service"]
    assert "device.pem is missing, which the service loads" in texts["certificates"]
    assert texts["pending"].endswith("never confirmed: preact-edge-release settle")
    assert all(": " in text for text in texts.values())


def test_the_doctor_reads_the_dates_of_certificates(device: Device, tmp_path: Path) -> None:
    """In the Python of the release, where the library for it is; here that of these tests stands for it."""
    folder = device.root / "etc/preact-edge/credentials"
    for arguments in (("ca", "fleet"), ("device", "fleet", "dev-1", "--days", "20"), ("revoke", "fleet")):
        command = [sys.executable, "-m", "edge", "certs", *arguments]
        subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    for name, path in (("device.pem", "device-dev-1.pem"), ("ca.pem", "ca.pem"), ("crl.pem", "crl.pem")):
        (folder / name).write_bytes((tmp_path / "fleet" / path).read_bytes())
    python = device.home / "releases/0.4.0/venv/bin/python"
    python.unlink()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (problem,) = device.run("doctor").told["problems"]
    assert "device.pem expires in 19 days: issue it anew" in problem["text"]
    (folder / "device.pem").write_text("noise\n")
    (problem,) = device.run("doctor").told["problems"]
    assert "cannot be told" in problem["text"]
