"""Root trees to boot machines from: a Debian as an image leaves it on a fresh board, and the test's way in.

A tree is made once with mmdebstrap, from where this computer's own apt has its Debian sources (nothing of them is left
in the tree), and kept until what it is made of changes: in ``$MACHINE_CACHE``, else in ~/.cache/preact-edge.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SUITES = ("bookworm", "trixie")
ORDINARY_USER = "pi"
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "systemd-timesyncd",
    "libpam-systemd",
    "dbus",
    "udev",
    "openssh-server",
    "python3",  # and no python3-venv: a board's image has none
    "sudo",
    "iproute2",
    "procps",
    "passwd",
)
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
_APT_SETTINGS = re.compile(r"Acquire::(Check-|http::Proxy|https::)")
_SOURCES = (
    Path("/etc/apt/sources.list"),
    *(Path("/etc/apt/sources.list.d") / f"debian.{s}" for s in ("list", "sources")),
)
# Run in the finished tree. Journals outlive a reboot; a tree has no machine id, so that each copy gets its own.
_FINISH = f"""
useradd --create-home --shell /bin/bash {ORDINARY_USER}
echo '{ORDINARY_USER} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{ORDINARY_USER}
chmod 0440 /etc/sudoers.d/{ORDINARY_USER}
mkdir -p /var/log/journal
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/apt/apt.conf.d/99mmdebstrap /var/lib/apt/lists/*
rm -f /etc/resolv.conf /etc/hostname /etc/machine-id /var/lib/dbus/machine-id
"""


class TreeError(RuntimeError):
    """A root tree cannot be made here."""


def cache_folder() -> Path:
    configured = os.environ.get("MACHINE_CACHE")
    if configured:
        return Path(configured)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "preact-edge"


@dataclass(frozen=True)
class Recipe:
    """What a tree is made of: a Debian ``suite``, ``packages``, and more ``options`` of mmdebstrap."""

    suite: str
    packages: tuple[str, ...] = PACKAGES
    options: tuple[str, ...] = ()

    def make(self, tree: Path) -> None:
        """Make the tree; ``tree`` must not be there yet, its parent takes what making it needs."""
        done = subprocess.run(self._mmdebstrap(tree), capture_output=True, text=True, check=False)
        if done.returncode:
            raise TreeError(f"mmdebstrap cannot make a tree of {self.suite}: {done.stderr.strip()[-2000:]}")

    @property
    def made_from(self) -> str:
        return "\n".join((self.suite, *self.packages, *self.options, *_LEFT_OUT, _FINISH))

    def _mmdebstrap(self, tree: Path) -> list[str]:
        settings = tree.with_name("apt.conf")
        settings.write_text(_apt_settings())
        return [
            "mmdebstrap",
            *("--quiet", "--mode=root", "--variant=apt", f"--include={','.join(self.packages)}"),
            *(f"--aptopt={settings}", *self.options),
            *(f"--dpkgopt=path-exclude={path}" for path in _LEFT_OUT),
            f'--customize-hook=chroot "$1" sh -euc {shlex.quote(_FINISH)}',
            *(self.suite, str(tree)),
            *_sources(self.suite, tree.parent),
        ]


def root_tree(suite: str) -> Path:
    """The folder of ``suite``'s tree, made now where there is none: for copies, never to be booted itself."""
    recipe = Recipe(suite)
    return cached(f"tree-{suite}", recipe.made_from, recipe.make)


def cached(name: str, made_from: str, make: Callable[[Path], None]) -> Path:
    """The folder called ``name`` in the cache, that ``make`` makes where there is none made from the same."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / f"{name}-{hashlib.sha256(made_from.encode()).hexdigest()[:16]}"
    with _alone(cache, name):
        if not kept.is_dir():
            print(f"making {name}, once: a minute or some, 100 MB to fetch or more", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(dir=cache, prefix=f".making-{name}-") as scratch:
                make(made := Path(scratch) / "made")
                for other in cache.glob(f"{name}-{'[0-9a-f]' * 16}"):
                    shutil.rmtree(other)
                made.rename(kept)
    return kept


@contextmanager
def _alone(cache: Path, name: str) -> Iterator[None]:
    """One run makes it, the others wait."""
    with (cache / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _apt_settings() -> str:
    """What this computer's apt is told about reaching its sources."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return "".join(line for line in dump.splitlines(keepends=True) if _APT_SETTINGS.match(line))


def _sources(suite: str, scratch: Path) -> list[str]:
    """This computer's Debian sources, with ``suite`` in the place of its own."""
    release = Path("/etc/os-release").read_text()
    codename = re.search(r"^VERSION_CODENAME=(\w+)", release, re.MULTILINE)
    found = []
    for source in _SOURCES:
        if codename and source.is_file() and source.stat().st_size:
            copy = scratch / source.name
            copy.write_text(re.sub(rf"\b{codename[1]}\b", suite, source.read_text()))
            found.append(str(copy))
    if not found:
        raise TreeError("this computer's apt has no Debian sources to make a tree from")
    return found
