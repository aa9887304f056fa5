"""The bundle's file: a tar whose bytes depend on its contents and one date alone."""

from __future__ import annotations

import fcntl
import os
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deploy.bundling.errors import BundleError
from deploy.release import signature
from deploy.release.bundle import Bundle
from deploy.release.manifest import ManifestError, parse
from deploy.release.outcome import Refused

ANOTHER = "give another folder with --out"


def write(path: Path, members: Mapping[str, Path], date: int) -> None:
    """A tar of these files under these names, in their order; raises OSError.

    Plain ustar: the device reads it member by member and knows no extensions.
    """
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, file in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = file.stat().st_size, date, 0o644
            with file.open("rb") as source:
                try:
                    tar.addfile(info, source)
                except ValueError as error:  # a name that is too long for it
                    raise BundleError(f"{name}: cannot be in a bundle: {error}") from error


def read_back(path: Path, signers: str, work: Path) -> None:
    """Verify the file as a device with this line of release-signers does; BundleError where it would refuse it."""
    trusted = work / "release-signers"
    trusted.write_text(f"{signers}\n", encoding="utf-8")
    trusted.chmod(0o644)
    try:
        bundle = Bundle(path)
        signature.verify(bundle.manifest, bundle.signature, trusted)
        bundle.check(parse(bundle.manifest))
    except (Refused, ManifestError) as error:
        raise BundleError(f"the bundle that was made is one that devices refuse: {error}") from error


def check_folder(folder: Path) -> None:
    """Make the folder where bundles go; BundleError where none can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BundleError(f"{folder}: cannot be written: {error.strerror}; {ANOTHER}") from error


@contextmanager
def in_one_step(target: Path) -> Iterator[Path]:
    """A path to write to, that becomes ``target`` when all went well and is gone when not."""
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("ab") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BundleError(f"{target}: another run is writing it; wait for that one") from None
            try:
                yield part
                _on_disk(part)
                os.replace(part, target)
                _on_disk(target.parent)
            finally:
                part.unlink(missing_ok=True)
    except OSError as error:
        raise BundleError(f"{target}: cannot be written: {error.strerror}; {ANOTHER}") from error


def _on_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
