"""How far the wall clock can be trusted: boards have no battery for it, and it steps when the network comes."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

TIMESYNCD = Path("/run/systemd/timesync/synchronized")  # systemd-timesyncd makes it when it has set the clock
HARDWARE_CLOCK = Path("/sys/class/rtc/rtc0")
BOARD_MODEL = Path("/proc/device-tree/model")
STEP_S = 1.0  # slewing moves a clock by 0.5 ms a second at most
SHOWN_S = 600.0  # how long a step is told: times just before it are wrong by it
_UNSYNCHRONISED = 0x40  # STA_UNSYNC of <sys/timex.h>
_TIME_ERROR = 5


class _Timex(ctypes.Structure):
    """The beginning of struct timex, and more room than any kernel's whole one takes."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    )


def synchronised(timesyncd: Path = TIMESYNCD) -> bool:
    """Whether the wall clock follows a time server; False where that cannot be known (adjtimex(2)).

    A sandbox may forbid to ask the kernel; then only systemd-timesyncd's file counts.
    """
    if timesyncd.exists():
        return True
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):  # no Linux
        return False
    timex = _Timex(modes=0)  # reads only
    state = adjtimex(ctypes.byref(timex))
    return 0 <= state < _TIME_ERROR and not timex.status & _UNSYNCHRONISED


def believable(
    now: float,
    released: float,
    *,
    synchronised: Callable[[], bool] = synchronised,
    hardware: Path = HARDWARE_CLOCK,
    board: Path = BOARD_MODEL,
) -> bool:
    """Whether ``now`` (Unix time) may be taken for the time of day.

    It may once a time server has set the clock. Before that a board without a hardware clock has the time at which it
    was switched off; other machines kept theirs, unless it is before the program itself was ``released``.
    """
    return synchronised() or (now >= released and (hardware.exists() or not board.exists()))


class ClockWatch:
    """``look``, called every second or so, tells whether the wall clock is to be trusted.

    Synchronization: none; it belongs to the thread that looks.
    """

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        synchronised: Callable[[], bool] = synchronised,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._synchronised = synchronised
        self._offset = wall() - monotonic()
        self._step = 0.0
        self._stepped_at = float("-inf")

    def look(self) -> tuple[Literal["ok", "degraded"], str]:
        """The state and, in words, the reason."""
        now = self._monotonic()
        offset = self._wall() - now
        step, self._offset = offset - self._offset, offset
        if abs(step) >= STEP_S:
            self._step, self._stepped_at = step, now
        if now - self._stepped_at < SHOWN_S:
            return "degraded", f"the clock was set {'forward' if self._step > 0 else 'back'} by {abs(self._step):.0f} s"
        return ("ok", "") if self._synchronised() else ("degraded", "the clock follows no time server")


class WallClock:
    """The clock of a program that was ``released`` at that Unix time: ``known`` says whether it may be believed.

    Synchronization: look belongs to one thread; ``known`` may be read from any.
    """

    def __init__(self, released: float) -> None:
        self._released = released
        self._watch = ClockWatch()
        self.known = believable(time.time(), released)

    def look(self) -> tuple[Literal["ok", "degraded"], str]:
        """Look anew, every second or so: the state and, in words, the reason."""
        self.known = believable(time.time(), self._released)
        return self._watch.look()
