"""The installer killed, as by a power cut, before each single thing that it does to the disk or has done by others."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("deploy.release", reason="deploy/ is not beside these tests")

from tests.release_device import Device, updated_device
from tests.support import ROOT

pytestmark = pytest.mark.timeout(400)  # each test runs the installer a hundred times

# The installer is loaded once and forked for each run, which saves Python's start. Python tells a hook of all that
# changes a disk or starts a program, before it is done.
KILLER = """
import json, os, sys, traceback
sys.path.insert(0, sys.argv[1])
from release.cli import main
os.fsync = os.sync = lambda *_: None  # a process that is killed loses nothing that it wrote
TOLD = {"os.rename", "os.remove", "os.rmdir", "os.symlink", "subprocess.Popen"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
def deed(event, arguments):
    if event == "open":
        return not isinstance(arguments[0], int) and arguments[2] & WRITES
    if event == "os.remove" and arguments[1] == -1 and not os.path.lexists(arguments[0]):
        return False  # there is nothing to remove
    return event in TOLD
def hook(event, arguments):
    global count
    if deed(event, arguments):
        count -= 1
        if count == 0:
            os.kill(os.getpid(), 9)
def child(arguments):
    code = 70
    try:
        os.dup2(2, 1)
        sys.addaudithook(hook)
        code = main(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
for line in sys.stdin:
    count, arguments = json.loads(line)
    process = os.fork()
    if process == 0:
        child(arguments)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""


class Installer:
    """The installer of a device, to be run and to be killed."""

    def __init__(self, device: Device, words: Path) -> None:
        self._device, self._words = device, words
        command = [sys.executable, "-I", "-c", KILLER, str(ROOT / "deploy")]
        with words.open("w") as stderr:
            self._process = subprocess.Popen(
                command,
                env=device.environ(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    def run(self, *arguments: str | Path, dies_before: int = 0) -> int:
        """The exit code of an action, -9 when it was killed before that deed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        words = ["--root", str(self._device.root), *map(str, arguments)]
        self._process.stdin.write(json.dumps([dies_before, words]) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        assert code in (0, 3, -9), self._words.read_text()
        return code

    def killed(self, at: int, *arguments: str | Path) -> bool:
        """Runs an action that is killed before its ``at``-th deed; whether it got so far."""
        return self.run(*arguments, dies_before=at) == -9

    def close(self) -> None:
        self._process.communicate(timeout=10)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Device, Path]:
    """0.4.0 runs, 0.3.0 before it, 0.5.0 and the broken 0.6.0 are installed; and a copy of all files."""
    device = updated_device(tmp_path_factory.mktemp("kill"))
    device.grow("0.6.0", like="0.3.0", words="starts-not")
    return device, device.keep()


@pytest.fixture
def device(installed: tuple[Device, Path]) -> Iterator[Device]:
    device, kept = installed
    yield device
    device.restore(kept)


@pytest.fixture
def installer(device: Device, tmp_path: Path) -> Iterator[Installer]:
    installer = Installer(device, tmp_path / "words")
    yield installer
    installer.close()


def switch(device: Device, release: str, words: str) -> tuple[str, ...]:
    return "activate", release, "--config", str(device.settings(words)), "--settle-s", "0"


def test_a_switch_that_is_killed_at_any_point_is_undone_or_done(device: Device, installer: Installer) -> None:
    """After `settle` all is as before, or, from the moment of its confirmation on, all is new; again, and it succeeds.

    The new release has settings of its own already, which come back, too.
    """
    (device.home / "releases/0.5.0/config/preact-edge.toml").write_text("of an earlier try\n")
    before, kept = device.seen(), device.keep("earlier")
    confirmed, at = False, 0
    while installer.killed(at := at + 1, *switch(device, "0.5.0", "new settings\n")):
        assert installer.run("settle") == 0
        seen = device.seen()
        confirmed = confirmed or seen["current"] == "0.5.0"
        if confirmed:
            assert (seen["current"], seen["running"], seen["previous"]) == ("0.5.0", "0.5.0", "releases/0.4.0"), at
            assert seen["opt/preact-edge/releases/0.5.0/config/preact-edge.toml"] == "new settings\n", at
        else:
            assert {name: text for name, text in seen.items() if "candidate" not in name} == before, at
        assert seen["pending"] == "no", at
        if at % 8 == 0:
            assert installer.run(*switch(device, "0.5.0", "new settings\n")) == 0, at
            assert device.running() == "0.5.0"
        device.restore(kept)
    assert confirmed
    assert at > 30


def test_a_selftest_that_is_run_alone_and_killed_leaves_no_device_without_service(
    device: Device, installer: Installer
) -> None:
    before, kept, stopped, at = device.seen(), device.keep("earlier"), 0, 18
    while installer.killed(at := at + 1, *switch(device, "0.5.0", "wants-accelerator\n")):
        stopped += device.running() is None
        assert installer.run("settle") == 0
        if device.current() == "0.5.0":
            break  # confirmed, as above
        assert device.seen() == before, at
        device.restore(kept)
    assert stopped > 5


def test_going_back_that_is_killed_at_any_point_is_gone_on_with(device: Device, installer: Installer) -> None:
    """Of a switch to a broken release, and of the undoing itself: whatever was done, `settle` ends it."""
    before, kept = device.seen(), device.keep("earlier")
    at = 25  # what comes before is the same for a good release
    while installer.killed(at := at + 1, *switch(device, "0.6.0", "new settings\n")):
        assert installer.run("settle") == 0
        assert device.seen() == before, at
        device.restore(kept)
    assert at > 35


def test_settle_that_is_killed_at_any_point_is_gone_on_with(device: Device, installer: Installer) -> None:
    before = device.seen()
    at = 15
    while device.current() != "0.5.0":
        installer.run("settle")
        assert installer.killed(at := at + 1, *switch(device, "0.5.0", "new settings\n"))
    kept = device.keep("earlier")
    for deed in range(1, 100):
        if not installer.killed(deed, "settle"):
            break
        assert installer.run("settle") == 0
        assert device.seen() == before, deed
        device.restore(kept)
    assert deed > 10
    assert device.seen() == before


def test_new_settings_that_are_killed_at_any_point_are_in_force_or_not_there(
    device: Device, installer: Installer
) -> None:
    before, kept = device.seen(), device.keep("earlier")
    name, at, confirmed = "opt/preact-edge/releases/0.4.0/config/preact-edge.toml", 15, False
    while installer.killed(at := at + 1, *switch(device, "0.4.0", "new settings\n")):
        assert installer.run("settle") == 0
        seen = {name: text for name, text in device.seen().items() if "candidate" not in name}
        confirmed = confirmed or seen[name] == "new settings\n"
        assert seen == ({**before, name: "new settings\n"} if confirmed else before), at
        device.restore(kept)
    assert confirmed


def test_an_install_that_is_killed_at_any_point_is_never_taken_for_whole(device: Device, installer: Installer) -> None:
    path = device.bundle("0.7.0")
    before, kept = device.seen(), device.keep("earlier")
    at, whole = 0, False
    while installer.killed(at := at + 2, "install", path):
        assert device.seen() == before, at
        listed = (device.home / "releases/0.7.0/installed.json").exists()
        whole = whole or listed
        assert listed is whole, at
        if at % 4 == 0 or whole:
            assert installer.run("install", path) == 0, at
            assert json.loads((device.home / "outcome.json").read_text())["changed"] is not whole, at
            assert not list((device.home / "releases").glob(".*")), at
            assert installer.run("activate", "0.7.0", "--settle-s", "0") == 0, at
        device.restore(kept)
    assert at > 20


def test_a_venv_that_is_made_anew_and_killed_at_any_point_keeps_the_settings(
    device: Device, installer: Installer
) -> None:
    """As after the system's Python was away: the release that is current is installed once more."""
    path = device.bundle("0.3.0")
    installer.run("rollback", "--settle-s", "0")
    (device.home / "releases/0.3.0/venv/bin/python").unlink()
    kept, at = device.keep("earlier"), 0
    while installer.killed(at := at + 4, "install", path):
        assert installer.run("install", path) == 0, at
        assert (device.home / "releases/0.3.0/config/preact-edge.toml").read_text() == "good\n", at
        assert installer.run("activate", "0.3.0", "--settle-s", "0") == 0
        device.restore(kept)
    assert at > 20
