"""These tests need root and an emulator: .ci/provision-arm64 runs them, a plain pytest does not collect them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.arm64.system import System, emulated, system_tree
from tests.machines.control import Control

if "TEST_ARM64" not in os.environ:
    collect_ignore_glob = ["test_*"]

TARGET = "pi-bookworm-64"
PACKAGE = "preact-edge-test-package"


@pytest.fixture(scope="session")
def control(tmp_path_factory: pytest.TempPathFactory) -> Control:
    """The computer that makes the bundles."""
    folder = tmp_path_factory.mktemp("control")
    control = Control(folder, "bookworm", folder / "no device")
    control.prepare()
    return control


def make_bundle(control: Control, name: str, *words: str, target: str = TARGET) -> Path:
    """A bundle in a folder of its own; ``words`` are more options of deploy/bundle."""
    out = control.folder / name
    key = str(control.release_key)
    control.do(["deploy/bundle", "--target", target, "--key", key, "--out", str(out), *words], timeout=900.0)
    (made,) = out.glob("*.bundle")
    return made


@pytest.fixture(scope="session")
def bundle(control: Control) -> Path:
    """This checkout's release for a Raspberry Pi, with a package that the system lacks."""
    return make_bundle(control, "first", "--deb", str(make_package(control.folder, "1.0")))


def make_package(folder: Path, version: str) -> Path:
    """A package of one file."""
    tree = folder / f"package {version}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/share" / PACKAGE).mkdir(parents=True)
    (tree / "usr/share" / PACKAGE / "version").write_text(version)
    control = f"Package: {PACKAGE}\nVersion: {version}\nArchitecture: arm64\nMaintainer: tests <tests@localhost>\n"
    (tree / "DEBIAN/control").write_text(f"{control}Description: for tests\n")
    made = folder / f"{PACKAGE}_{version}_arm64.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", str(tree), str(made)], check=True, capture_output=True)
    return made


@pytest.fixture(scope="session")
def system(control: Control, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A fresh system with the installer on it, as the playbook brings it there."""
    with emulated():
        system = System(system_tree(), tmp_path_factory.mktemp("arm64") / "system")
        system.bring_installer(control.checkout, control.release_key.with_suffix(".pub"))
        yield system


@dataclass(frozen=True)
class Installed:
    """The system with the release, and what the installer told."""

    system: System
    outcome: dict[str, Any]

    @property
    def programs(self) -> str:
        return f"/opt/preact-edge/releases/{self.outcome['release']}/venv/bin"


@pytest.fixture(scope="session")
def installed(system: System, bundle: Path) -> Installed:
    assert system.run("uname", "-m").strip() == "aarch64"
    assert system.run("ls", "/sys/class/net").split() == ["lo"]
    outcome = system.install(bundle)
    assert outcome["ok"], outcome
    return Installed(system, outcome)
