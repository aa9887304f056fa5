"""The checkout that is bundled: its commit, its files, and our own wheel, made of them reproducibly."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from deploy.bundling.errors import BundleError
from deploy.bundling.process import last_words, run, sealed

# Whatever goes into a bundle, or decides what does.
PARTS = (
    "pyproject.toml", "README.md", "edge", "models",
    "deploy/bundling", "deploy/locks", "deploy/release", "deploy/systemd",
)  # fmt: skip
NO_GIT = "bundle a git clone, or give --label NAME and SOURCE_DATE_EPOCH, the seconds since 1970 that it is to bear"


@dataclasses.dataclass(frozen=True)
class Checkout:
    """``commit`` in full, with -dirty where files differ from it; ``date`` in seconds since 1970."""

    root: Path
    commit: str
    date: int
    files: tuple[str, ...]

    @property
    def stamp(self) -> str:
        """The date as a manifest has it."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.date))


def checkout(root: Path, label: str) -> Checkout:
    """BundleError where it is no clean checkout and there is no label that would tell it from one."""
    top = run(["git", "-C", root, "rev-parse", "--show-toplevel"], missing="install git")
    if top.returncode or Path(top.stdout.strip()).resolve() != root.resolve():
        return _without_git(root, label)
    # All that is said here whatever this user's own settings of git are: they may hide new files.
    changed = _git(root, "status", "--porcelain", "--untracked-files=all", "--", *PARTS).splitlines()
    if changed and not label:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise BundleError(
            f"{root}: {changed[0][3:]}{more} differ from the commit; commit them, or give --label NAME, "
            "which marks the release as one that no commit has"
        )
    commit, seconds = _git(root, "log", "-1", "--no-show-signature", "--format=%H %ct").split()
    names = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PARTS).split("\0")
    files = tuple(sorted({name for name in names if name and (root / name).is_file()}))
    return Checkout(root, commit + ("-dirty" if changed else ""), _epoch(seconds), files)


def dependencies(root: Path) -> tuple[str, ...]:
    """What pyproject.toml says the program needs."""
    return tuple(_pyproject(root)["project"]["dependencies"])


def build_requirements(root: Path) -> tuple[str, ...]:
    """What pyproject.toml says its build needs."""
    return tuple(_pyproject(root)["build-system"]["requires"])


def build_wheel(source: Checkout, tools: Sequence[Path], work: Path) -> Path:
    """Our own wheel, made with these tools and nothing else, in the folder ``work``; needs no network."""
    tree, house = work / "tree", work / "tools"
    for name in source.files:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.root / name, tree / name)
    house.mkdir()
    for tool in tools:
        (house / tool.name).symlink_to(tool)
    options: list[str | Path] = [
        "--no-deps",
        "--no-index",
        "--find-links",
        house,
        "--no-cache-dir",
        "-w",
        work / "built",
    ]
    done = run(
        [sys.executable, "-I", "-m", "pip", "wheel", "-q", *options, tree],
        env=sealed(SOURCE_DATE_EPOCH=str(source.date)),
        cwd=work,
    )
    built = sorted((work / "built").glob("preact_edge-*.whl"))
    if done.returncode or len(built) != 1:
        raise BundleError(f"our wheel cannot be built: {last_words(done)}")
    return _repacked(built[0], work / built[0].name, source.date)


def outbox_format(source: Checkout) -> int:
    """Which form of the outbox this program writes, asked of itself."""
    done = run(
        [sys.executable, "-m", "edge", "version", "--json"], env=sealed(PYTHONPATH=str(source.root)), cwd=source.root
    )
    try:
        return int(json.loads(done.stdout)["outbox_format"])
    except (ValueError, KeyError, TypeError):
        raise BundleError(f"{source.root}: the program does not tell its outbox_format: {last_words(done)}") from None


def _without_git(root: Path, label: str) -> Checkout:
    if not label or not os.environ.get("SOURCE_DATE_EPOCH"):
        raise BundleError(f"{root}: is no git checkout, so nothing tells which commit it is; {NO_GIT}")
    found = [
        path for part in PARTS for path in ([root / part] if (root / part).is_file() else (root / part).rglob("*"))
    ]
    names = {path.relative_to(root).as_posix() for path in found if path.is_file() and "__pycache__" not in path.parts}
    return Checkout(root, "unknown", _epoch(""), tuple(sorted(names)))


def _git(root: Path, *arguments: str) -> str:
    done = run(["git", "-C", root, *arguments], missing="install git")
    if done.returncode:
        raise BundleError(f"{root}: git {arguments[0]}: {last_words(done)}")
    return done.stdout


def _epoch(default: str) -> int:
    text = os.environ.get("SOURCE_DATE_EPOCH") or default
    if not text.isascii() or not text.isdigit() or int(text) < 315532800:
        raise BundleError(f"SOURCE_DATE_EPOCH={text}: is no number of seconds since 1970, 1980 or later")
    return int(text)


def _pyproject(root: Path) -> dict[str, dict[str, list[str]]]:
    path = root / "pyproject.toml"
    try:
        document: dict[str, dict[str, list[str]]] = msgspec.toml.decode(path.read_bytes())
        return document
    except (OSError, msgspec.DecodeError) as error:
        raise BundleError(f"{path}: cannot be read: {error}") from error


def _repacked(built: Path, target: Path, date: int) -> Path:
    """The wheel with its files stored as they are: no other zlib, no umask and no clock changes its bytes."""
    with zipfile.ZipFile(built) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
        for name in sorted(source.namelist(), key=lambda name: (".dist-info/" in name, name)):
            info = zipfile.ZipInfo(name, time.gmtime(date)[:6])
            info.create_system, info.external_attr = 3, 0o100644 << 16
            packed.writestr(info, source.read(name))
    return target
