"""What several tests share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def wait_until(predicate: Callable[[], object], timeout: float = 10.0) -> None:
    """Return as soon as ``predicate()`` is true; fail when ``timeout`` seconds went by first."""
    deadline = time.monotonic() + timeout
    while not predicate():
        if time.monotonic() > deadline:
            raise AssertionError(f"still not true after {timeout} s: {predicate}")
        time.sleep(0.01)


def shared_assets() -> Path:
    """The folder with public models and media beside a checkout; without it the test is skipped, in CI it fails."""
    import pytest  # here: benches wait, too, and are not to measure its memory

    folder = ROOT.parent / "shared" / "assets"
    if not folder.is_dir():
        missing = "needs the public test assets in ../shared/assets, which this checkout does not have"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return folder
