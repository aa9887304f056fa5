"""Which machine this is."""

from __future__ import annotations

from pathlib import Path

MACHINE_ID = Path("/etc/machine-id")


def machine_id(file: Path = MACHINE_ID) -> str:
    """The machine's own id; empty where there is none yet, as in an image that never booted."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return "" if text == "uninitialized" else text
