"""From a blank machine to a device, by deploy/fleet; a second run changes nothing."""

from __future__ import annotations

import json

from tests.machines.backend import Papers, first_alert, first_results
from tests.machines.control import Control, Play
from tests.machines.listing import listing
from tests.machines.nspawn import Machine
from tests.machines.releases import Releases


def test_check_mode_tells_what_it_would_do_to_a_blank_machine_and_does_nothing(
    blank: Machine, control: Control
) -> None:
    before = listing(blank, "/etc", "/opt", "/usr/local", "/var/lib")

    play = control.play("site", "--check", "--diff")

    assert play.recap["device-1"].failed == 0
    assert play.recap["device-1"].changed > 0, "a blank machine lacks everything"
    assert listing(blank, "/etc", "/opt", "/usr/local", "/var/lib") == before


def test_a_blank_machine_becomes_a_device(first_site: Play, blank: Machine, releases: Releases) -> None:
    assert first_site.recap["device-1"].failed == 0
    assert blank.run("systemctl is-active preact-edge").strip() == "active"
    assert blank.run("systemctl is-enabled preact-edge").strip() == "enabled"
    status = json.loads(blank.run("preact-edge-release status --json").splitlines()[-1])
    assert status["current"] == releases.base.release
    assert not status["pending"]


def test_a_second_run_changes_nothing(device: Machine, control: Control, times: dict[str, float]) -> None:
    before = listing(device, "/etc", "/opt/preact-edge", "/usr/local")
    started = device.run("systemctl show -p ActiveEnterTimestampMonotonic preact-edge")

    play = control.play("site")

    times["second run"] = play.seconds
    assert play.recap["device-1"].changed == 0, play.text
    assert listing(device, "/etc", "/opt/preact-edge", "/usr/local") == before
    assert device.run("systemctl show -p ActiveEnterTimestampMonotonic preact-edge") == started, "it was restarted"


def test_a_run_that_was_broken_off_before_the_restart_is_made_good(device: Machine, control: Control) -> None:
    began = "systemctl show -p ActiveEnterTimestampMonotonic preact-edge"
    started = device.run(began)
    device.run("touch /etc/preact-edge/credentials/crl.pem")

    assert control.play("site", "--tags", "certificates").recap["device-1"].changed > 0

    assert device.run(began) != started, "it still has the old list of revoked certificates"
    assert control.play("site", "--tags", "certificates").recap["device-1"].changed == 0


def test_check_mode_on_a_device_finds_nothing_to_do(device: Machine, control: Control) -> None:
    play = control.play("site", "--check", "--diff")

    assert play.recap["device-1"].changed == 0, play.text
    assert device.run("systemctl is-active preact-edge").strip() == "active"


def test_a_backend_is_given_results_and_alerts_over_mutual_tls(device: Machine, papers: Papers) -> None:
    results = first_results(device, papers)

    assert [result.status for result in results] == ["ok"] * 3
    assert first_alert(device, papers).seq


def test_secrets_are_readable_by_root_alone(device: Machine) -> None:
    readable = device.run(
        "find /etc/preact-edge/credentials /opt/preact-edge/incoming -type f -perm /044 -name '*key*'"
    )
    assert readable == ""
    settings = device.run("stat -c '%U %a' /opt/preact-edge/current/config/preact-edge.toml").split()
    assert settings[1] in ("600", "640"), "settings may name a camera's password"
