"""The switch to another release or to other settings, and back by itself where that goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("deploy.release", reason="deploy/ is not beside these tests")

from tests.release_device import GOOD, Device, rolled_back, updated_device
from tests.support import wait_until


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Device, Path]:
    device = updated_device(tmp_path_factory.mktemp("device"))
    return device, device.keep()


@pytest.fixture
def device(installed: tuple[Device, Path]) -> Iterator[Device]:
    device, kept = installed
    yield device
    device.restore(kept)


def test_a_good_release_runs_and_the_one_before_is_kept_for_a_way_back(device: Device) -> None:
    ended = device.activate("0.5.0", "good too\n")
    assert ended.code == 0, ended.said
    assert ended.told["changed"] is True
    assert (ended.told["release"], ended.told["previous"]) == ("0.5.0", "0.4.0")
    seen = device.seen()
    assert (seen["current"], seen["previous"], seen["running"]) == ("0.5.0", "releases/0.4.0", "0.5.0")
    assert seen["opt/preact-edge/releases/0.5.0/config/preact-edge.toml"] == "good too\n"
    assert seen["opt/preact-edge/releases/0.4.0/config/preact-edge.toml"] == GOOD
    assert "# of 0.5.0" in str(seen["etc/systemd/system/preact-edge.service"])
    assert seen["pending"] == "no"
    assert (device.state / "enabled").exists()


def test_a_second_time_nothing_is_done(device: Device) -> None:
    before, calls = device.seen(), len(device.calls())
    ended = device.activate("0.4.0")
    assert ended.code == 0
    assert ended.told["changed"] is False
    assert device.seen() == before
    assert not [call for call in device.calls()[calls:] if " show " not in call]


def test_a_release_that_runs_not_is_started_by_activating_it(device: Device) -> None:
    (device.state / "active").unlink()
    ended = device.activate("0.4.0")
    assert (ended.code, ended.told["changed"], device.running()) == (0, True, "0.4.0")


def test_settings_that_do_not_work_are_given_up_for_those_of_before(device: Device) -> None:
    before = device.seen()
    rolled_back(device, device.activate("0.4.0", "starts-not\n"), "did not start")
    assert device.seen() == before
    ended = device.activate("0.4.0", "check-fails\n")
    assert ended.code == 1
    assert device.seen() == before


def test_configure_gives_the_current_release_other_settings(device: Device) -> None:
    ended = device.run("configure", "--config", device.settings("other\n"), "--settle-s", "0")
    assert ended.code == 0, ended.said
    seen = device.seen()
    assert seen["opt/preact-edge/releases/0.4.0/config/preact-edge.toml"] == "other\n"
    assert (seen["current"], seen["previous"]) == ("0.4.0", "releases/0.3.0")
    again = device.run("configure", "--config", device.settings("other\n"))
    assert (again.code, again.told["changed"]) == (0, False)


def test_rollback_goes_back_with_the_settings_of_that_release(device: Device) -> None:
    device.activate("0.5.0", "new key\n")
    ended = device.run("rollback", "--settle-s", "0")
    assert ended.code == 0, ended.said
    seen = device.seen()
    assert (seen["current"], seen["previous"], seen["running"]) == ("0.4.0", "releases/0.5.0", "0.4.0")
    assert seen["opt/preact-edge/releases/0.4.0/config/preact-edge.toml"] == GOOD
    ended = device.run("rollback", "0.3.0", "--settle-s", "0")
    assert (ended.code, device.running()) == (0, "0.3.0")


def test_a_new_release_takes_over_the_settings_where_none_are_given(device: Device) -> None:
    ended = device.activate("0.5.0", None)
    assert ended.code == 0, ended.said
    assert device.seen()["opt/preact-edge/releases/0.5.0/config/preact-edge.toml"] == GOOD
    assert any("takes over the settings of 0.4.0" in note for note in ended.told["notes"])


def test_what_is_missing_is_named_before_anything_changes(device: Device) -> None:
    before = device.seen()
    for arguments, reason in (
        (("9.9",), "9.9 is not installed (there are: 0.3.0, 0.4.0, 0.5.0)"),
        (("../../etc",), "is no release"),
        (("0.5.0", "--config", str(device.root / "none.toml")), "none.toml cannot be read"),
    ):
        ended = device.run("activate", *arguments)
        assert ended.code == 1
        assert reason in ended.told["reason"]
    (device.root / "etc/preact-edge/credentials/device.pem").unlink()
    ended = device.activate("0.5.0")
    assert "device.pem is missing" in ended.told["reason"]
    assert device.seen() == before


def test_low_voltage_keeps_from_an_update_and_not_from_going_back(device: Device) -> None:
    state = device.root / "sys/devices/platform/soc/soc:firmware/get_throttled"
    state.parent.mkdir(parents=True)
    state.write_text("1\n")
    assert "voltage is too low" in device.activate("0.5.0").told["reason"]
    ended = device.run("rollback", "--settle-s", "0")
    assert (ended.code, device.running()) == (0, "0.3.0")


def test_an_outbox_whose_format_rises_is_copied_and_comes_back(device: Device) -> None:
    device.grow("0.6.0", like="0.5.0", outbox_format=2)
    ended = device.activate("0.6.0")
    assert ended.code == 0, ended.said
    copy = device.root / "var/lib/preact-edge/before-0.6.0.outbox"
    assert copy.read_text() == "1\n"
    assert any("format rises from 1 to 2" in note and str(copy) in note for note in ended.told["notes"])


@pytest.mark.parametrize("converted", [True, False])
def test_the_outbox_of_before_is_put_back_only_where_it_must_be(device: Device, converted: bool) -> None:
    device.grow("0.6.0", like="0.5.0", words="blind", outbox_format=2)
    script = (device.home / "releases/0.6.0/venv/bin/preact-edge").read_text()
    run = f'    run) echo {2 if converted else 1} >"$state/outbox" ;;\n    run)'
    (device.home / "releases/0.6.0/venv/bin/preact-edge").write_text(script.replace("    run)", run))
    ended = device.activate("0.6.0", GOOD, "--health-s", "5")
    rolled_back(device, ended, "it is blind")
    assert (device.state / "outbox").read_text() == "1\n"
    assert any("the outbox is that of before" in note for note in ended.told["notes"]) is converted


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGHUP])
def test_an_end_that_is_asked_for_gives_back_what_was(device: Device, which: signal.Signals) -> None:
    before = device.seen()
    config = str(device.settings())
    command = device.command("activate", "0.5.0", "--config", config, "--settle-s", "60", "--json")
    process = subprocess.Popen(command, env=device.environ(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    wait_until(lambda: device.running() == "0.5.0", 60)
    process.send_signal(which)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert which.name in json.loads(out)["reason"]
    assert device.seen() == before


def test_only_one_at_a_time_and_the_guard_waits_for_its_end(device: Device) -> None:
    command = device.command("activate", "0.5.0", "--config", str(device.settings()), "--settle-s", "60")
    with subprocess.Popen(command, env=device.environ(), stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: device.running() == "0.5.0", 60)
        busy = device.run("settle", "--wait", "0.2")
        assert busy.code == 1
        assert f"another action runs (activate, process {process.pid})" in busy.told["reason"]
        guard = subprocess.Popen(device.command("settle", "--wait", "60"), env=device.environ())
        process.kill()
    assert guard.wait(60) == 0
    assert (device.current(), device.running()) == ("0.4.0", "0.4.0")
    told = json.loads((device.home / "outcome.json").read_text())
    assert (told["action"], told["release"], told["rolled_back"]) == ("settle", "0.5.0", True)


def test_the_switch_is_guarded_by_a_process_of_its_own(device: Device) -> None:
    assert device.activate("0.5.0").code == 0
    guards = [call for call in device.calls() if "--unit=preact-edge-guard" in call]
    assert guards[-1].endswith("settle --wait 3600")


def test_going_back_that_cannot_be_ended_starts_the_service_and_is_tried_again(device: Device) -> None:
    before, unit = device.seen(), device.root / "etc/systemd/system/preact-edge.service"
    pending = {"action": "activate", "release": "0.5.0", "back_to": "0.4.0", "previous": "0.3.0", "began": 0}
    (device.home / "pending.json").write_text(json.dumps({**pending, "had_settings": False, "outbox_copy": None}))
    (device.home / "current").unlink()
    (device.home / "current").symlink_to("releases/0.5.0")
    text = unit.read_text()
    unit.unlink()
    (unit / "in the way").mkdir(parents=True)
    ended = device.run("settle")
    assert ended.code == 1
    assert "going back is not complete" in ended.told["reason"]
    assert (device.current(), device.running()) == ("0.4.0", "0.4.0")
    assert (device.home / "pending.json").exists()
    (unit / "in the way").rmdir()
    unit.rmdir()
    assert device.run("settle").code == 0
    assert unit.read_text() == text
    assert device.seen() == before


def test_a_note_of_a_switch_that_is_damaged_is_told_and_keeps_from_nothing(device: Device) -> None:
    (device.home / "pending.json").write_text('{"release": "0.5.0"}')
    assert device.run("settle").code == 0
    names = [problem["name"] for problem in device.run("doctor").told["problems"]]
    assert "pending" in names
    assert device.activate("0.5.0").code == 0
    assert device.seen()["pending"] == "no"


def test_figures_of_the_selftest_are_kept(device: Device) -> None:
    device.activate("0.5.0", GOOD, "--min-fps", "4")
    record = json.loads((device.home / "releases/0.5.0/installed.json").read_text())
    assert record["selftest"]["fps"] == {"golden": 20.5}
    assert any("selftest --json --min-fps 4 -c" in call for call in device.calls())


def test_older_releases_go_and_those_that_may_come_back_stay(device: Device) -> None:
    for number in range(5):
        device.grow(f"0.5.{number + 1}", like="0.5.0")
    ended = device.activate("0.5.5", GOOD, "--keep", "2")
    assert ended.code == 0, ended.said
    left = sorted(path.name for path in (device.home / "releases").iterdir())
    assert {"0.4.0", "0.5.5"} <= set(left)
    assert len(left) <= 4
    assert os.readlink(device.home / "previous") == "releases/0.4.0"


def test_a_disk_that_takes_no_outcome_keeps_no_bad_release(device: Device) -> None:
    before = device.seen()
    pending = {"action": "activate", "release": "0.5.0", "back_to": "0.4.0", "previous": "0.3.0", "began": 0}
    (device.home / "pending.json").write_text(json.dumps({**pending, "had_settings": False, "outbox_copy": None}))
    (device.home / "current").unlink()
    (device.home / "current").symlink_to("releases/0.5.0")
    (device.home / ".outcome.json.part/in the way").mkdir(parents=True)
    ended = device.run("settle")
    assert ended.code == 0, ended.said
    assert "outcome.json cannot be written" in ended.said
    assert device.seen() == before


def test_what_was_cut_off_before_and_is_undone_now_is_a_change(device: Device) -> None:
    pending = {"action": "activate", "release": "0.5.0", "back_to": "0.4.0", "previous": "0.3.0", "began": 0}
    (device.home / "pending.json").write_text(json.dumps({**pending, "had_settings": False, "outbox_copy": None}))
    ended = device.activate("0.4.0")
    assert (ended.code, ended.told["changed"]) == (0, True)


def test_an_older_release_that_cannot_be_removed_is_only_a_note(device: Device) -> None:
    (device.root / "var/lib/preact-edge/before-0.1.0.outbox/in the way").mkdir(parents=True)
    ended = device.activate("0.5.0")
    assert (ended.code, device.running()) == (0, "0.5.0"), ended.said
    assert any("older releases could not be removed" in note for note in ended.told["notes"])


def test_nobody_else_can_hold_the_lock(device: Device) -> None:
    lock = device.home / ".lock"
    lock.chmod(0o644)
    device.run("settle")
    assert lock.stat().st_mode & 0o777 == 0o600
