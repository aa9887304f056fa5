"""``preact-edge version``: what is installed here, for a report of a problem."""

from __future__ import annotations

import argparse
import platform
import sys
from importlib import metadata

from edge import __version__

PACKAGES = (
    "ai-edge-litert", "tflite-runtime", "opencv-python-headless", "numpy", "picamera2", "gpiozero", "lgpio", "gpiod",
    "cryptography", "msgspec", "rich", "tzdata",
)  # fmt: skip


def run(_: argparse.Namespace) -> int:
    """Print one line for each part; the first is ``preact-edge VERSION``."""
    print(f"preact-edge {__version__}")
    print(f"Python {sys.version.split()[0]} on {platform.system()} {platform.release()} {platform.machine()}")
    for package in PACKAGES:
        print(f"{package} {_version_of(package)}")
    return 0


def _version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
