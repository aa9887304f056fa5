"""The control machine of a fleet: a checkout of its own, a key for releases, an inventory; what a user has."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.machines.remote import Remote, make_key
from tests.machines.trees import ORDINARY_USER
from tests.support import ROOT

TARGETS = {"bookworm": "debian-amd64", "trixie": "debian-trixie-amd64"}
PLAY_S = 400.0
_RECAP = re.compile(r"^(\S+)\s+: ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE)
_AUTHOR = ("-c", "user.name=tests", "-c", "user.email=tests@localhost")


class ControlError(RuntimeError):
    """A command on the control machine failed; the text has its words."""


@dataclass(frozen=True)
class Recap:
    """What Ansible counts at the end, for one device."""

    ok: int
    changed: int
    unreachable: int
    failed: int


@dataclass(frozen=True)
class Play:
    """How a playbook went; ``text`` is all that it printed."""

    code: int
    text: str
    seconds: float

    @cached_property
    def recap(self) -> Mapping[str, Recap]:
        return recap(self.text)


def recap(text: str) -> dict[str, Recap]:
    """The end of what a playbook printed, for each device."""
    return {name: Recap(*map(int, counts)) for name, *counts in _RECAP.findall(text)}


@dataclass
class Control:
    """``folder`` has the checkout in ``checkout``, and in ``site`` the inventory with all that belongs to it."""

    folder: Path
    suite: str
    key: Path
    devices: dict[str, str] = field(default_factory=dict)

    @property
    def checkout(self) -> Path:
        return self.folder / "a checkout"

    @property
    def site(self) -> Path:
        return self.folder / "site"

    @property
    def bundles(self) -> Path:
        return self.site / "bundles"

    @property
    def fleet(self) -> Path:
        """The folder of the fleet's authority."""
        return self.site / "fleet"

    @property
    def release_key(self) -> Path:
        return self.folder / "release"

    def prepare(self) -> None:
        """Everything but the bundles and the devices."""
        self.site.mkdir(parents=True)
        self._check_out()
        make_key(self.release_key)
        (self.site / "release.pub").write_text(self.release_key.with_suffix(".pub").read_text())

    def _check_out(self) -> None:
        """This checkout's files as they are now, in a repository of their own."""
        listing = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listing, capture_output=True, check=True).stdout.decode().split("\0")
        there = "\0".join(name for name in names if name and (ROOT / name).is_file())
        self.checkout.mkdir()
        packed = ["tar", "-c", "-C", str(ROOT), "--null", "-T", "-"]
        archive = subprocess.run(packed, input=there.encode(), capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", str(self.checkout)], input=archive, check=True)
        self.git("init", "-q")
        self.commit(self.checkout, "a release")

    def git(self, *words: str) -> None:
        self.do(["git", "-C", str(self.checkout), *words])

    def commit(self, checkout: Path, message: str) -> None:
        self.do(["git", "-C", str(checkout), "add", "--all"])
        self.do(["git", "-C", str(checkout), *_AUTHOR, "commit", "-q", "-m", message])

    def do(self, command: Sequence[str | os.PathLike[str]], timeout: float = PLAY_S) -> str:
        """What a command printed, which must go well."""
        done = self._run(command, timeout)
        if done.returncode:
            raise ControlError(f"{' '.join(map(str, command))}: code {done.returncode}: {done.stdout}")
        return done.stdout

    def add(self, machine: Remote, *words: str) -> None:
        """One line of inventory for a machine; ``words`` are variables of its own."""
        self.devices[machine.name] = " ".join(
            (
                f"{machine.name} ansible_host={machine.address} ansible_user={ORDINARY_USER}",
                f"ansible_ssh_private_key_file={machine.key}",
                f'ansible_ssh_common_args="-o UserKnownHostsFile={machine.known_hosts}"',
                *words,
            )
        )

    def write_inventory(self, variables: str, canary: str = "") -> Path:
        """The inventory with all devices; ``variables`` is what group_vars/all.yml says."""
        hosts = self.site / "hosts"
        groups = ["[preact_edge]", *self.devices.values(), *(["[canary]", canary] if canary else [])]
        hosts.write_text("\n".join(groups) + "\n")
        (self.site / "group_vars").mkdir(exist_ok=True)
        (self.site / "group_vars" / "all.yml").write_text(f"---\n{variables}")
        return hosts

    def play(self, playbook: str, *options: str, expect: int | None = 0, timeout: float = PLAY_S) -> Play:
        """``deploy/fleet PLAYBOOK``; ControlError where its code is not ``expect`` (None: any)."""
        began = time.monotonic()
        command = ["deploy/fleet", playbook, "-i", str(self.site / "hosts"), *options]
        done = self._run(command, timeout)
        play = Play(done.returncode, done.stdout, time.monotonic() - began)
        if expect is not None and play.code != expect:
            raise ControlError(f"{' '.join(command)}: code {play.code}, not {expect}:\n{play.text}")
        return play

    def start(self, playbook: str, *options: str, log: Path) -> subprocess.Popen[bytes]:
        """The same in the background, its words in ``log``."""
        with log.open("wb") as file:
            return subprocess.Popen(
                ["deploy/fleet", playbook, "-i", str(self.site / "hosts"), *options],
                cwd=self.checkout,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def environment(self) -> dict[str, str]:
        """This computer's, with nothing of this test run's Python; Ansible keeps its files in the folder."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON", "TEST_"))
        }
        return {**kept, "ANSIBLE_HOME": str(self.folder / ".ansible"), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}

    def _run(self, command: Sequence[str | os.PathLike[str]], timeout: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.checkout,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
