"""Root trees to boot machines from: a Debian as an image leaves it on a fresh board, and the test's way in.

A tree is made once with mmdebstrap, from where this computer's own apt has its Debian sources (nothing of them is left
in the tree), and kept until what it is made of changes: in ``$MACHINE_CACHE``, else in ~/.cache/preact-edge.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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


def root_tree(suite: str) -> Path:
    """The folder of ``suite``'s tree, made now where there is none: for copies, never to be booted itself."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    tree = cache / f"tree-{suite}-{_fingerprint(suite)}"
    with _alone(cache, suite):
        if not tree.is_dir():
            _make(suite, tree)
    return tree


def _fingerprint(suite: str) -> str:
    made_from = "\n".join((suite, *PACKAGES, *_LEFT_OUT, _FINISH))
    return hashlib.sha256(made_from.encode()).hexdigest()[:16]


@contextmanager
def _alone(cache: Path, suite: str) -> Iterator[None]:
    """One run makes a tree, the others wait for it."""
    with (cache / f".tree-{suite}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(suite: str, tree: Path) -> None:
    print(f"making a root tree of {suite}, once: about a minute, 100 MB to fetch", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=tree.parent, prefix=f".making-{suite}-") as folder:
        scratch = Path(folder)
        made = scratch / "tree"
        done = subprocess.run(_mmdebstrap(suite, made, scratch), capture_output=True, text=True, check=False)
        if done.returncode:
            raise TreeError(f"mmdebstrap cannot make a tree of {suite}: {done.stderr.strip()[-2000:]}")
        for other in tree.parent.glob(f"tree-{suite}-*"):
            shutil.rmtree(other)
        made.rename(tree)


def _mmdebstrap(suite: str, tree: Path, scratch: Path) -> list[str]:
    settings = scratch / "apt.conf"
    settings.write_text(_apt_settings())
    return [
        "mmdebstrap",
        *("--quiet", "--mode=root", "--variant=apt", f"--include={','.join(PACKAGES)}", f"--aptopt={settings}"),
        *(f"--dpkgopt=path-exclude={path}" for path in _LEFT_OUT),
        f'--customize-hook=chroot "$1" sh -euc {_quoted(_FINISH)}',
        *(suite, str(tree)),
        *_sources(suite, scratch),
    ]


def _quoted(script: str) -> str:
    return "'" + script.replace("'", "'\\''") + "'"


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
