"""The folders and small files in which the device keeps what it must remember."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from edge.config import Config
from edge.errors import StateError
from edge.paths import expand

ID_FILE = "device-id"


def state_dir(config: Config, environ: Mapping[str, str] = os.environ) -> Path:
    """The state folder: as configured, else systemd's, else the user's."""
    if config.storage.state_dir:
        return expand(config.storage.state_dir)
    if environ.get("STATE_DIRECTORY"):
        return Path(environ["STATE_DIRECTORY"].split(":")[0])
    home = environ.get("XDG_STATE_HOME") or expand("~/.local/state")
    return Path(home) / "preact-edge"


def models_dir(config: Config, environ: Mapping[str, str] = os.environ) -> Path:
    """Where pulled models lie."""
    if config.storage.models_dir:
        return expand(config.storage.models_dir)
    return state_dir(config, environ) / "models"


def device_id(config: Config, folder: Path) -> str:
    """The configured id, else the one kept in ``folder``, else a new one that is kept there.

    Raises StateError when the folder cannot be written or read.
    """
    prepare(folder)
    kept = known_device_id(config, folder)
    if kept:
        return kept
    made, file = f"edge-{secrets.token_hex(4)}", folder / ID_FILE
    try:
        write_atomic(file, f"{made}\n".encode())
    except OSError as error:
        raise StateError(f"{file}: cannot be kept: {error.strerror}; {_ADVICE}") from error
    return made


def known_device_id(config: Config, folder: Path) -> str:
    """The configured id, else the one kept in ``folder``, else ""; nothing is written. Raises StateError."""
    file = folder / ID_FILE
    try:
        return config.device.id or (file.read_text(encoding="utf-8").strip() if file.exists() else "")
    except OSError as error:
        raise StateError(f"{file}: cannot be read: {error.strerror}; {_ADVICE}") from error
    except UnicodeDecodeError as error:
        raise StateError(f"{file}: is damaged; remove it, or give the device's name with device.id") from error


_ADVICE = "give a writable folder with --set storage.state_dir=DIR"


def prepare(folder: Path) -> None:
    """Make the folder if it is missing and prove that it can be written; raises StateError."""
    probe = folder / f".write-test-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise StateError(f"state folder {folder}: cannot be written: {error.strerror}; {_ADVICE}") from error


def set_aside(file: Path, now: float) -> Path:
    """Rename a damaged file, so that it can be looked at and is in nobody's way; its new path. Raises StateError.

    ``now`` is Unix time, for the name.
    """
    stem = f"{file.name}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}"
    names = (stem, *(f"{stem}-{number}" for number in range(2, 100)))
    target = next((path for path in map(file.with_name, names) if not path.exists()), file.with_name(stem))
    try:
        file.rename(target)
    except OSError as error:
        raise StateError(f"{file}: is damaged and cannot be renamed: {error.strerror}; remove it") from error
    return target


def write_atomic(file: Path, content: bytes, *, durable: bool = True) -> None:
    """Write so that a reader, and if ``durable`` a power cut, finds the old content or the new, never a half."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as out:
            out.write(content)
            out.flush()
            if durable:
                os.fsync(out.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
