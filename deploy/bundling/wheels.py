"""Locked wheels, fetched once into a folder that is kept; a second build needs no network."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

from deploy.bundling.errors import BundleError
from deploy.bundling.locks import Wheel
from deploy.bundling.process import last_words, no_network, run

Say: TypeAlias = Callable[[str], None]


def cache() -> Path:
    """The folder that is kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(home) / "preact-edge" / "wheels"


def sha256_of(path: Path) -> str:
    """Hexadecimal; raises OSError."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def keep(found: Path, folder: Path, name: str) -> Path:
    """Copy a file into the folder in one step, under this name; BundleError where that cannot be done."""
    kept = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{name}.", delete=False) as part:
            try:
                with found.open("rb") as source:
                    while chunk := source.read(1 << 20):
                        part.write(chunk)
                part.close()
                os.replace(part.name, kept)
            except BaseException:
                os.unlink(part.name)
                raise
    except OSError as error:
        raise BundleError(f"{kept}: cannot be written: {error.strerror}; XDG_CACHE_HOME=DIR names another") from error
    return kept


def have(wheels: Iterable[Wheel], python: str, platforms: Iterable[str], say: Say) -> list[Path]:
    """The files of these wheels, in their order, each checked; fetches those that are not there.

    A size of 0 is not known yet.
    """
    folder = cache()
    asked = list(wheels)
    missing = [wheel for wheel in asked if not _is_there(folder / wheel.file, wheel)]
    for number, wheel in enumerate(missing, 1):
        size = f", {wheel.size / 1e6:.1f} MB" if wheel.size else ""
        say(f"fetching {number}/{len(missing)} {wheel.file}{size}")
        _fetch(wheel, python, platforms, folder)
    return [folder / wheel.file for wheel in asked]


def _is_there(path: Path, wheel: Wheel) -> bool:
    try:
        return wheel.size in (0, path.stat().st_size) and sha256_of(path) == wheel.sha256
    except OSError:
        return False


def _fetch(wheel: Wheel, python: str, platforms: Iterable[str], folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        wanted = Path(scratch, "wanted.txt")
        wanted.write_text(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
        options = ["--require-hashes", "--no-deps", "--only-binary=:all:", "--progress-bar=off", "--retries=1"]
        where = ["--python-version", python, *(f"--platform={platform}" for platform in platforms)]
        done = run(
            [sys.executable, "-m", "pip", "download", "--dest", f"{scratch}/got", "-r", wanted, *options, *where]
        )
        found = Path(scratch, "got", wheel.file)
        if done.returncode or not found.exists():
            raise BundleError(_why(wheel, done, folder))
        keep(found, folder, wheel.file)


def _why(wheel: Wheel, done: subprocess.CompletedProcess[str], folder: Path) -> str:
    if "DO NOT MATCH THE HASHES" in done.stderr:
        return f"{wheel.file}: the index has another file than the lock names; do not use it before you know why"
    if no_network(done):
        return f"{wheel.file}: is not in {folder} and there is no network; build once with one, or copy it there"
    words = last_words(done)
    return f"{wheel.file}: cannot be fetched ({words}); copy it into {folder}, or renew the lock: deploy/bundle lock"
