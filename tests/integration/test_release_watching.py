"""A release that does worse than the one before does not stay."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("deploy.release", reason="deploy/ is not beside these tests")

from tests.release_device import GOOD, Device, rolled_back, updated_device

SOON = ("--health-s", "5")  # for what is not to be well; the start itself must be done in this time, too


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Device, Path]:
    device = updated_device(tmp_path_factory.mktemp("device"))
    return device, device.keep()


@pytest.fixture
def device(installed: tuple[Device, Path]) -> Iterator[Device]:
    device, kept = installed
    yield device
    device.restore(kept)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("starts-not", "did not start (inactive, dead; no such model)"),
        ("blind", "it is blind: a hand before it"),
        ("no-camera", "it is blind: no camera"),
        ("degraded", "it is degraded (on the CPU), what ran before was not"),
        ("restarts", "did not stay up"),
        ("other-version", "version 9.9 answers on the port, 0.5.0 should"),
        ("outbox-fails", "outbox is failed (the card) and was ok"),
        ("no-buzzer", "buzzer is off (no pin) and was ok"),
    ],
)
def test_a_bad_release_does_not_stay(device: Device, words: str, reason: str) -> None:
    before = device.seen()
    device.grow("0.5.1", like="0.5.0", words=words)
    rolled_back(device, device.activate("0.5.1", GOOD, *SOON), reason.replace("0.5.0", "0.5.1"))
    assert device.seen() == before


@pytest.mark.parametrize(("words", "reason"), [("selftest-fails", "3 of 9 boxes"), ("check-fails", "no.such: unknown")])
def test_a_release_that_fails_its_own_tests_is_never_switched_to(device: Device, words: str, reason: str) -> None:
    before = device.seen()
    device.grow("0.5.1", like="0.5.0", words=words)
    ended = device.activate("0.5.1")
    assert ended.code == 1
    assert reason in ended.told["reason"]
    assert device.seen() == before


def test_the_program_of_before_on_the_port_is_not_taken_for_the_new_one(device: Device) -> None:
    (device.home / "releases/0.4.0/config/preact-edge.toml").write_text("same-boot\n")
    rolled_back(device, device.activate("0.5.0", "same-boot\n"), "the program of before still answers")
    assert device.current() == "0.4.0"


def test_blind_is_no_worse_than_blind(device: Device) -> None:
    (device.home / "releases/0.4.0/config/preact-edge.toml").write_text("blind\n")
    ended = device.activate("0.5.0", "blind\n", *SOON)
    assert ended.code == 0, ended.said
    assert any("0.5.0 is blind" in note for note in ended.told["notes"])


def test_blind_before_is_no_leave_to_lose_the_outbox(device: Device) -> None:
    (device.home / "releases/0.4.0/config/preact-edge.toml").write_text("blind\n")
    rolled_back(
        device, device.activate("0.5.0", "blind outbox-fails\n", *SOON), "outbox is failed (the card) and was ok"
    )
    (device.home / "releases/0.4.0/config/preact-edge.toml").write_text("degraded outbox-fails\n")
    ended = device.activate("0.5.0", "blind outbox-fails\n", *SOON)
    rolled_back(device, ended, "it is blind")
    ended = device.activate("0.5.0", "degraded outbox-fails\n", *SOON)
    assert ended.code == 0, ended.said
    assert "outbox failed: the card" in ended.told["notes"]


def test_a_part_that_new_settings_turn_off_is_told(device: Device) -> None:
    ended = device.activate("0.5.0", "no-buzzer\n")
    assert ended.code == 0, ended.said
    assert "buzzer is off, and was not before: no pin" in ended.told["notes"]


def test_the_release_before_is_given_time_to_be_seen_seeing(device: Device) -> None:
    """A slow one that is taken for blind would let a blind one stay."""
    (device.home / "releases/0.4.0/config/preact-edge.toml").write_text("seen-late\n")
    rolled_back(device, device.activate("0.5.0", "blind\n", *SOON), "it is blind")


@pytest.mark.parametrize("words", ["wants-accelerator", "slow"])
def test_what_the_service_takes_from_the_selftest_is_given_to_it_for_a_moment(device: Device, words: str) -> None:
    calls = len(device.calls())
    ended = device.activate("0.5.0", f"{words}\n", "--min-fps", "4")
    assert ended.code == 0, ended.said
    assert [step["ok"] for step in ended.told["steps"] if step["name"] == "selftest"] == [False, True]
    did = [call.split()[1] for call in device.calls()[calls:] if call.startswith("systemctl") and " show " not in call]
    assert did == ["stop", "daemon-reload", "enable", "start"]
    assert device.running() == "0.5.0"


def test_an_accelerator_that_is_not_there_at_all_keeps_the_release_of_before(device: Device) -> None:
    before = device.seen()
    rolled_back(device, device.activate("0.5.0", "no-accelerator\n"), "delegate edgetpu: busy")
    assert device.seen() == before


def test_wrong_boxes_are_no_reason_to_stop_the_service(device: Device) -> None:
    ended = device.activate("0.5.0", "wants-accelerator selftest-fails\n")
    assert (ended.code, device.running()) == (1, "0.4.0")
    assert not [call for call in device.calls() if call.startswith("systemctl stop")][2:]  # those of the fixture


def test_a_first_release_that_is_bad_leaves_no_service(tmp_path: Path, installed: tuple[Device, Path]) -> None:
    device = Device(tmp_path / "new", installed[0].key)
    (device.home / "releases").mkdir(parents=True)
    subprocess.run(["cp", "-a", installed[0].home / "releases/0.3.0", device.home / "releases/0.3.0"], check=True)
    (device.home / "releases/0.3.0/config/preact-edge.toml").unlink()
    device.grow("0.4.0", like="0.3.0", words="blind")
    device.grow("0.5.0", like="0.3.0", words="no-camera")
    ended = device.activate("0.4.0", GOOD, *SOON)
    rolled_back(device, ended, "it is blind")
    assert device.seen() == {"current": None, "previous": None, "running": None, "pending": "no"}
    assert not (device.state / "enabled").exists()
    ended = device.activate("0.5.0", GOOD, *SOON)
    assert ended.code == 0, ended.said
    assert any("0.5.0 is blind: no camera" in note for note in ended.told["notes"])
