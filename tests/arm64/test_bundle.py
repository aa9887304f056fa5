"""The bundle for a Raspberry Pi on a system of its own kind: installed without a network, and it finds what it must."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.arm64.conftest import PACKAGE, Installed, make_bundle, make_package
from tests.arm64.system import PROCESSORS, System
from tests.machines.control import Control


def test_a_bundle_for_another_machine_is_refused(system: System, control: Control) -> None:
    outcome = system.install(make_bundle(control, "another", target="debian-amd64"))
    assert not outcome["ok"]
    assert "x86_64" in outcome["reason"]
    assert not list((system.root / "opt/preact-edge/releases").glob("*"))


def test_it_installs_offline(installed: Installed, bundle: Path) -> None:
    assert (installed.outcome["changed"], installed.outcome["reason"]) == (True, "")
    print({step["name"]: f"{step['seconds']:.0f} s, emulated" for step in installed.outcome["steps"]})

    again = installed.system.install(bundle)

    assert (again["ok"], again["changed"]) == (True, False)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_its_selftest_passes(installed: Installed, processor: str) -> None:
    command = (f"{installed.programs}/preact-edge", "selftest", "--json")
    selftest = json.loads(installed.system.run(*command, processor=processor))
    assert (selftest["ok"], selftest["problems"]) == (True, [])
    print(f"emulated {processor}: {selftest['fps']} frames/s, {selftest['runtime']}")


def test_the_venv_sees_the_systems_packages_but_runs_its_own(installed: Installed) -> None:
    program = "import numpy, sys; print(numpy.__version__, numpy.__file__, *sys.path, sep='\\n')"
    version, path, *folders = installed.system.run(f"{installed.programs}/python", "-c", program).splitlines()
    assert version.startswith("1.26.")
    assert path.startswith("/opt/preact-edge/releases/")
    assert "/usr/lib/python3/dist-packages" in folders
    own = installed.system.run("/usr/bin/python3", "-c", "import numpy; print(numpy.__version__)")
    assert own.startswith("1.24."), "apt's numpy is there"


def test_a_package_that_the_system_lacks_is_installed_and_one_that_is_there_stays(
    installed: Installed, control: Control
) -> None:
    asked = ("dpkg-query", "--show", "--showformat=${Version}", PACKAGE)
    assert installed.system.run(*asked) == "1.0"

    newer = make_bundle(control, "second", "--label", "second", "--deb", str(make_package(control.folder, "2.0")))
    outcome = installed.system.install(newer)

    assert outcome["ok"], outcome
    assert outcome["release"] != installed.outcome["release"]
    assert installed.system.run(*asked) == "1.0"
