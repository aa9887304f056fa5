"""Machines and a control machine for the tests that provision; `.ci/provision` runs them.

They need root, a root tree and minutes, so a plain pytest does not collect them. They go through one device's life in
the order of their files, and each can be run alone: a fixture brings the device to where a test begins.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.chaos.clients import Client
from tests.machines.backend import Papers, first_results, witness
from tests.machines.control import Control, Play
from tests.machines.nspawn import Machine
from tests.machines.releases import Releases
from tests.machines.remote import make_key
from tests.machines.trees import root_tree

if "TEST_MACHINE_SUITE" not in os.environ:
    collect_ignore_glob = ["test_*"]

# A drawn scene at a third of its speed, so that three devices have room on two cores. A container cannot set a clock.
VARIABLES = """\
preact_edge_release: "{release}"
preact_edge_health_s: 60
preact_edge_tolerated: [clock]
preact_edge_settings:
  camera: {{source: scene, fps: 5}}
"""
Boot = Callable[[str], Machine]
TIMES = pytest.StashKey[dict[str, float]]()
MACHINES = pytest.StashKey[list[Machine]]()


@pytest.fixture(scope="session")
def work() -> Iterator[Path]:
    """A folder with a short path: sockets lie in it. Asked to end, the run tidies up first."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="machines-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def times(pytestconfig: pytest.Config) -> dict[str, float]:
    """Seconds, told at the end."""
    return pytestconfig.stash.setdefault(TIMES, {})


@pytest.fixture(scope="session")
def boot(work: Path, pytestconfig: pytest.Config) -> Iterator[Boot]:
    """Boots a blank machine; all are gone at the end."""
    tree = root_tree(os.environ["TEST_MACHINE_SUITE"])
    key = make_key(work / "key")
    machines = pytestconfig.stash.setdefault(MACHINES, [])
    with contextlib.ExitStack() as stack:

        def start(name: str) -> Machine:
            machine = Machine(name, tree, work / name, key)
            stack.callback(machine.close)
            machines.append(machine)
            machine.boot()
            return machine

        yield start
        machines.clear()


@pytest.fixture(scope="session")
def control(work: Path) -> Control:
    """A control machine with its checkout and key; bundles and devices come later."""
    control = Control(work / "control", os.environ["TEST_MACHINE_SUITE"], work / "key")
    control.prepare()
    return control


@pytest.fixture(scope="session")
def releases(control: Control) -> Releases:
    return Releases(control)


@pytest.fixture(scope="session")
def blank(boot: Boot, control: Control, releases: Releases) -> Machine:
    """device-1, booted and in the inventory, as nobody has touched it."""
    machine = boot("device-1")
    control.add(machine)
    control.write_inventory(VARIABLES.format(release=releases.base.release))
    return machine


@pytest.fixture(scope="session")
def first_site(blank: Machine, control: Control, times: dict[str, float]) -> Play:
    """The play that made device-1 of a blank machine, to the first result that a backend had."""
    began = time.monotonic()
    play = control.play("site")
    first_results(blank, papers_of(control))
    times["blank to streaming"] = time.monotonic() - began
    return play


@pytest.fixture(scope="session")
def papers(control: Control, first_site: Play) -> Papers:  # noqa: ARG001 - the play makes the authority
    return papers_of(control)


def papers_of(control: Control) -> Papers:
    """A backend's certificate, made once."""
    fleet = control.fleet
    paper = Papers(fleet / "ca.pem", fleet / "backend-desk.pem", fleet / "backend-desk.key")
    if not paper.certificate.exists():
        command = control.checkout / ".venv" / "bin" / "preact-edge"
        control.do([command, "certs", "backend", fleet, "desk", "--role", "control"])
    return paper


@pytest.fixture(scope="session")
def client(blank: Machine, papers: Papers, work: Path) -> Iterator[Client]:
    """Follows device-1 from here to the end of the run, with a name of its own, through all that happens to it."""
    with witness(blank, papers, work / "witness") as following:
        yield following


@pytest.fixture
def device(
    blank: Machine,
    first_site: Play,  # noqa: ARG001 - it makes the device
    client: Client,  # noqa: ARG001 - it is to see all that happens to the device
    releases: Releases,
) -> Machine:
    """device-1 with the first release, streaming; brought back to it where a test left another."""
    if current(blank) != releases.base.release:
        blank.run(f"preact-edge-release activate {releases.base.release} --health-s 30", timeout=240)
    return blank


def current(machine: Machine) -> str:
    """The release that the machine runs."""
    return machine.run("basename $(readlink /opt/preact-edge/current)").strip()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
    call: pytest.CallInfo[None],  # noqa: ARG001 - the hook's signature
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a machine wrote in its journal, where a test failed."""
    report = yield
    if report.failed:
        for machine in item.config.stash.get(MACHINES, []):
            report.sections.append((f"journal of {machine.name}", machine.journal()))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Times, for people: nothing is asserted of them."""
    for name, seconds in config.stash.get(TIMES, {}).items():
        terminalreporter.write_line(f"{seconds:7.1f} s  {name}")
