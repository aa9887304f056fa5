"""What the outbox asks of the machine: which one it is, and whether its clock can be believed."""

from __future__ import annotations

import ctypes
from pathlib import Path

MACHINE_ID = Path("/etc/machine-id")
TIMESYNCD = Path("/run/systemd/timesync/synchronized")
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES = 512  # more than struct timex takes anywhere


def machine_id(file: Path = MACHINE_ID) -> str:
    """The machine's own id; empty where there is none yet, as in an image that never booted."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return "" if text == "uninitialized" else text


def clock_synchronised(timesyncd: Path = TIMESYNCD) -> bool:
    """Whether something keeps the clock right: the kernel says so, or systemd-timesyncd did since boot.

    A sandbox may forbid to ask the kernel; then only the file counts.
    """
    try:
        answer = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))  # all zero: only asks
    except (OSError, AttributeError):
        answer = -1
    return 0 <= answer < _TIME_ERROR or timesyncd.exists()
