"""The service on its machine: in its sandbox, behind its door, and up again whatever happens to it."""

from __future__ import annotations

import re
import socket
import ssl
import time

import pytest

from tests.chaos.clients import Client
from tests.machines.backend import PORT, Papers, first_results
from tests.machines.control import Control
from tests.machines.nspawn import Machine
from tests.support import wait_until


def main_process(machine: Machine) -> int:
    return int(machine.run("systemctl show -p MainPID --value preact-edge"))


def restarts(machine: Machine) -> int:
    return int(machine.run("systemctl show -p NRestarts --value preact-edge"))


def first_byte(address: str, context: ssl.SSLContext) -> bytes:
    """What the device says first; ConnectionResetError where it closes without a word."""
    with socket.create_connection((address, PORT), timeout=10) as plain, context.wrap_socket(plain) as secure:
        if byte := secure.recv(1):
            return byte
        raise ConnectionResetError("it closed without a word")


def gives_more(client: Client, timeout: float = 60.0) -> None:
    """The client that follows the device is given an alert that it had not."""
    before = client.events
    wait_until(lambda: client.events > before, timeout)


def test_it_runs_in_its_sandbox(device: Machine) -> None:
    verdict = device.run("systemd-analyze security --no-pager preact-edge")
    exposure = re.search(r"Overall exposure level for preact-edge\.service: ([\d.]+)", verdict)
    assert exposure
    assert float(exposure[1]) <= 1.6
    status = device.run(f"cat /proc/{main_process(device)}/status")
    assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    assert not re.search(r"^Uid:\s+0\b", status, re.MULTILINE)


def test_a_client_without_a_certificate_is_refused(device: Machine, papers: Papers) -> None:
    context = ssl.create_default_context(cafile=papers.ca)
    context.check_hostname = False
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        first_byte(device.address, context)


def test_a_client_of_another_fleet_is_refused(device: Machine, papers: Papers, control: Control) -> None:
    other = control.folder / "other fleet"
    command = control.checkout / ".venv" / "bin" / "preact-edge"
    control.do([command, "certs", "ca", other])
    control.do([command, "certs", "backend", other, "desk", "--role", "control"])
    stranger = Papers(papers.ca, other / "backend-desk.pem", other / "backend-desk.key")

    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        first_byte(device.address, stranger.tls("device-1").context())


def test_nothing_listens_that_needs_no_certificate(device: Machine) -> None:
    listening = device.run("ss -Hltn").splitlines()
    ports = {line.split()[3].rsplit(":", 1)[1] for line in listening}
    assert ports == {"22", str(PORT)}


def test_a_reboot_needs_no_hands(device: Machine, papers: Papers, client: Client, times: dict[str, float]) -> None:
    began = time.monotonic()
    device.reboot()
    first_results(device, papers)
    times["reboot, to the first result"] = time.monotonic() - began
    gives_more(client)
    assert device.run("systemctl --failed --no-legend").strip() == ""


def test_a_killed_program_is_started_again(device: Machine, papers: Papers, client: Client) -> None:
    before, count = main_process(device), restarts(device)
    device.run(f"kill -9 {before}")
    wait_until(lambda: main_process(device) not in (0, before), 30)
    first_results(device, papers)
    gives_more(client)
    assert restarts(device) == count + 1


def test_what_silences_the_pin_runs_when_the_program_dies(device: Machine) -> None:
    device.run("systemctl kill -s KILL --kill-whom=main preact-edge")
    wait_until(lambda: device.run("systemctl is-active preact-edge || true").strip() == "active", 30)
    ended = device.run("systemctl show -p ExecStopPost --value preact-edge")
    assert "buzzer off" in ended
    assert re.search(r"status=0", ended), ended


def test_a_program_that_hangs_is_ended_by_the_watchdog_and_started_again(
    device: Machine, papers: Papers, client: Client, times: dict[str, float]
) -> None:
    before, began = main_process(device), time.monotonic()
    device.run(f"kill -STOP {before}")
    wait_until(lambda: main_process(device) not in (0, before), 90)
    first_results(device, papers)
    times["hang, to the first result"] = time.monotonic() - began
    gives_more(client)
    assert "Watchdog timeout" in device.run("journalctl -u preact-edge --no-pager -n 200")
