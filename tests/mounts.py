"""Scenes on disks of their own: each in a program with mounts that are private to it and gone with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

UNSHARE = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")))


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def small_disk(folder: Path) -> None:
    mount("-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder))


def fill(folder: Path) -> Path:
    """A file that takes all the room that is left."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 1024)
        except OSError:
            return filler


def run_with_own_mounts(module: str, *arguments: str, timeout: float = 100.0) -> None:
    """Run ``module`` so, warnings being errors; skips where this user may not."""
    if subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make a mount namespace, which this user or container does not have")
    command = [*UNSHARE, sys.executable, "-W", "error", "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=timeout)
    assert done.returncode == 0, done.stderr
