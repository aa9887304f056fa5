"""Which devices a release fits, and what is said where it does not."""

from __future__ import annotations

import ast
import dataclasses
import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("deploy.release", reason="deploy/ is not beside these tests")

from deploy.release import commands, condition, device, durable
from deploy.release.device import Device
from deploy.release.manifest import Manifest, Requires
from deploy.release.outcome import Outcome, Refused
from deploy.release.places import Places
from tests.releases import Made
from tests.support import ROOT

PI = Device("aarch64", "debian", (), "12", "Debian GNU/Linux 12 (bookworm)", "3.11", 64)
JETSON = Device("aarch64", "ubuntu", ("debian",), "22.04", "Ubuntu 22.04.5 LTS", "3.10", 64)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return dataclasses.replace(
        Made("0.4.0", tmp_path).manifest(), requires=Requires("aarch64", {"debian": ("12",)}, "3.11")
    )


@pytest.mark.parametrize("path", sorted((ROOT / "deploy/release").glob("*.py")), ids=lambda path: path.name)
def test_the_installer_runs_on_an_older_python_and_needs_nothing_else(path: Path) -> None:
    """So that it can say there what is not supported; 3.8 is JetPack 5's."""
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    names = [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
    assert {name.partition(".")[0] for name in names} <= {*sys.stdlib_module_names, "release"}


def test_a_device_that_fits(manifest: Manifest) -> None:
    device.expect_fit(PI, manifest)
    jp6 = dataclasses.replace(manifest, requires=Requires("aarch64", {"ubuntu": ("22.04",)}, "3.10"))
    device.expect_fit(JETSON, jp6)


def test_a_system_that_is_like_the_one_that_is_named_fits(manifest: Manifest) -> None:
    device.expect_fit(dataclasses.replace(PI, system="raspbian", like=("debian",)), manifest)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"bits": 32}, "put the 64-bit Raspberry Pi OS on the card"),
        ({"machine": "armv7l", "bits": 32}, "put the 64-bit Raspberry Pi OS on the card"),
        ({"system": "ubuntu", "version": "20.04", "python": "3.8"}, "flash JetPack 6"),
        ({"python": "3.9"}, "has Python 3.9, the program needs 3.10"),
        ({"python": "3.13"}, "(Python 3.11), /usr/bin/python3 is 3.13"),
        ({"python": ""}, "apt-get install python3"),
        ({"machine": "x86_64"}, "(aarch64), this machine is x86_64"),
        ({"version": "13"}, "(debian 12), this is"),
        ({"version": ""}, "(debian 12), this is"),
        ({"system": "fedora"}, "(debian 12), this is"),
    ],
)
def test_a_device_that_does_not_fit_is_told_why(manifest: Manifest, changed: dict[str, object], words: str) -> None:
    with pytest.raises(Refused) as refusal:
        device.expect_fit(dataclasses.replace(PI, **changed), manifest)  # type: ignore[arg-type]
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_system_is_read_from_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text(
        '# a comment\nID=ubuntu\nID_LIKE="debian x"\nVERSION_ID=\'22.04\'\nbroken\nNAME="no end\n'
    )
    seen = device.look(Places(tmp_path))
    assert (seen.system, seen.like, seen.version, seen.python) == ("ubuntu", ("debian", "x"), "22.04", "")


@pytest.mark.parametrize(
    ("text", "bits"),
    [("0\n", 0), ("50005\n", 0x50005), ("0x50005", 0x50005), ("throttled=0x1\n", 1), ("", 0), ("what", 0)],
)
def test_what_the_firmware_says_of_the_power(tmp_path: Path, text: str, bits: int) -> None:
    path = tmp_path / condition.THROTTLED
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert condition.throttled(Places(tmp_path)) == bits


def test_what_is_run_as_root_has_nothing_of_the_callers_python(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "PIP_INDEX_URL", "LD_PRELOAD"):
        monkeypatch.setenv(name, "")
    names = dict(line.partition("=")[::2] for line in commands.run(["env"], timeout=60).out.splitlines())
    assert names["PYTHONNOUSERSITE"] == "1"
    assert not {"PYTHONPATH", "PIP_INDEX_URL", "LD_PRELOAD"} & set(names)


def test_room_is_told_in_megabytes(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"^\d+ MB are needed in .*, \d+ MB are free: make room there"):
        condition.expect_room(tmp_path / "not/there/yet", 1 << 60)
    assert condition.expect_room(tmp_path, 0).endswith(" MB free, 0 MB needed")


def test_wheels_need_their_unpacked_size_too(tmp_path: Path) -> None:
    made = Made("0.4.0", tmp_path, files={"wheels/big.whl": bytes(1_000_000)}).manifest()
    small = Made("0.4.0", tmp_path).manifest()
    assert condition.needed_room(made) - condition.needed_room(small) == (1 + condition.WHEELS_GROW) * 1_000_000


def test_a_file_is_put_in_place_at_once_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    path.write_text("old")
    (tmp_path / ".settings.part").write_text("left by a write that was cut off")
    durable.write(path, b"new", 0o640)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o640)
    assert [entry.name for entry in tmp_path.iterdir()] == ["settings"]


def test_a_link_is_turned_at_once(tmp_path: Path) -> None:
    link = tmp_path / "current"
    durable.point(link, "releases/1")
    durable.point(link, "releases/2")
    assert link.readlink() == Path("releases/2")
    assert [entry.name for entry in tmp_path.iterdir()] == ["current"]


def test_an_outcome_has_all_its_keys_from_the_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = Outcome("activate", "0.4.0")
    with pytest.raises(Refused), outcome.step("check"):
        raise Refused("no such file: make it")
    told = json.loads(json.dumps(outcome.document()))
    assert told["ended"] is None
    assert told["steps"][0].pop("seconds") >= 0
    assert told["steps"] == [{"name": "check", "ok": False, "text": "no such file: make it"}]
    assert set(told) == {
        *("action", "ok", "changed", "release", "previous", "rolled_back", "reason", "steps", "notes", "began", "ended")
    }
    assert "check      FAILED" in capsys.readouterr().err
