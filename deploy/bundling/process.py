"""Programs that are run, and what is said of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.bundling.errors import BundleError

TIMEOUT_S = 1800.0  # a large wheel over a slow line


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    missing: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run it without a terminal's input; its words are caught. BundleError where there is no such program."""
    try:
        return subprocess.run(  # noqa: S603 - fixed programs, no shell
            command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S
        )
    except FileNotFoundError:
        raise BundleError(f"{command[0]}: there is no such program here; {missing or 'install it'}") from None
    except subprocess.TimeoutExpired:
        raise BundleError(f"{command[0]}: did not end within {TIMEOUT_S:.0f} s; run it again") from None


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """The line that says why it failed."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "e:", "fatal"))]
    return (errors or lines or [f"it ended with code {done.returncode}"])[-1]


def no_network(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether pip failed because it reached nobody."""
    signs = ("NewConnectionError", "name resolution", "unreachable", "refused", "timed out")
    return any(sign in done.stderr for sign in signs)


def sealed(**more: str) -> dict[str, str]:
    """This environment without what could change a result: pip's settings, Python's, the builder's, locale, zone."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON", "HATCH_", "LC_"))}
    fixed = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return {**kept, **fixed, "LANG": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0", **more}
