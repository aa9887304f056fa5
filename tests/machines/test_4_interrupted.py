"""The network or the power goes in the middle of an update: the device is never left between two releases."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.machines.backend import Papers, first_results
from tests.machines.conftest import current
from tests.machines.control import PLAY_S, Control, recap
from tests.machines.nspawn import Machine
from tests.machines.releases import Bundle, Releases
from tests.support import wait_until

STEP_S = 240.0  # for one step of the installer, on a busy computer


def of_the_device(machine: Machine, path: str) -> Any:
    """A file of JSON, read without the machine's network; None where there is none."""
    try:
        return json.loads((machine.root / path.lstrip("/")).read_text())
    except FileNotFoundError:
        return None


def under_way(machine: Machine, action: str) -> bool:
    outcome = of_the_device(machine, "/opt/preact-edge/outcome.json")
    return bool(outcome and outcome["action"] == action and outcome["ended"] is None)


@contextmanager
def updating(control: Control, bundle: Bundle, device: Machine, log: Path) -> Iterator[None]:
    """``deploy/fleet update`` in the background; the network is to be cut meanwhile, which it notices."""
    play = control.start("update", "-e", f"preact_edge_release={bundle.release}", log=log)
    try:
        yield
        assert play.wait(PLAY_S) != 0
        assert recap(log.read_text())[device.name].unreachable == 1, log.read_text()
    finally:
        play.kill()
        play.wait()
        device.join_network()
        device.wait_for_ssh(60.0)


@pytest.fixture
def fresh(device: Machine, releases: Releases) -> Machine:
    """The device has no other release than the one that it runs."""
    others = f"find /opt/preact-edge/releases -mindepth 1 -maxdepth 1 ! -name {releases.base.release}"
    device.run(f"{others} -exec rm -rf {{}} + && rm -f /opt/preact-edge/previous")
    return device


def test_the_network_goes_while_the_bundle_is_copied(
    fresh: Machine, papers: Papers, control: Control, releases: Releases, tmp_path: Path
) -> None:
    log, temporary = tmp_path / "log", fresh.root / "home/pi/.ansible/tmp"
    fresh.slow_down()
    with updating(control, releases.good, fresh, log):
        wait_until(lambda: any(file.stat().st_size > 1 << 20 for file in temporary.glob("*/*")), PLAY_S)
        fresh.cut_network()

    assert not (fresh.root / "opt/preact-edge/releases" / releases.good.release).exists()
    assert current(fresh) == releases.base.release
    first_results(fresh, papers)
    control.play("update", "-e", f"preact_edge_release={releases.good.release}")
    assert current(fresh) == releases.good.release


def test_the_network_goes_while_the_release_is_switched(
    device: Machine, papers: Papers, control: Control, releases: Releases, tmp_path: Path
) -> None:
    """What was begun goes on by itself, and is confirmed or undone without anybody there."""
    with updating(control, releases.good, device, tmp_path / "log"):
        wait_until(lambda: under_way(device, "activate"), PLAY_S)
        device.cut_network()
        wait_until(lambda: not under_way(device, "activate"), STEP_S)
        ended = of_the_device(device, "/opt/preact-edge/outcome.json")

    assert ended["ok"], ended
    assert current(device) == releases.good.release
    first_results(device, papers)


def carry(machine: Machine, bundle: Bundle) -> str:
    """Where the bundle then lies on the machine."""
    path = f"/opt/preact-edge/incoming/{bundle.path.name}"
    (machine.root / path.lstrip("/")).write_bytes(bundle.path.read_bytes())
    return path


def test_the_power_goes_while_a_release_is_installed(fresh: Machine, papers: Papers, releases: Releases) -> None:
    install = f"preact-edge-release install {carry(fresh, releases.good)}"
    fresh.run(f"systemd-run --collect {install}")
    wait_until(lambda: list((fresh.root / "opt/preact-edge/releases").glob("*/venv/lib/*/site-packages/numpy")), STEP_S)
    fresh.kill()
    fresh.boot()

    first_results(fresh, papers)
    assert current(fresh) == releases.base.release
    assert releases.good.release not in installed(fresh)
    fresh.run(install, timeout=STEP_S)
    assert releases.good.release in installed(fresh)


def test_the_power_goes_while_the_release_is_switched(
    device: Machine, papers: Papers, releases: Releases, times: dict[str, float]
) -> None:
    device.run(f"preact-edge-release install {carry(device, releases.good)}", timeout=STEP_S)
    device.run(f"systemd-run --collect preact-edge-release activate {releases.good.release}")
    wait_until(lambda: of_the_device(device, "/opt/preact-edge/pending.json"), STEP_S)
    device.kill()
    assert of_the_device(device, "/opt/preact-edge/pending.json")

    began = time.monotonic()
    device.boot()
    first_results(device, papers)
    times["power cut in a switch, to the first result"] = time.monotonic() - began

    assert current(device) == releases.base.release
    assert of_the_device(device, "/opt/preact-edge/pending.json") is None
    device.run(f"preact-edge-release activate {releases.good.release}", timeout=STEP_S)
    assert current(device) == releases.good.release
    first_results(device, papers)


def installed(machine: Machine) -> list[str]:
    told = json.loads(machine.run("preact-edge-release status --json").splitlines()[-1])
    return [str(each["release"]) for each in told["installed"]]
