"""Three devices: a new one is a line of inventory, and a bad release stops at the first that it fails on."""

from __future__ import annotations

import pytest

from tests.machines.backend import Papers, first_results
from tests.machines.conftest import VARIABLES, Boot, current
from tests.machines.control import Control
from tests.machines.listing import listing
from tests.machines.nspawn import Machine
from tests.machines.releases import Releases
from tests.machines.test_3_releases import outcome, started, unsuited

Fleet = list[Machine]


@pytest.fixture(scope="module")
def newcomers(boot: Boot) -> Fleet:
    return [boot("device-2"), boot("device-3")]


@pytest.fixture
def fleet(device: Machine, newcomers: Fleet, control: Control, releases: Releases) -> Fleet:
    """All three with the first release."""
    if any(machine.attempt("test -e /opt/preact-edge/current").returncode for machine in newcomers):
        join(newcomers, control, releases)
        control.play("site")
    return [device, *newcomers]


def join(newcomers: Fleet, control: Control, releases: Releases) -> None:
    for machine in newcomers:
        control.add(machine)
    control.write_inventory(VARIABLES.format(release=releases.base.release), canary="device-1")


def test_a_new_device_is_one_line_of_inventory(
    device: Machine, newcomers: Fleet, papers: Papers, control: Control, releases: Releases
) -> None:
    since = started(device)
    join(newcomers, control, releases)

    play = control.play("site")

    assert play.recap["device-1"].changed == 0, play.text
    assert started(device) == since
    for machine in newcomers:
        assert {result.status for result in first_results(machine, papers)} == {"ok"}


def test_a_rolling_update_stops_at_the_first_device_that_it_fails_on(
    fleet: Fleet, papers: Papers, control: Control, releases: Releases
) -> None:
    canary, second, third = fleet
    watched = ("/etc", "/opt/preact-edge")
    before, since = listing(third, *watched), started(third)

    with unsuited(second):
        play = control.play("update", "-e", f"preact_edge_release={releases.unsuited.release}", expect=None)

    assert play.code != 0, play.text
    assert current(canary) == releases.unsuited.release
    assert current(second) == releases.base.release
    assert outcome(second)["rolled_back"] is True
    assert listing(third, *watched) == before
    assert started(third) == since
    for machine in fleet:
        first_results(machine, papers)
    (row,) = (line for line in report(play.text).splitlines() if line.lstrip().startswith(second.name))
    assert "rolled back" in row, play.text
    (row,) = (line for line in report(play.text).splitlines() if line.lstrip().startswith(third.name))
    assert "not touched" in row, play.text


def test_what_was_stopped_goes_on_when_the_reason_is_gone(
    fleet: Fleet, papers: Papers, control: Control, releases: Releases
) -> None:
    control.play("update", "-e", f"preact_edge_release={releases.unsuited.release}")

    for machine in fleet:
        assert current(machine) == releases.unsuited.release
        first_results(machine, papers)
    table = report(control.play("status").text)
    assert table.count(releases.unsuited.release) >= 3, table


def report(text: str) -> str:
    """What is printed after Ansible's own recap."""
    return text.partition("PLAY RECAP")[2].partition("\n\n")[2]
