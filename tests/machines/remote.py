"""A machine as an operator has it: something that answers ssh."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

from tests.support import wait_until


class MachineError(RuntimeError):
    """A machine did not do what it was told; the text has its words."""


class Remote:
    """The machine called ``name`` at ``address``; ``folder`` takes what belongs to its connections.

    ``key`` is a private ssh key that its users let in. ``folder``'s path must be short: a socket lies in it.
    """

    def __init__(self, name: str, address: str, folder: Path, key: Path, *, port: int = 22) -> None:
        self.name, self.address, self.folder, self.key, self.port = name, address, folder, key, port
        self.known_hosts = folder / "known_hosts"

    def know(self, host_key: str) -> None:
        """From now on the machine at the address must have this key: a line of a .pub file."""
        place = self.address if self.port == 22 else f"[{self.address}]:{self.port}"
        self.known_hosts.write_text(f"{place} {' '.join(host_key.split()[:2])}\n")

    @property
    def ssh_options(self) -> list[str]:
        """For ssh and scp: the port, the key, and the one host key that is right."""
        options = (
            *(f"Port={self.port}", "IdentitiesOnly=yes", f"UserKnownHostsFile={self.known_hosts}"),
            *("StrictHostKeyChecking=yes", "BatchMode=yes"),
        )
        return ["-i", str(self.key), *(word for option in options for word in ("-o", option))]

    def attempt(self, command: str, *, user: str = "root", timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run ``command`` with the machine's sh; what it ended with, 255 where ssh did not get through."""
        ssh = ["ssh", "-q", *self.ssh_options, *self._kept(), f"{user}@{self.address}", command]
        with (self.folder / "stderr").open("w+") as errors:  # no pipe: the connection that is kept would hold it open
            done = subprocess.run(
                ssh, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, timeout=timeout, check=False
            )
            errors.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), errors.read())

    def _kept(self) -> list[str]:
        """One connection for all commands, given up soon when the machine is gone."""
        kept = ("ControlMaster=auto", "ControlPersist=60", f"ControlPath={self.folder}/ssh-%r", "ConnectTimeout=5")
        alive = ("ServerAliveInterval=5", "ServerAliveCountMax=2")
        return [word for option in (*kept, *alive) for word in ("-o", option)]

    def run(self, command: str, *, user: str = "root", timeout: float = 60.0) -> str:
        """What ``command`` printed; MachineError where it failed."""
        done = self.attempt(command, user=user, timeout=timeout)
        if done.returncode:
            raise MachineError(f"{self.name}: {command}: code {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def wait_for_ssh(self, timeout: float) -> None:
        wait_until(lambda: self._answers() or self._gone(), timeout)

    def _answers(self) -> bool:
        """Whether a command gets through within 10 s."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.attempt("true", timeout=10).returncode == 0
        return False

    def _gone(self) -> bool:
        """Whether to wait no longer; MachineError says why."""
        return False

    def forget_connections(self) -> None:
        """The next command goes over a new connection."""
        for control in self.folder.glob("ssh-*"):
            stop = ["ssh", "-q", "-O", "exit", "-o", f"ControlPath={control}", self.address]
            subprocess.run(stop, check=False, capture_output=True)
            control.unlink(missing_ok=True)


def make_key(path: Path) -> Path:
    """A fresh Ed25519 key without a password, its public half beside it."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tests", "-f", str(path)], check=True)
    return path
