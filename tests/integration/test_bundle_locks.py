"""deploy/bundle lock: what a bundle is made of, renewed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from deploy.bundling import locks
from deploy.release.bundle import Bundle
from deploy.release.manifest import parse
from tests.bundling import PYPROJECT, Toy, failed, make_deb, make_toy, make_wheel


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return make_toy(tmp_path)


def test_a_lock_is_renewed_and_says_what_changed(toy: Toy) -> None:
    path = locks.path_of(toy.tree, "debian-amd64")
    before = path.read_text()
    done = toy.run("lock", "debian-amd64")
    assert (done.returncode, done.stdout) == (0, "deploy/locks/debian-amd64.toml: as it was\n"), done.stderr
    assert path.read_text() == before
    make_wheel(toy.index, "toydep", "1.6", needs="Requires-Dist: more\n")
    make_wheel(toy.index, "more", "3")
    done = toy.run("lock", "debian-amd64")
    assert done.stdout == "deploy/locks/debian-amd64.toml: changed\n  + more 3\n    toydep 1.5 -> 1.6\n", done.stderr
    assert [wheel.name for wheel in locks.read(toy.tree, "debian-amd64").wheels] == ["more", "pip", "toydep"]


def test_a_lock_is_made_for_the_target_and_not_for_this_machine(toy: Toy) -> None:
    needs = (
        "Requires-Dist: pi; platform_machine == 'aarch64' and python_version < '3.13'\n"
        "Requires-Dist: pc; platform_machine == 'x86_64'\nRequires-Dist: old; python_version < '3.11'\n"
        "Requires-Dist: mac; sys_platform == 'darwin'\n"
    )
    make_wheel(toy.index, "toydep", "1.7", needs=needs)
    for name in ("pi", "pc", "old", "mac"):
        make_wheel(toy.index, name, "1")
    found = {}
    for target in ("jetson-jp6", "pi-bookworm-64", "pi-trixie-64", "debian-trixie-amd64"):
        done = toy.run("lock", target)
        assert done.returncode == 0, done.stderr
        found[target] = {wheel.name for wheel in locks.read(toy.tree, target).wheels} - {"pip", "toydep"}
    assert found == {
        "jetson-jp6": {"pi", "old"},
        "pi-bookworm-64": {"pi"},
        "pi-trixie-64": set(),
        "debian-trixie-amd64": {"pc"},
    }


def test_a_lock_of_packages_that_are_nowhere(toy: Toy) -> None:
    (toy.tree / "pyproject.toml").write_text(PYPROJECT.replace("toydep>=1", "toydep>=7"))
    before = locks.path_of(toy.tree, "debian-amd64").read_text()
    assert "pip finds no wheels for Python 3.11 on x86_64" in failed(toy, toy.run("lock", "debian-amd64"))
    assert locks.path_of(toy.tree, "debian-amd64").read_text() == before


def test_files_that_no_index_has_are_given_once_and_checked_ever_after(toy: Toy, tmp_path: Path) -> None:
    lock = locks.read(toy.tree, "coral-bookworm")
    given = [tmp_path / entry.file for entry in lock.by_hand]
    shutil.copyfile(make_deb(tmp_path, "libedgetpu1-std", "arm64"), given[0])
    given[1].write_bytes((toy.index / make_wheel(toy.index, "tflite_runtime", "2.17.1").file).read_bytes())
    without_apt_packages(toy)
    build = ("--target", "coral-bookworm", "--key", toy.key, "--out", toy.out, "--label", "coral")
    assert toy.run("lock", "coral-bookworm").returncode == 0
    assert f"nobody gave {given[0].name} yet; fetch it from https://" in failed(toy, toy.run(*build))
    done = toy.run("lock", "coral-bookworm", "--with", given[0], "--with", given[1])
    assert done.returncode == 0, done.stderr
    assert toy.run("lock", "coral-bookworm").stdout.endswith("as it was\n")
    recorded = locks.read(toy.tree, "coral-bookworm")
    kept = locks.path_of(toy.tree, "coral-bookworm")
    kept.write_text(kept.read_text().replace("https://", "https://moved."))
    assert toy.run("lock", "coral-bookworm").stdout.endswith("only what is asked for changed, not the files\n")
    assert locks.read(toy.tree, "coral-bookworm") == recorded
    shutil.rmtree(toy.cache)
    assert f"{given[0].name}: is not in" in failed(toy, toy.run(*build))
    done = toy.run(*build, "--with", given[0], "--with", given[1])
    assert done.returncode == 0, done.stderr
    manifest = parse(Bundle(toy.out / "preact-edge-9.9.9+coral-coral-bookworm.bundle").manifest)
    assert manifest.debs == {"libedgetpu1-std": f"debs/{given[0].name}"}
    assert f"wheels/{given[1].name}" in manifest.files
    given[0].write_bytes(b"another")
    assert "is another file than the lock names" in toy.run(*build, "--with", given[0]).stderr


def without_apt_packages(toy: Toy) -> None:
    """The target needs no package of Debian's: apt's archives are not for tests."""
    path = toy.tree / "deploy" / "bundling" / "targets.py"
    text = path.read_text()
    cut = re.sub(r"\n +debs=\{.*\},", "", text)
    assert cut != text
    path.write_text(re.sub(r"constraints=\(.*\)", "constraints=()", cut))
