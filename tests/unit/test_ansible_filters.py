"""What the playbooks ask of Python: settings as TOML, which bundle fits which board, which certificates are due."""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from edge.configure import load_config
from edge.security import issue
from edge.security.issue import Fleet, Terms
from edge.security.peers import device_uri

ROOT = Path(__file__).parents[2]
PI = {
    "architecture": "aarch64",
    "distribution": "Debian",
    "distribution_version": "12.11",
    "distribution_major_version": "12",
    "python_version": "3.11.2",
    "userspace_bits": "64",
}
NANO = PI | {"distribution": "Ubuntu", "distribution_version": "22.04", "distribution_major_version": "22"}


@pytest.fixture(scope="module")
def filters() -> ModuleType:
    file = ROOT / "ansible" / "filter_plugins" / "preact_edge.py"
    spec = importlib.util.spec_from_file_location("preact_edge_filters", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bundle(folder: Path, release: str, target: str, date: str = "2026-11-23T00:00:00Z", **requires: object) -> Path:
    needs = {"machine": "aarch64", "os": {"debian": ["12"]}, "python": "3.11"} | requires
    manifest = json.dumps({"release": release, "target": target, "date": date, "requires": needs}).encode()
    file = folder / f"preact-edge-{release}-{target}.bundle"
    with tarfile.open(file, "w") as archive:
        for name, content in (("manifest.json", manifest), ("requirements.txt", b"")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file


def asked(folder: Path, **values: object) -> dict[str, object]:
    return {"target": "", "bundle": "", "folder": str(folder), "release": ""} | values


@pytest.mark.parametrize(
    ("facts", "target"),
    [
        (PI, "pi-bookworm-64"),
        (PI | {"distribution_version": "13", "distribution_major_version": "13"}, "pi-trixie-64"),
        (NANO, "jetson-jp6"),
        (PI | {"architecture": "x86_64"}, "debian-amd64"),
        (PI | {"architecture": "x86_64", "distribution_major_version": "13"}, "debian-trixie-amd64"),
        (PI | {"distribution": "Fedora"}, ""),
    ],
)
def test_a_board_tells_its_target(filters, facts, target):
    assert filters.target(facts) == target


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (PI | {"userspace_bits": "32"}, "32-bit"),
        (NANO | {"distribution_version": "20.04", "distribution_major_version": "20"}, "JetPack 5"),
        (
            PI | {"distribution_version": "11.7", "distribution_major_version": "11"},
            "there is no bundle for it: install",
        ),
        (PI | {"architecture": "armv7l"}, "armv7l is not supported"),
    ],
)
def test_what_is_not_supported_is_refused_with_the_reason(filters, tmp_path, facts, why):
    found = filters.plan(facts, asked(tmp_path))
    assert why in found["problem"]
    assert "\n" not in found["problem"]


def test_each_board_gets_the_newest_bundle_that_is_made_for_it(filters, tmp_path):
    bundle(tmp_path, "0.10.0", "pi-bookworm-64", date="2026-11-20T00:00:00Z")
    newest = bundle(tmp_path, "0.9.1", "pi-bookworm-64")
    bundle(tmp_path, "0.11.0", "debian-amd64", date="2026-11-25T00:00:00Z")
    found = filters.plan(PI, asked(tmp_path))
    assert found["problem"] == ""
    assert found["bundle"] == str(newest)
    assert found["manifest"]["release"] == "0.9.1"
    assert len(found["sha256"]) == 64


def test_a_release_or_a_file_or_a_table_of_files_may_be_asked_for(filters, tmp_path):
    old = bundle(tmp_path, "0.3.0", "pi-bookworm-64", date="2026-01-01T00:00:00Z")
    bundle(tmp_path, "0.4.0", "pi-bookworm-64")
    for words in ({"release": "0.3.0"}, {"bundle": str(old)}, {"bundle": {"pi-bookworm-64": str(old)}}):
        assert filters.plan(PI, asked(tmp_path, **words))["bundle"] == str(old)


def test_without_a_bundle_the_command_that_makes_one_is_told(filters, tmp_path):
    problem = filters.plan(PI, asked(tmp_path))["problem"]
    assert f"deploy/bundle --target pi-bookworm-64 --out {tmp_path}" in problem


@pytest.mark.parametrize("content", [b"", b"no archive", "other file"])
def test_a_file_that_is_no_bundle(filters, tmp_path, content):
    file = tmp_path / "x.bundle"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        with tarfile.open(file, "w") as archive:
            archive.addfile(tarfile.TarInfo("else.json"))
    assert "is no bundle" in filters.plan(PI, asked(tmp_path, bundle=str(file)))["problem"]


@pytest.mark.parametrize(
    ("requires", "why"),
    [
        ({"machine": "x86_64"}, "it needs x86_64, this board is aarch64"),
        ({"python": "3.13"}, "it needs Python 3.13, /usr/bin/python3 is 3.11"),
        (
            {"os": {"debian": ["13"], "ubuntu": ["22.04"]}},
            "it needs debian 13, ubuntu 22.04, this board has debian 12.11",
        ),
    ],
)
def test_a_bundle_for_another_board_is_refused(filters, tmp_path, requires, why):
    file = bundle(tmp_path, "0.4.0", "pi-bookworm-64", **requires)
    assert why in filters.plan(PI, asked(tmp_path, bundle=str(file)))["problem"]


def test_settings_become_a_file_that_the_program_takes(filters, tmp_path):
    file = tmp_path / "preact-edge.toml"
    settings = {
        "device": {"id": 'a "quoted" \\ name'},
        "camera": {"fps": 10, "source": None, "privacy_masks": []},
        "storage": {},
        "listeners": [{"port": 0}, {"host": "0.0.0.0", "port": 8443, "tls": True, "auth": "mtls"}],
        "alerts": {"zones": [{"name": "Tür", "points": [[0.0, 0.5], [1.0, 0.5], [1, 1]]}]},
        "detector": {"delegate_options": {"device": "usb"}},
    }
    file.write_text(filters.toml(settings), "utf-8")
    config = load_config(file)
    assert config.device.id == 'a "quoted" \\ name'
    assert config.camera.source == load_config(None).camera.source
    assert [listener.port for listener in config.listeners] == [0, 8443]
    assert config.alerts.zones[0].name == "Tür"
    assert config.detector.delegate_options == {"device": "usb"}


def test_what_toml_cannot_hold_is_told(filters):
    with pytest.raises(ValueError, match="preact_edge_settings: "):
        filters.toml({"camera": {"source": object()}})


def issued(folder: Path, days: int, *hosts: str) -> tuple[str, str]:
    """A certificate of door-3 and the request that it was made for."""
    own = folder / "on the device"
    issue.request("door-3", own)
    fleet = Fleet(folder / "fleet")
    fleet.create()
    (file,) = fleet.device("door-3", Terms(hosts, days, request=own / "device.csr"))
    return file.read_text(), (own / "device.csr").read_text()


def test_a_certificate_that_is_good_stays(filters, tmp_path):
    certificate, request = issued(tmp_path, 800, "door.local", "192.0.2.13")
    assert filters.asks(request) == [device_uri("door-3")] == [filters.device_uri("door-3")]
    assert filters.due(certificate, request, ["192.0.2.13", "door.local"], 60) == ""
    assert filters.due(certificate, "", ["192.0.2.13", "door.local"], 60) == ""
    assert filters.days_left(certificate) in (799, 800)


def test_a_certificate_is_made_anew_with_the_reason(filters, tmp_path):
    certificate, request = issued(tmp_path, 50, "door.local")
    assert filters.due("", request, ["door.local"], 30) == "none"
    assert filters.due(certificate, request, ["door.local"], 60) in ("49 days are left", "50 days are left")
    assert filters.due(certificate, request, ["other.local"], 30) == "the host names changed"
    issue.request("door-3", tmp_path / "flashed anew")
    other = (tmp_path / "flashed anew" / "device.csr").read_text()
    assert filters.due(certificate, other, ["door.local"], 30) == "the device has another key"


def test_a_text_that_is_no_request_asks_for_nothing(filters):
    assert filters.asks("") == []
    assert filters.asks("cat: device.csr: No such file") == []


def test_a_list_of_revoked_certificates_is_dated_anew_in_time(filters, tmp_path):
    fleet = Fleet(tmp_path)
    fleet.create()
    fleet.revoke([], days=40)
    assert not filters.list_due(fleet.revoked.read_text(), 30)
    assert filters.list_due(fleet.revoked.read_text(), 60)


def trusted(fleet: Fleet) -> list[str]:
    return [fleet.certificate.read_text(), fleet.revoked.read_text()]


def test_a_device_keeps_its_authority(filters, tmp_path):
    fleet, other = Fleet(tmp_path / "fleet"), Fleet(tmp_path / "other")
    fleet.create()
    other.create()
    assert filters.foreign(["", ""], str(tmp_path / "nothing here")) == "", "a blank device"
    assert filters.foreign(trusted(fleet), str(fleet.folder)) == ""
    for folder, why in ((other.folder, "holds another authority"), (tmp_path / "nothing here", "lacks the one")):
        problem = filters.foreign(trusted(fleet), str(folder))
        assert why in problem
        assert "preact_edge_fleet_dir" in problem


def test_nobody_who_was_revoked_is_let_in_again_by_an_old_copy(filters, tmp_path):
    fleet = Fleet(tmp_path / "fleet")
    fleet.create()
    copy = Path(shutil.copytree(fleet.folder, tmp_path / "copy"))
    before = trusted(fleet)
    fleet.revoke(fleet.backend("main", "viewer", Terms())[-1:])
    assert filters.foreign(before, str(fleet.folder)) == "", "a newer list is brought"
    assert "not be revoked any more" in filters.foreign(trusted(fleet), str(copy))


def test_only_keys_for_releases_are_trusted(filters):
    key = "ssh-ed25519 AAAAC3Nz somebody@somewhere"
    allowed = 'release namespaces="preact-edge-release" ssh-ed25519 AAAAC3Nz\n'
    assert filters.signers(f"# two\n{key}\n\n{key}\n") == allowed * 2
    with pytest.raises(ValueError, match="preact_edge_signers"):
        filters.signers("-----BEGIN OPENSSH PRIVATE KEY-----\n")


def test_a_devices_row(filters):
    health = {"ok": True, "status": "ok", "device_id": "door-3", "fps": 9.8, "reason": ""}
    status = {"current": "0.4.0", "service": {"active": "active"}}
    outbox = (
        "alerts     30, 1 to 30\nconsumers  2\n  a  acknowledged 30, 0 behind\n  b  acknowledged 23, 7 behind, last"
    )
    assert filters.row(json.dumps(health), json.dumps(status), ["", "yes\n", "51200\n", outbox]) == {
        "device": "door-3",
        "release": "0.4.0",
        "state": "sees",
        "fps": 9.8,
        "°C": "51",
        "waiting": 7,
        "clock": "right",
    }


def test_the_row_of_a_device_that_nobody_asks_for_alerts(filters):
    assert filters.row("", "", ["", "", "", "alerts     30, 1 to 30\nconsumers  none"])["waiting"] == 30


def test_the_row_of_a_device_with_nothing_on_it(filters):
    assert filters.row("", "sh: not found", ["", "no", "cat: no such file", ""]) == {
        "state": "not installed",
        "clock": "unsure",
        "why": "preact-edge is not installed: deploy/fleet site",
    }


def test_a_folder_is_told_by_its_sums_and_packed_the_same_each_time(filters, tmp_path):
    folder = tmp_path / "release of mine"
    folder.mkdir()
    for name, text in (("b.py", "print('b')\n"), ("a.py", ""), ("c.txt", "not this")):
        (folder / name).write_text(text)
    checked = subprocess.run(
        ["sha256sum", "-c"], input=filters.sums(folder), cwd=folder, text=True, capture_output=True, check=True
    )
    assert checked.stdout == "a.py: OK\nb.py: OK\n"
    packed = tmp_path / "packed"
    packed.write_text(filters.packed(folder))
    (folder / "b.py").touch()
    assert packed.read_text() == filters.packed(folder)
    out = tmp_path / "out"
    out.mkdir()
    words = ("--extract", "--use-compress-program=base64", f"--file={packed}", f"--directory={out}")
    subprocess.run(["tar", *words], check=True)
    assert filters.sums(out) == filters.sums(folder)
