"""One virtual board, made a device by deploy/fleet; `.ci/provision-machine` runs these tests, in their files' order.

They need root, QEMU and minutes, so a plain pytest does not collect them. Each can be run alone.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from edge.capture.scene import CYCLE_SECONDS, Scene
from tests.chaos.clients import Client
from tests.machines.backend import Papers, first_results, witness
from tests.machines.conftest import papers_of
from tests.machines.control import Control, Play
from tests.machines.releases import Releases
from tests.vm.outside.board import Board
from tests.vm.outside.image import board_image
from tests.vm.outside.pin import Pin

if "TEST_BOARD_SUITE" not in os.environ:
    collect_ignore_glob = ["test_*"]

PLAY_S = 2400.0  # minutes on an idle computer; each step of a playbook is a Python that starts in an emulator
FIRST_RESULT_S = 180.0
FPS = 5
STRIPS = 24
TIMES = pytest.StashKey[dict[str, float]]()
# Whoever walks through the picture crosses a zone after the other, and each tells of it twice: a storm that has no end.
# An alert is sent when it is on the disk, however slow that is, so one that was received was committed.
SETTINGS = f"""\
preact_edge_release: "{{release}}"
preact_edge_health_s: 180
preact_edge_settings:
  camera: {{{{source: /dev/video0, width: 640, height: 360, fps: {FPS}}}}}
  gpio: {{{{factory: gpiod, chip: tegra234-gpio, buzzer_pin: 17}}}}
  evidence: {{{{enabled: false}}}}
  outbox: {{{{slow_commit_s: 10}}}}
  alerts:
    zones: {{zones}}
    rules: {{rules}}
"""


def settings(release: str) -> str:
    edges = [place / STRIPS for place in range(STRIPS + 1)]
    zones = [
        {"name": f"strip {place}", "points": [[left, 0], [right, 0], [right, 1], [left, 1]]}
        for place, (left, right) in enumerate(pairwise(edges))
    ]
    quick = {"hold_hits": 1, "hold_frames": 1, "resolve_after_s": 0.5, "cooldown_s": 0}
    rules = [
        {"name": zone["name"], "level": "low", "any": ["person"], "zones": [zone["name"]], **quick} for zone in zones
    ]
    armed = {"name": "armed person", "level": "critical", "any": ["knife"], "all": ["person"]}
    return SETTINGS.format(release=release, zones=zones, rules=[armed, *rules])


@pytest.fixture(scope="session")
def work() -> Iterator[Path]:
    """A folder with a short path: sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="board-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def times(pytestconfig: pytest.Config) -> dict[str, float]:
    """Seconds, told at the end."""
    return pytestconfig.stash.setdefault(TIMES, {})


@pytest.fixture(scope="session")
def recording(work: Path) -> Path:
    """What happens before the camera, over and over: one cycle of the drawn scene, raw."""
    path = work / "scene.bgr"
    scene = Scene(seed=0, width=640, height=360, fps=FPS)
    with path.open("wb") as file:
        for index in range(int(CYCLE_SECONDS * FPS)):
            file.write(scene.draw(index)[0].tobytes())
    return path


@pytest.fixture(scope="session")
def blank(work: Path, recording: Path, times: dict[str, float]) -> Iterator[Board]:
    """Booted, as nobody has touched it."""
    board = Board(board_image(os.environ["TEST_BOARD_SUITE"]), work / "b", recording)
    try:
        began = time.monotonic()
        board.boot()
        times["first boot"] = time.monotonic() - began
        yield board
    finally:
        board.close()


@pytest.fixture(scope="session")
def control(work: Path, blank: Board) -> Control:
    """A control machine that has bundled this checkout and knows the board."""
    control = Control(work / "control", os.environ["TEST_BOARD_SUITE"], blank.key)
    control.prepare()
    control.add(blank, f"ansible_port={blank.port}")
    control.write_inventory(settings(Releases(control).base.release))
    return control


@pytest.fixture(scope="session")
def site(blank: Board, control: Control, times: dict[str, float]) -> Play:
    """The play that made the board a device, to the first result that a backend had."""
    began = time.monotonic()
    play = control.play("site", timeout=PLAY_S)
    first_results(blank, papers_of(control), FIRST_RESULT_S)
    times["blank to streaming"] = time.monotonic() - began
    return play


@pytest.fixture(scope="session")
def papers(control: Control, site: Play) -> Papers:  # noqa: ARG001 - the play makes the authority
    return papers_of(control)


@pytest.fixture(scope="session")
def client(blank: Board, papers: Papers, work: Path) -> Iterator[Client]:
    """Follows the device through all that happens to it, and counts."""
    with witness(blank, papers, work / "witness") as following:
        yield following


@pytest.fixture
def device(blank: Board, client: Client) -> Board:  # noqa: ARG001 - it is to see all that happens
    """The board as a device, streaming."""
    return blank


@pytest.fixture
def pin(device: Board) -> Pin:
    return Pin(device)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Times, for people: nothing is asserted of them. The board is emulated, tens of times slower than a real one."""
    for name, seconds in config.stash.get(TIMES, {}).items():
        terminalreporter.write_line(f"{seconds:7.1f} s  {name}")
