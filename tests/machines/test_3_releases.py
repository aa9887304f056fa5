"""Releases that come and go: the good stay, the bad never do, and the report says why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.machines.backend import Papers, first_results
from tests.machines.conftest import current
from tests.machines.control import Control, Play
from tests.machines.listing import listing
from tests.machines.nspawn import Machine
from tests.machines.releases import UNSUITED, Bundle, Releases

BLIND = '{"preact_edge_settings": {"camera": {"source": "/dev/video9"}}}'
WRONG = '{"preact_edge_settings": {"camera": {"source": "scene", "sauce": 1}}}'


def outcome(machine: Machine) -> dict[str, Any]:
    """How the last action of the installer ended."""
    return dict(json.loads(machine.run("cat /opt/preact-edge/outcome.json")))


def started(machine: Machine) -> str:
    return machine.run("systemctl show -p MainPID -p ActiveEnterTimestampMonotonic preact-edge")


@contextmanager
def unsuited(machine: Machine) -> Iterator[None]:
    """The machine is one on which the release of that name does not run."""
    machine.run(f"touch {UNSUITED}")
    try:
        yield
    finally:
        machine.run(f"rm {UNSUITED}")


def update(control: Control, bundle: Bundle, expect: int | None = 0) -> Play:
    return control.play("update", "-e", f"preact_edge_release={bundle.release}", expect=expect)


def refused(device: Machine, control: Control, bundle: Bundle) -> Play:
    """The play that was to bring a bundle to the device, and did not: nothing is different, what runs never stopped."""
    watched = ("/etc", "/opt/preact-edge/releases", "/opt/preact-edge/tool", "/usr/local")
    before, since = listing(device, *watched), started(device)
    play = control.play("update", "-e", f"preact_edge_bundle={bundle.path}", expect=None)
    assert play.code != 0, play.text
    assert listing(device, *watched) == before
    assert started(device) == since
    return play


def test_a_corrupt_bundle_is_refused_before_anything_changes(
    device: Machine, control: Control, releases: Releases
) -> None:
    play = refused(device, control, releases.corrupt)
    assert "damaged or changed" in play.text, play.text


def test_a_bundle_that_somebody_else_signed_is_refused_before_anything_changes(
    device: Machine, control: Control, releases: Releases
) -> None:
    play = refused(device, control, releases.foreign)
    assert "signature" in play.text or "signed" in play.text, play.text


def test_a_release_that_fails_its_selftest_never_runs(device: Machine, control: Control, releases: Releases) -> None:
    since = started(device)

    play = update(control, releases.failing, expect=None)

    assert play.code != 0, play.text
    assert "selftest" in play.text, play.text
    assert current(device) == releases.base.release
    assert started(device) == since, "what runs was stopped for a release that failed before its turn"
    assert outcome(device)["ok"] is False


def test_a_release_that_does_not_run_is_rolled_back_by_itself(
    device: Machine, papers: Papers, control: Control, releases: Releases
) -> None:
    with unsuited(device):
        play = update(control, releases.unsuited, expect=None)

    assert play.code != 0, play.text
    assert outcome(device)["rolled_back"] is True
    assert outcome(device)["reason"] in play.text.replace("\n", " "), play.text
    assert current(device) == releases.base.release
    first_results(device, papers)


def test_settings_that_make_it_blind_are_rolled_back_by_themselves(
    device: Machine, papers: Papers, control: Control
) -> None:
    settings = device.run("cat /opt/preact-edge/current/config/preact-edge.toml")

    play = control.play("site", "-e", BLIND, "--tags", "preact_edge", expect=None)

    assert play.code != 0, play.text
    assert outcome(device)["rolled_back"] is True
    assert device.run("cat /opt/preact-edge/current/config/preact-edge.toml") == settings
    first_results(device, papers)


def test_settings_that_are_wrong_are_never_put_in_place(device: Machine, control: Control) -> None:
    since = started(device)

    play = control.play("site", "-e", WRONG, "--tags", "preact_edge", expect=None)

    assert play.code != 0, play.text
    assert "camera.sauce" in play.text, play.text
    assert started(device) == since


def test_a_good_release_is_brought_to_the_device_and_back(
    device: Machine, papers: Papers, control: Control, releases: Releases, times: dict[str, float]
) -> None:
    times["update"] = update(control, releases.good).seconds
    assert current(device) == releases.good.release
    first_results(device, papers)

    times["rollback"] = control.play("rollback").seconds
    assert current(device) == releases.base.release
    first_results(device, papers)


def test_verify_asks_the_device_and_its_port(device: Machine, control: Control) -> None:
    assert control.play("verify").recap["device-1"].failed == 0

    device.run("systemctl stop preact-edge")
    try:
        assert control.play("verify", expect=None).code != 0
    finally:
        device.run("systemctl start preact-edge")


def test_status_is_a_table_of_the_fleet(device: Machine, control: Control, releases: Releases) -> None:
    play = control.play("status")

    (row,) = (line for line in play.text.splitlines() if line.lstrip().startswith(device.name) and "ok=" not in line)
    assert releases.base.release in row, play.text


def test_the_doctor_tells_of_a_venv_whose_python_is_gone(device: Machine) -> None:
    """As after an upgrade of the system."""
    python = "/opt/preact-edge/current/venv/bin/python3"
    before = device.run(f"readlink {python}").strip()
    device.run(f"ln -sfn /usr/bin/python3.9 {python}")
    try:
        told = device.attempt("preact-edge-release doctor")
    finally:
        device.run(f"ln -sfn {before} {python}")

    assert told.returncode == 1
    assert "Python" in told.stdout
    assert "Python" not in device.attempt("preact-edge-release doctor").stdout
