"""The bundle's file: a plain tar whose first members are the manifest and its signature.

It is read here member by member: each must be a plain file with the very name, size and sha256 that the manifest
gives for its place, and nothing may follow the last. No path out of the archive is ever used that the manifest,
signed and parsed strictly, does not name.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from .manifest import MANIFEST, MANIFEST_LIMIT, SIGNATURE, SIGNATURE_LIMIT, Manifest
from .outcome import Refused

CHUNK = 1 << 20
PADDING_LIMIT = 1 << 16  # zero bytes that tar may end a file with: it fills records of 10,240 bytes


class Bundle:
    """A bundle's manifest and signature, as read and not yet believed. Raises Refused where they cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as file:
            self.manifest = b"".join(self._member(file, MANIFEST, limit=MANIFEST_LIMIT))
            self.signature = b"".join(self._member(file, SIGNATURE, limit=SIGNATURE_LIMIT))
            self._begin = file.tell()

    @property
    def sha256(self) -> str:
        """Of the manifest: two bundles with the same one have the same contents."""
        return hashlib.sha256(self.manifest).hexdigest()

    def check(self, manifest: Manifest) -> None:
        """Reads every member and compares it with the manifest; raises Refused at the first difference."""
        self._walk(manifest, lambda _, chunks: _skip(chunks))

    def unpack(self, manifest: Manifest, folder: Path) -> None:
        """Writes all members below ``folder``, comparing once more; each is on the disk when this returns."""
        folder.mkdir(parents=True)
        for name, data in ((MANIFEST, self.manifest), (SIGNATURE, self.signature)):
            _store(folder / name, iter([data]))
        self._walk(manifest, lambda name, chunks: _store(folder / name, chunks))

    def _walk(self, manifest: Manifest, take: Callable[[str, Iterator[bytes]], None]) -> None:
        with self._open() as file:
            file.seek(self._begin)
            for name in sorted(manifest.files):
                expected = manifest.files[name]
                digest = hashlib.sha256()
                take(name, self._member(file, name, size=expected.size, digest=digest.update))
                if digest.hexdigest() != expected.sha256:
                    raise self._broken(f"{name} is not what its manifest says")
            self._expect_end(file)

    def _member(
        self,
        file: BinaryIO,
        name: str,
        *,
        size: int | None = None,
        limit: int = 0,
        digest: Callable[[bytes], object] = len,
    ) -> Iterator[bytes]:
        """The contents of the next member, in chunks; ``size`` is what it must have, ``limit`` the most it may."""
        info = self._header(file, name)
        if info.name != name:
            raise self._broken(f"it has {info.name[:80]!r} where its manifest has {name}")
        if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise self._broken(f"{name} is no plain file in it")
        if info.size != size if size is not None else not 0 < info.size <= limit:
            raise self._broken(f"{name} has {info.size} bytes in it, {size or f'at most {limit}'} are right")
        left = info.size
        while left:
            chunk = self._read(file, min(left, CHUNK))
            if not chunk:
                raise self._broken(f"it ends in the middle of {name}")
            left -= len(chunk)
            digest(chunk)
            yield chunk
        self._read(file, -info.size % tarfile.BLOCKSIZE)

    def _header(self, file: BinaryIO, name: str) -> tarfile.TarInfo:
        block = self._read(file, tarfile.BLOCKSIZE)
        if len(block) < tarfile.BLOCKSIZE:
            raise self._broken(f"it ends before {name}")
        try:
            return tarfile.TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.HeaderError, ValueError) as exc:
            raise self._broken(f"where {name} should begin is no member of a tar") from exc

    def _expect_end(self, file: BinaryIO) -> None:
        rest = self._read(file, PADDING_LIMIT + 1)
        if len(rest) < 2 * tarfile.BLOCKSIZE:
            raise self._broken("it has no end")
        if len(rest) > PADDING_LIMIT or rest.strip(b"\0"):
            raise self._broken("it has more than its manifest names")

    def _open(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as exc:
            raise self._unreadable(exc) from exc

    def _read(self, file: BinaryIO, size: int) -> bytes:
        try:
            return file.read(size)
        except OSError as exc:
            raise self._unreadable(exc) from exc

    def _unreadable(self, exc: OSError) -> Refused:
        return Refused(f"{self.path} cannot be read ({exc.strerror}): copy the bundle there")

    def _broken(self, what: str) -> Refused:
        return Refused(f"{self.path} is damaged or changed: {what}; copy it again, or build it anew")


def _skip(chunks: Iterator[bytes]) -> None:
    for _ in chunks:
        pass


def _store(path: Path, chunks: Iterator[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
