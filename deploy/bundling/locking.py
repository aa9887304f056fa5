"""Renews a lock: asks pip and apt what a target's packages are today."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from deploy.bundling import debs, locks
from deploy.bundling.errors import BundleError
from deploy.bundling.locks import Given, Lock, Wheel
from deploy.bundling.process import last_words, no_network, run
from deploy.bundling.source import build_requirements, dependencies
from deploy.bundling.targets import Target
from deploy.bundling.wheels import Say, cache, have, keep, sha256_of

OLDEST_PYTHON = "3.10"  # what builds our wheel runs on it, and on all later ones
CROSSPIP = Path(__file__).with_name("crosspip.py")


def renew(root: Path, target: Target, given: Sequence[Path], say: Say) -> list[str]:
    """Write the target's lock anew; what changed, a line each. ``given`` are files of by_hand."""
    asked = dependencies(root)
    old = locks.read(root, target.name) if locks.path_of(root, target.name).exists() else None
    lock = Lock(
        format=locks.FORMAT,
        target=target.name,
        dependencies=asked,
        constraints=target.constraints,
        wheels=_resolve(
            (*asked, "pip"), target.constraints, target.python, target.machine, list(target.platforms), say
        ),
        debs=debs.resolve(target, say),
        by_hand=tuple(_recorded(entry, old, given) for entry in _asked_by_hand(target)),
    )
    return _write(root, old, lock)


def renew_build(root: Path, say: Say) -> list[str]:
    """The same for what builds our own wheel; it is pure Python, for any machine."""
    asked = build_requirements(root)
    old = locks.read(root, locks.BUILD) if locks.path_of(root, locks.BUILD).exists() else None
    wheels = _resolve(asked, (), OLDEST_PYTHON, "any", ["any"], say)
    lock = Lock(format=locks.FORMAT, target=locks.BUILD, dependencies=asked, constraints=(), wheels=wheels)
    return _write(root, old, lock)


def _write(root: Path, old: Lock | None, lock: Lock) -> list[str]:
    path = locks.path_of(root, lock.target)
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(locks.dump(lock), encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise BundleError(f"{path}: cannot be written: {error.strerror}") from error
    return locks.differences(old, lock)


def _resolve(
    asked: Sequence[str], constraints: Sequence[str], python: str, machine: str, platforms: list[str], say: Say
) -> tuple[Wheel, ...]:
    with tempfile.TemporaryDirectory() as scratch:
        report, limits = Path(scratch, "report.json"), Path(scratch, "constraints.txt")
        limits.write_text("".join(f"{line}\n" for line in constraints), encoding="utf-8")
        options: list[str | Path] = [
            "--quiet",
            "--dry-run",
            "--ignore-installed",
            "--report",
            report,
            "-c",
            limits,
            "--retries=1",
        ]
        where = ["--target", f"{scratch}/nowhere", *(f"--platform={platform}" for platform in platforms)]
        # -I: what lies beside that script is no module for pip to find
        done = run([sys.executable, "-I", CROSSPIP, python, machine, "install", *options, *where, *asked])
        if no_network(done):
            raise BundleError(f"packages for Python {python} on {machine}: there is no network; a lock needs one")
        if done.returncode:
            raise BundleError(f"pip finds no wheels for Python {python} on {machine}: {last_words(done)}")
        items = json.loads(report.read_text(encoding="utf-8"))["install"]
    wheels = sorted((_wheel(item) for item in items), key=lambda wheel: wheel.name)
    files = have(wheels, python, platforms, say)
    pairs = zip(wheels, files, strict=True)
    return tuple(msgspec.structs.replace(wheel, size=file.stat().st_size) for wheel, file in pairs)


def _wheel(item: dict[str, dict[str, dict[str, dict[str, str]]]]) -> Wheel:
    download, metadata = item["download_info"], item["metadata"]
    file = unquote(urlsplit(str(download["url"])).path).rsplit("/", 1)[-1]
    sha256 = download["archive_info"].get("hashes", {}).get("sha256")
    if not sha256:
        raise BundleError(f"{file}: the index tells no sha256 of it; use an index that does")
    name = str(metadata["name"]).lower().replace("_", "-").replace(".", "-")
    return Wheel(name=name, version=str(metadata["version"]), file=file, sha256=sha256, size=0)


def _asked_by_hand(target: Target) -> list[Given]:
    return [Given(name=entry.name, file=entry.file, address=entry.address) for entry in target.by_hand]


def _recorded(entry: Given, old: Lock | None, given: Sequence[Path]) -> Given:
    """The entry with the hash of the given file, else with the one that the old lock knows."""
    for path in given:
        if path.name == entry.file:
            kept = keep(path, cache(), entry.file)
            sha256, size = sha256_of(kept), kept.stat().st_size
            return msgspec.structs.replace(entry, sha256=sha256, size=size)
    for before in old.by_hand if old else ():
        if before.file == entry.file:
            return msgspec.structs.replace(entry, sha256=before.sha256, size=before.size)
    return entry
