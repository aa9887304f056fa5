"""What several tests share."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def wait_until(predicate: Callable[[], object], timeout: float = 10.0) -> None:
    """Return as soon as ``predicate()`` is true; fail when ``timeout`` seconds went by first."""
    deadline = time.monotonic() + timeout
    while not predicate():
        if time.monotonic() > deadline:
            raise AssertionError(f"still not true after {timeout} s: {predicate}")
        time.sleep(0.01)


def shared_assets() -> Path:
    """The folder with public models and media beside a checkout; skips the test where there is none."""
    folder = ROOT.parent / "shared" / "assets"
    if not folder.is_dir():
        pytest.skip("needs the public test assets in ../shared/assets, which this checkout does not have")
    return folder
