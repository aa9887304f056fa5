"""``preact-edge version``: what is installed here, for a report of a problem, and for what builds and installs it."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from importlib import metadata
from typing import Any

from edge import __version__
from edge.outbox.database import FORMAT

RUNTIMES = ("ai-edge-litert", "tflite-runtime")  # the first that is there is used, unless the settings name one
PACKAGES = (
    *RUNTIMES, "opencv-python-headless", "numpy", "picamera2", "gpiozero", "lgpio", "gpiod",
    "cryptography", "msgspec", "rich", "tzdata",
)  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print one line for each part, the first is ``preact-edge VERSION``; or, with ``--json``, one object."""
    versions = {package: _version_of(package) for package in PACKAGES}
    if args.json:
        print(json.dumps(_facts(versions)))
        return 0
    print(f"preact-edge {__version__}")
    print(f"Python {sys.version.split()[0]} on {platform.system()} {platform.release()} {platform.machine()}")
    for package, version in versions.items():
        print(f"{package} {version or 'not installed'}")
    print(f"outbox format {FORMAT}")
    return 0


def _facts(versions: dict[str, str | None]) -> dict[str, Any]:
    """None stands for what is not installed."""
    return {
        "version": __version__,
        "outbox_format": FORMAT,
        "runtime": next((f"{name} {versions[name]}" for name in RUNTIMES if versions[name]), None),
        "python": sys.version.split()[0],
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "packages": versions,
    }


def _version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
