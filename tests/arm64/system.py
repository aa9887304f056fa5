"""A Debian of 64-bit ARM as a Raspberry Pi has it, and how a program is run in it: no network, no systemd."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.machines.trees import Recipe, cached

# An image of Raspberry Pi OS has apt's numpy, and no python3-venv.
PACKAGES = ("openssh-client", "passwd", "procps", "python3", "python3-numpy", "sudo")
LIMIT_S = 900.0  # for one command: tens of times slower than a board
# A Raspberry Pi 4's processor and a Pi 5's. QEMU's own choice has all features there are, and in QEMU 7.2 one of them
# counts wrongly: LiteRT then finds nothing.
PROCESSORS = ("cortex-a72", "cortex-a76")
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_RULE = "qemu-aarch64"
_FIXED_BINARY = Path("/usr/lib/binfmt.d") / f"{_RULE}.conf"  # the emulator is opened once, outside of every tree


class EmulationError(RuntimeError):
    """A command in the system failed; the text has its words."""


@contextlib.contextmanager
def emulated() -> Iterator[None]:
    """While the block lasts, the kernel runs programs for 64-bit ARM by QEMU. What was so before stays so."""
    with contextlib.ExitStack() as stack:
        if not (_BINFMT / "register").exists():
            subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(_BINFMT)], check=True)
            stack.callback(subprocess.run, ["umount", str(_BINFMT)], check=True)
        if not (_BINFMT / _RULE).exists():
            (_BINFMT / "register").write_text(_FIXED_BINARY.read_text().strip())
            stack.callback((_BINFMT / _RULE).write_text, "-1")
        yield


def system_tree() -> Path:
    """The folder of the system, made now where there is none: for copies. Needs ``emulated()``."""
    recipe = Recipe("bookworm", PACKAGES, ("--architectures=arm64",))
    return cached("tree-bookworm-arm64", recipe.made_from, recipe.make)


class System:
    """A copy of ``tree`` at ``root``."""

    def __init__(self, tree: Path, root: Path) -> None:
        self.root = root
        subprocess.run(["cp", "-a", "--reflink=auto", str(tree), str(root)], check=True)

    def bring_installer(self, checkout: Path, signers: Path) -> None:
        """Put there what the role preact_edge puts there: the installer, its command, the keys it trusts."""
        installer = checkout / "deploy" / "release"
        tool = self.root / "opt/preact-edge/tool/release"
        tool.mkdir(parents=True)
        for path in installer.glob("*.py"):
            shutil.copy(path, tool)
        shutil.copy(installer / "preact-edge-release", self.root / "usr/local/sbin")
        (self.root / "etc/preact-edge").mkdir()
        key = " ".join(signers.read_text().split()[:2])
        (self.root / "etc/preact-edge/release-signers").write_text(f'release namespaces="preact-edge-release" {key}\n')

    def attempt(
        self, *command: str, brought: Path | None = None, processor: str = PROCESSORS[0]
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root, with nothing but a loopback network; ``brought`` is at /brought, read-only."""
        nspawn = ["systemd-nspawn", "-q", "--register=no", "--keep-unit", "--private-network", "--pipe", "--as-pid2"]
        binding = [f"--bind-ro={str(brought).replace(':', chr(92) + ':')}:/brought"] if brought else []
        words = ["--resolv-conf=off", "--timezone=off", "--setenv=LC_ALL=C.UTF-8", f"--setenv=QEMU_CPU={processor}"]
        return subprocess.run(
            ["nice", *nspawn, *words, *binding, "-D", str(self.root), *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def run(self, *command: str, processor: str = PROCESSORS[0]) -> str:
        """What the command printed; EmulationError where it failed."""
        done = self.attempt(*command, processor=processor)
        if done.returncode:
            raise EmulationError(f"{' '.join(command)}: code {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def install(self, bundle: Path) -> dict[str, Any]:
        """``preact-edge-release install BUNDLE``: the outcome, which may be a refusal."""
        done = self.attempt("preact-edge-release", "install", "/brought", "--json", brought=bundle)
        if not done.stdout:
            raise EmulationError(f"install told nothing, code {done.returncode}: {done.stderr}")
        outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return outcome
