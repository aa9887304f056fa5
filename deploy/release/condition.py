"""The device's condition: room on its disk, its power supply, its clock."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from . import commands
from .manifest import Manifest
from .outcome import Outcome, Refused
from .places import Places

THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"  # where Raspberry Pi's firmware tells of its power
UNDERVOLTAGE, SLOWED = 0x1, 0x2 | 0x4 | 0x8  # now; what happened since the start stands 16 bits higher
WHEELS_GROW = 4  # a wheel's files and their compiled code, against the wheel: 3.1 to 3.7 measured
RESERVE = 100 << 20  # bytes that stay free for the outbox, the journal and the next start
SWITCH_ROOM = (
    32 << 20
)  # bytes that a switch asks for: settings, a copy of the outbox, and what the program writes at once


def needed_room(manifest: Manifest) -> int:
    """Bytes that installing takes at most, the reserve included."""
    wheels = sum(member.size for name, member in manifest.files.items() if name.startswith("wheels/"))
    return manifest.unpacked + WHEELS_GROW * wheels + RESERVE


def expect_room(folder: Path, needed: int) -> str:
    """How much is free; Refused where that is less than ``needed`` bytes."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Refused(
            f"{_mb(needed)} are needed in {folder}, {_mb(free)} are free: "
            "make room there, or let `preact-edge-release prune --keep 2` remove older releases"
        )
    return f"{_mb(free)} free, {_mb(needed)} needed"


def expect_power(places: Places, outcome: Outcome, *, insist: bool = True) -> None:
    """Refused while the supply's voltage is too low (only a note unless ``insist``); notes what happened before."""
    bits = throttled(places)
    advice = "use the board's own supply and a short cable, and power an accelerator from a hub of its own"
    if bits & UNDERVOLTAGE and insist:
        raise Refused(f"the power supply's voltage is too low now (throttled={bits:#x}): {advice}, then try again")
    if bits & UNDERVOLTAGE:
        outcome.note(f"the power supply's voltage is too low now (throttled={bits:#x}): {advice}")
    elif bits & UNDERVOLTAGE << 16:
        outcome.note(f"the power supply's voltage was too low since the start (throttled={bits:#x}): {advice}")


def throttled(places: Places) -> int:
    """The firmware's bits, 0 on a board that has none."""
    try:
        text = (places.root / THROTTLED).read_text()
    except OSError:
        if not commands.there("vcgencmd"):
            return 0
        text = commands.run(["vcgencmd", "get_throttled"], timeout=10.0).out
    try:
        return int(text.strip().rpartition("=")[2], 16)
    except ValueError:
        return 0


def clock_synchronised() -> bool | None:
    """None where nothing tells."""
    if not commands.there("timedatectl"):
        return None
    done = commands.run(["timedatectl", "show", "--property=NTPSynchronized", "--value"], timeout=20.0)
    return {"yes": True, "no": False}.get(done.out.strip())


def note_clock(outcome: Outcome) -> None:
    if clock_synchronised() is False:
        outcome.note(
            "the clock is not synchronised, certificates may seem expired or not yet valid: "
            "give the device a time server (timedatectl timesync-status)"
        )


def full_share(folder: Path) -> float:
    """How much of the folder's disk is taken, 0 to 1, as its users see it."""
    state = os.statvfs(folder)
    usable = state.f_blocks - state.f_bfree + state.f_bavail
    return 1.0 - state.f_bavail / usable if usable else 1.0


def _mb(size: int) -> str:
    return f"{-(-size // 1_000_000)} MB"
