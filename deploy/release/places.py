"""Where everything lies on the device, and which releases are there."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from . import manifest
from .manifest import Manifest, ManifestError


@dataclasses.dataclass(frozen=True)
class Release:
    """One folder of releases/."""

    name: str
    folder: Path

    @property
    def settings(self) -> Path:
        return self.folder / "config" / "preact-edge.toml"

    @property
    def former_settings(self) -> Path:
        """What the settings were before the switch that is not confirmed yet."""
        return self.folder / "config" / "preact-edge.toml.former"

    @property
    def candidate_settings(self) -> Path:
        """Settings that are being checked, in the folder where they would be used."""
        return self.folder / "config" / "candidate.toml"

    @property
    def unit(self) -> Path:
        return self.folder / manifest.UNIT

    @property
    def python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"

    @property
    def program(self) -> Path:
        return self.folder / "venv" / "bin" / "preact-edge"

    @property
    def record(self) -> Path:
        """Written last by an install: a folder without it is not whole."""
        return self.folder / "installed.json"

    def installed(self) -> dict[str, Any]:
        """What the record says; empty where there is none that can be read."""
        return read_json(self.record)

    def manifest(self) -> Manifest | None:
        """None where it cannot be read."""
        try:
            return manifest.parse((self.folder / manifest.MANIFEST).read_bytes())
        except (OSError, ManifestError):
            return None


@dataclasses.dataclass(frozen=True)
class Places:
    """Every path that the installer uses, below ``root``."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "opt/preact-edge"

    @property
    def releases(self) -> Path:
        return self.home / "releases"

    @property
    def current(self) -> Path:
        return self.home / "current"

    @property
    def previous(self) -> Path:
        return self.home / "previous"

    @property
    def pending(self) -> Path:
        return self.home / "pending.json"

    @property
    def outcome(self) -> Path:
        return self.home / "outcome.json"

    @property
    def lock(self) -> Path:
        return self.home / ".lock"

    @property
    def signers(self) -> Path:
        return self.root / "etc/preact-edge/release-signers"

    @property
    def credentials(self) -> Path:
        return self.root / "etc/preact-edge/credentials"

    @property
    def unit(self) -> Path:
        return self.root / "etc/systemd/system/preact-edge.service"

    @property
    def unit_additions(self) -> Path:
        """The folder of what the site adds to the unit."""
        return self.root / "etc/systemd/system/preact-edge.service.d"

    @property
    def state(self) -> Path:
        return self.root / "var/lib/preact-edge"

    @property
    def python(self) -> Path:
        """The Python that venvs are made with."""
        return self.root / "usr/bin/python3"

    @property
    def verdict(self) -> Path:
        """What `doctor` found last."""
        return self.root / "run/preact-edge/doctor.json"

    def release(self, name: str) -> Release:
        """The release of that name, there or not; ManifestError where that is no name of one."""
        return Release(manifest.release_name(name), self.releases / name)

    def linked(self, link: Path) -> Release | None:
        """The release that ``current`` or ``previous`` points to; None without one."""
        try:
            return self.release(Path(os.readlink(link)).name)
        except (OSError, ManifestError):
            return None

    def installed(self) -> list[Release]:
        """The releases that are whole, the newest install last."""
        found = [Release(path.name, path) for path in self.releases.glob("[0-9]*") if not path.is_symlink()]
        whole = [(release.installed().get("installed", 0), release) for release in found if release.record.is_file()]
        return [release for _, release in sorted(whole, key=lambda pair: (pair[0], pair[1].name))]


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file that this installer wrote; empty where there is none, or it is damaged."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def dump_json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
