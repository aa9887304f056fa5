"""The bundle's parts that need no checkout and no program."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import time
import zipfile
from pathlib import Path

import msgspec
import pytest

from deploy.bundling import archive, debs, locks, source
from deploy.bundling.errors import BundleError
from deploy.bundling.locks import Deb, Given, Lock, Wheel
from deploy.bundling.process import sealed
from deploy.bundling.targets import TARGETS, target_named
from tests.support import ROOT

WHEEL = Wheel(name="a", version="1", file="a-1-py3-none-any.whl", sha256="0" * 64, size=10)
DEB = Deb(name="d", version="2:1", file="d_2%3a1_arm64.deb", sha256="1" * 64, size=20, suite="bookworm", reason='a "b"')
GIVEN = Given(name="g", file="g-1-py3-none-any.whl", address="https://example.org/g")


def lock(**changed: object) -> Lock:
    whole = Lock(
        format=1,
        target="t",
        dependencies=("a>=1; python_version < '3.13'", "b"),
        constraints=(),
        wheels=(WHEEL,),
        debs=(DEB,),
        by_hand=(GIVEN,),
    )
    return msgspec.structs.replace(whole, **changed)


def written(root: Path, text: str) -> Path:
    path = locks.path_of(root, "t")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_a_lock_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written(tmp_path, locks.dump(lock()))
    assert locks.read(tmp_path, "t") == lock()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("format = 1", "format = 2"), "is of format 2"),
        (('target = "t"', 'target = "u"'), "for u"),
        (("size = 10", 'size = "10"'), "is no lock"),
        (("size = 10", "size = 10\nurl = 'x'"), "is no lock"),
        (("[[wheels]]", "[wheels"), "is no lock"),
    ],
)
def test_a_lock_that_is_damaged_is_named(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    path = written(tmp_path, locks.dump(lock()).replace(*change))
    with pytest.raises(BundleError, match=words) as caught:
        locks.read(tmp_path, "t")
    assert str(path) in str(caught.value)
    assert "deploy/bundle lock t" in str(caught.value)


def test_what_changed_between_two_locks() -> None:
    newer = msgspec.structs.replace(WHEEL, version="1.1")
    rebuilt = msgspec.structs.replace(DEB, sha256="2" * 64)
    more = msgspec.structs.replace(WHEEL, name="m")
    assert locks.differences(lock(), lock()) == []
    assert locks.differences(None, lock(debs=(), by_hand=())) == ["+ a 1"]
    assert locks.differences(lock(), lock(wheels=(newer, more), debs=(rebuilt,), by_hand=())) == [
        "- g g-1-py3-none-any.whl",
        "  a 1 -> 1.1",
        "  d 2:1: another file",
        "+ m 1",
    ]
    assert locks.differences(lock(), lock(dependencies=("c",))) == ["  only what is asked for changed, not the files"]


@pytest.mark.parametrize("name", TARGETS)
def test_every_lock_of_this_checkout_is_of_its_dependencies(name: str) -> None:
    kept = locks.read(ROOT, name)
    target = target_named(name)
    assert kept.dependencies == source.dependencies(ROOT), f"renew it: deploy/bundle lock {name}"
    assert kept.constraints == target.constraints
    assert {given.file for given in kept.by_hand} == {given.file for given in target.by_hand}
    assert {deb.name for deb in kept.debs} >= set(target.debs)
    assert [wheel.name for wheel in kept.wheels if wheel.name == "pip"] == ["pip"]


@pytest.mark.parametrize("name", TARGETS)
def test_a_lock_has_wheels_for_its_machine_alone(name: str) -> None:
    target = target_named(name)
    for wheel in locks.read(ROOT, name).wheels:
        python, _, platforms = wheel.file.removesuffix(".whl").split("-")[2:]
        assert platforms == "any" or platforms.split(".")[0].endswith(target.machine), wheel.file
        version = target.python.replace(".", "")
        assert f"cp{version}" in python or "abi3" in wheel.file or "py3" in python, wheel.file


def test_no_lock_names_an_index() -> None:
    for path in (ROOT / "deploy" / "locks").glob("*.toml"):
        text = path.read_text()
        assert [line for line in text.splitlines() if "://" in line and not line.startswith("address = ")] == []


def test_the_pins_of_each_board() -> None:
    with_lgpio = {name for name in TARGETS if any(wheel.name == "lgpio" for wheel in locks.read(ROOT, name).wheels)}
    assert with_lgpio == {"pi-bookworm-64", "coral-bookworm", "jetson-jp6"}
    assert {name for name in TARGETS if any(w.name == "tomli" for w in locks.read(ROOT, name).wheels)} == {"jetson-jp6"}


def test_a_target_that_is_none() -> None:
    with pytest.raises(BundleError, match="did you mean pi-trixie-64"):
        target_named("pi-trixy-64")


def test_what_a_debian_package_needs() -> None:
    record = {
        "Depends": "python3 (<< 3.14), python3:any, libc6 (>= 2.34), liblgpio1 (>= 0.2.2) | lgpio, x",
        "Pre-Depends": "dpkg (>= 1.15)",
    }
    assert debs._needs(record) == ["dpkg", "python3", "python3", "libc6", "liblgpio1", "x"]
    assert debs._needs({}) == []


def test_a_debian_package_is_named_as_apt_names_its_file() -> None:
    record = {"Package": "usb", "Version": "2:1.0+b1", "Architecture": "arm64", "SHA256": "a" * 64, "Size": "7"}
    assert debs._deb(record, "trixie", "why").file == "usb_2%3a1.0+b1_arm64.deb"


def test_a_repacked_wheel_depends_on_its_files_alone(tmp_path: Path) -> None:
    contents = {"edge/b.py": b"b" * 1000, "edge/a.py": b"a", "x-1.dist-info/RECORD": b"r"}
    made = []
    for number, names in enumerate((list(contents), list(reversed(contents)))):
        built = tmp_path / f"built{number}.whl"
        with zipfile.ZipFile(built, "w", zipfile.ZIP_DEFLATED, compresslevel=1 + 8 * number) as packed:
            for name in names:
                info = zipfile.ZipInfo(name, time.gmtime(1_000_000_000 + number * 86400)[:6])
                info.external_attr = (0o100600 + number) << 16
                packed.writestr(info, contents[name])
        made.append(source._repacked(built, tmp_path / f"made{number}.whl", 1_790_000_000).read_bytes())
    assert made[0] == made[1]
    with zipfile.ZipFile(tmp_path / "made0.whl") as packed:
        assert {info.compress_type for info in packed.infolist()} == {zipfile.ZIP_STORED}, "zlibs differ in their bytes"
        assert packed.namelist() == ["edge/a.py", "edge/b.py", "x-1.dist-info/RECORD"]
        assert {name: packed.read(name) for name in packed.namelist()} == contents


def test_the_tar_bears_no_trace_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 600)
    (tmp_path / "file").chmod(0o700)
    archive.write(tmp_path / "tar", {"z": tmp_path / "file", "a/b": tmp_path / "file"}, 1_790_000_000)
    with tarfile.open(tmp_path / "tar") as tar:
        members = [(m.name, m.mode, m.uid, m.gid, m.uname, m.gname, m.mtime, m.pax_headers) for m in tar]
    assert members == [(name, 0o644, 0, 0, "", "", 1_790_000_000, {}) for name in ("z", "a/b")]


def test_a_name_that_no_device_reads(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="cannot be in a bundle"):
        archive.write(tmp_path / "tar", {"wheels/" + "n" * 120: tmp_path / "file"}, 1)


def test_two_runs_do_not_write_one_bundle(tmp_path: Path) -> None:
    target = tmp_path / "x.bundle"
    with archive.in_one_step(target) as part:
        part.write_text("first")
        with pytest.raises(BundleError, match="another run is writing it"), archive.in_one_step(target):
            pass
    assert target.read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_builder_set_does_not_reach_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_FIND_LINKS", "PYTHONPATH", "HATCH_BUILD_HOOKS", "LC_ALL"):
        monkeypatch.setenv(name, "/x")
    monkeypatch.setenv("TEST_KEPT", "1")
    env = sealed(SOURCE_DATE_EPOCH="5")
    assert not {"PIP_FIND_LINKS", "PYTHONPATH", "HATCH_BUILD_HOOKS", "LC_ALL"} & set(env)
    assert (env["TEST_KEPT"], env["SOURCE_DATE_EPOCH"], env["TZ"]) == ("1", "5", "UTC")


def test_a_tree_inside_another_checkout_is_not_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which("git"):
        pytest.skip("needs git")
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    subprocess.run(["git", "init", "-q", tmp_path], check=True, timeout=60)
    (tmp_path / "unpacked").mkdir()
    with pytest.raises(BundleError, match="is no git checkout"):
        source.checkout(tmp_path / "unpacked", "label")


@pytest.mark.parametrize("epoch", ["soon", "-1", "5", "\u0661"])
def test_a_date_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with pytest.raises(BundleError, match="SOURCE_DATE_EPOCH"):
        source.checkout(tmp_path, "label")
