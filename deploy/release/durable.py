"""Files, links and folders that are whole or absent, also after a power cut: written beside, forced out, renamed."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path


def write(path: Path, data: bytes, mode: int = 0o644, group: int | None = None) -> None:
    """Puts a file in place of ``path`` at once; it is on the disk when this returns."""
    part = path.with_name(f".{path.name}.part")
    with contextlib.suppress(FileNotFoundError):
        part.unlink()
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(data)
        if group is not None:
            os.fchown(file.fileno(), -1, group)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    sync_folder(path.parent)


def point(link: Path, target: str) -> None:
    """Makes ``link`` a symbolic link to ``target``, in place of what it was, at once."""
    part = link.with_name(f".{link.name}.part")
    with contextlib.suppress(FileNotFoundError):
        part.unlink()
    part.symlink_to(target)
    os.replace(part, link)
    sync_folder(link.parent)


def rename(path: Path, new: Path) -> None:
    os.rename(path, new)
    sync_folder(new.parent)


def remove(path: Path) -> None:
    """Removes a file or a link; nothing happens where there is none."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        sync_folder(path.parent)


def remove_tree(folder: Path) -> None:
    """Removes a folder with all below it; nothing happens where there is none."""
    if folder.is_symlink():
        remove(folder)
    elif folder.is_dir():
        shutil.rmtree(folder)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Forces out which names a folder has."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
