"""A booted machine: systemd as process 1 in systemd-nspawn, reached over ssh as a board would be."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from tests.machines.remote import MachineError, Remote
from tests.machines.trees import ORDINARY_USER
from tests.machines.wire import Wire
from tests.support import wait_until

BOOT_S = 60.0  # a machine is there after one second; a busy computer needs more
# Each machine has a control group of its own (folders $1): systemd in it takes that for the whole hierarchy. Whoever
# starts the machine may be killed: then nspawn is, too, and with it all that runs in the machine. An inner reboot ends
# nspawn with code 133: it is started again.
_KEEP_BOOTING = """
for group in $1; do mkdir -p "$group" && echo $$ >"$group/cgroup.procs" || exit; done
shift
while :; do code=0; setpriv --pdeathsig KILL "$@" || code=$?; [ $code = 133 ] || exit $code; done
"""
_OF_COMMANDS = re.compile(r" (sudo|sshd|sshd-session|python3|ansible-[^ ]*|systemd-logind)\[")
_NSPAWN = (
    *("systemd-nspawn", "-q", "--boot", "--register=no", "--keep-unit", "--console=read-only"),
    *("--resolv-conf=off", "--timezone=off", "--link-journal=no"),
)


class Machine(Remote):
    """A copy of ``tree`` in ``folder``, with the host name ``name``: ``boot()`` it, and in the end ``close()`` it.

    ``key`` is a private ssh key that root and an ordinary user (``pi``, with sudo) let in. ``folder``'s path must be
    short: a socket lies in it.
    """

    def __init__(self, name: str, tree: Path, folder: Path, key: Path) -> None:
        self.root = folder / "root"
        self._nspawn: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        self._wire = Wire()
        super().__init__(name, self._wire.far, folder, key)
        try:
            self._furnish(tree)
        except BaseException:
            self.close()
            raise

    @property
    def near_address(self) -> str:
        """This computer's address, as the machine sees it."""
        return self._wire.near

    def _furnish(self, tree: Path) -> None:
        subprocess.run(["cp", "-a", "--reflink=auto", str(tree), str(self.root)], check=True)
        etc = self.root / "etc"
        (etc / "hostname").write_text(f"{self.name}\n")
        (etc / "machine-id").write_text(f"{uuid.uuid4().hex}\n")
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {self.name}\n")
        public = self.key.with_name(f"{self.key.name}.pub").read_text()
        for home in (self.root / "root", self.root / "home" / ORDINARY_USER):
            self._let_in(home, public)
        self.know((etc / "ssh" / "ssh_host_ed25519_key.pub").read_text())

    @staticmethod
    def _let_in(home: Path, public: str) -> None:
        owner = home.stat()
        folder = home / ".ssh"
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / "authorized_keys").write_text(public)
        for path in (folder, folder / "authorized_keys"):
            os.chown(path, owner.st_uid, owner.st_gid)

    def boot(self) -> None:
        """Switch it on; return when ssh answers."""
        command = (
            *_NSPAWN,
            *("-D", str(self.root), f"--machine={self.name}", f"--uuid={self._id()}"),
            f"--network-namespace-path={self._wire.namespace_path}",
        )
        groups = " ".join(map(str, self._groups()))
        with (self.folder / "console.log").open("ab") as console:
            self._nspawn = subprocess.Popen(
                [*("setpriv", "--pdeathsig", "KILL", "sh", "-c", _KEEP_BOOTING, "sh", groups), *command],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env={**os.environ, "UNIFIED_CGROUP_HIERARCHY": "1"},  # as on every board, whatever this computer has
                start_new_session=True,
            )
        self.wait_for_ssh()

    def _groups(self) -> list[Path]:
        """The folders of the machine's control group: in the hierarchies by which systemd tells processes apart."""
        hierarchies = map(Path, ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"))
        return [folder / self._wire.namespace for folder in hierarchies if (folder / "cgroup.procs").is_file()]

    def _id(self) -> str:
        return (self.root / "etc" / "machine-id").read_text().strip()

    def wait_for_ssh(self, timeout: float = BOOT_S) -> None:
        super().wait_for_ssh(timeout)

    def _gone(self) -> bool:
        if self._nspawn is not None and self._nspawn.poll() is not None:
            console = (self.folder / "console.log").read_text(errors="replace")
            raise MachineError(f"{self.name} ended with code {self._nspawn.returncode}: {console[-2000:]}")
        return False

    def reboot(self) -> None:
        """As an operator would; return when ssh answers again."""
        before = self._inits()
        self.attempt("systemctl reboot")
        wait_until(lambda: self._inits() not in ([], before) or self._gone(), BOOT_S)
        self.forget_connections()
        self.wait_for_ssh()

    def cut_network(self) -> None:
        """Pull the plug: neither side is told."""
        self._wire.cut()

    def slow_down(self) -> None:
        """Until the network is joined again, what is sent to it comes at 5 MB/s."""
        self._wire.slow_down()

    def join_network(self) -> None:
        self._wire.join()
        self.forget_connections()

    def kill(self) -> None:
        """As when the power fails: all its processes end at once. What they wrote is kept, unlike on a real disk."""
        self._kill_init()
        self._wait_for_end(20.0)
        self.forget_connections()

    def power_off(self) -> None:
        """Shut it down politely; one that takes too long is killed."""
        if self._nspawn is None or self._nspawn.poll() is not None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.attempt("systemctl poweroff", timeout=20.0)
        try:
            self._wait_for_end(30.0)
        except subprocess.TimeoutExpired:
            self.kill()
        self.forget_connections()

    def _wait_for_end(self, timeout: float) -> None:
        if self._nspawn is not None:
            self._nspawn.wait(timeout)

    def _kill_init(self) -> None:
        for init in self._inits():
            with contextlib.suppress(ProcessLookupError):
                os.kill(init, signal.SIGKILL)

    def _inits(self) -> list[int]:
        """Process 1 of the machine, as this computer counts: the child of nspawn, which is the child of our shell."""
        if self._nspawn is None or self._nspawn.poll() is not None:
            return []
        return [init for nspawn in _children(self._nspawn.pid) for init in _children(nspawn)]

    def journal(self, lines: int = 150) -> str:
        """Its end, also of a machine that is off; without what each command over ssh leaves there."""
        command = ["journalctl", "-D", str(self.root / "var/log/journal"), "--no-pager", "-o", "short-precise"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        told = [line for line in done.stdout.splitlines() if not _OF_COMMANDS.search(line)]
        return "\n".join(told[-lines:])

    def close(self) -> None:
        """At once, and nothing is left of it. Idempotent."""
        self.kill()
        for group in self._groups():
            _remove_group(group)
        self._wire.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _children(process: int) -> Sequence[int]:
    try:
        words = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except FileNotFoundError:
        return ()
    return [int(word) for word in words]


def _remove_group(group: Path) -> None:
    """A control group that no process is in any more, from its leaves; one that is busy for a moment is waited for."""

    def gone() -> bool:
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        return not group.exists()

    wait_until(gone, 10.0)
