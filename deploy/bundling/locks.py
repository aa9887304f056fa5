"""A lock: which wheels and Debian packages a target's bundles have, each with its sha256.

A lock names no index: any that has these very bytes will do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from deploy.bundling.errors import BundleError

FORMAT = 1
BUILD = "build"  # the lock of what builds our own wheel


class Wheel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``size`` in bytes."""

    name: str
    version: str
    file: str
    sha256: str
    size: int


class Deb(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A package of a Debian suite; ``size`` in bytes."""

    name: str
    version: str
    file: str
    sha256: str
    size: int
    suite: str
    reason: str


class Given(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file that somebody has to fetch; ``sha256`` "" until one was given to `deploy/bundle lock`."""

    name: str
    file: str
    address: str
    sha256: str = ""
    size: int = 0


class Lock(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``dependencies`` are those of pyproject.toml that it was resolved from."""

    format: int
    target: str
    dependencies: tuple[str, ...]
    constraints: tuple[str, ...]
    wheels: tuple[Wheel, ...]
    debs: tuple[Deb, ...] = ()
    by_hand: tuple[Given, ...] = ()

    @property
    def hashes(self) -> dict[str, str]:
        """The sha256 of each file that it names."""
        found = {wheel.file: wheel.sha256 for wheel in self.wheels} | {deb.file: deb.sha256 for deb in self.debs}
        return found | {given.file: given.sha256 for given in self.by_hand}


def path_of(root: Path, target: str) -> Path:
    """Where a checkout keeps it."""
    return root / "deploy" / "locks" / f"{target}.toml"


def read(root: Path, target: str) -> Lock:
    """BundleError where there is none, or it is none of ours."""
    path = path_of(root, target)
    advice = f"make it with: deploy/bundle lock {target}"
    try:
        lock = msgspec.toml.decode(path.read_bytes(), type=Lock)
    except FileNotFoundError:
        raise BundleError(f"{path}: there is no such lock; {advice}") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise BundleError(f"{path}: is no lock: {error}; {advice}") from error
    if (lock.format, lock.target) != (FORMAT, target):
        raise BundleError(f"{path}: is of format {lock.format} for {lock.target}; {advice}")
    return lock


def dump(lock: Lock) -> str:
    """The text of the file: equal locks give equal text."""
    lines = [
        f"# Written by `deploy/bundle lock {lock.target}`, which also renews it.",
        f"format = {lock.format}",
        f"target = {_text(lock.target)}",
        f"dependencies = {_list(lock.dependencies)}",
        f"constraints = {_list(lock.constraints)}",
    ]
    for table in ("wheels", "debs", "by_hand"):
        for entry in getattr(lock, table):
            lines += ["", f"[[{table}]]"]
            lines += [f"{key} = {_text(value)}" for key, value in msgspec.structs.asdict(entry).items()]
    return "\n".join(lines) + "\n"


def differences(old: Lock | None, new: Lock) -> list[str]:
    """What changed, a line each; empty where nothing did."""
    if old == new:
        return []
    before, after = _entries(old) if old else {}, _entries(new)
    lines = [f"- {name} {before[name][0]}" for name in before if name not in after]
    for name, (version, sha256) in after.items():
        if name not in before:
            lines.append(f"+ {name} {version}")
        elif before[name][0] != version:
            lines.append(f"  {name} {before[name][0]} -> {version}")
        elif before[name][1] != sha256:
            lines.append(f"  {name} {version}: another file")
    return lines or ["  only what is asked for changed, not the files"]


def _entries(lock: Lock) -> dict[str, tuple[str, str]]:
    found = {wheel.name: (wheel.version, wheel.sha256) for wheel in lock.wheels}
    found |= {deb.name: (deb.version, deb.sha256) for deb in lock.debs}
    found |= {given.name: (given.file, given.sha256) for given in lock.by_hand}
    return dict(sorted(found.items()))


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)  # what JSON writes for these strings and numbers is TOML, too


def _list(values: tuple[str, ...]) -> str:
    if not values:
        return "[]"
    return "[\n" + "".join(f"    {_text(value)},\n" for value in values) + "]"
