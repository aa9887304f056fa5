"""What this device is, and whether a release fits it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex

from . import commands
from .manifest import Manifest
from .outcome import Refused
from .places import Places

ASK_PYTHON = "import struct, sys; print('%d.%d' % sys.version_info[:2], 8 * struct.calcsize('P'))"


@dataclasses.dataclass(frozen=True)
class Device:
    """``machine`` as uname has it; ``system``, ``like`` and ``version`` are os-release's ID, ID_LIKE and VERSION_ID;
    ``python`` is /usr/bin/python3's version ("" without one), ``bits`` the width of its addresses."""

    machine: str
    system: str
    like: tuple[str, ...]
    version: str
    name: str
    python: str
    bits: int


def look(places: Places) -> Device:
    """Asks the machine; what cannot be found out is empty or 0."""
    system = _os_release(places)
    python, bits = python_of(places.python)
    return Device(
        machine=os.uname().machine,
        system=system.get("ID", ""),
        like=tuple(system.get("ID_LIKE", "").split()),
        version=system.get("VERSION_ID", ""),
        name=system.get("PRETTY_NAME", "this system"),
        python=python,
        bits=bits,
    )


def python_of(path: os.PathLike[str]) -> tuple[str, int]:
    """Version ("3.11") and bits of an interpreter; ("", 0) where it does not run."""
    try:
        done = commands.run([path, "-I", "-c", ASK_PYTHON], timeout=60.0)
    except Refused:
        return "", 0
    words = done.out.split()
    return (words[0], int(words[1])) if done.code == 0 and len(words) == 2 else ("", 0)


def expect_fit(device: Device, manifest: Manifest) -> None:
    """Raises Refused, with the reason, where the release is not made for this device."""
    _expect_supported(device)
    needs = manifest.requires
    target = f"the bundle is for {manifest.target}"
    if device.machine != needs.machine:
        raise Refused(f"{target} ({needs.machine}), this machine is {device.machine}: build one for it")
    versions = [needs.os[word] for word in (device.system, *device.like) if word in needs.os]
    if not versions or device.version not in versions[0]:
        wanted = " or ".join(f"{word} {version}" for word, listed in needs.os.items() for version in listed)
        raise Refused(f"{target} ({wanted}), this is {device.name}: build one for it, deploy/bundle --target ...")
    if not device.python:
        raise Refused("/usr/bin/python3 does not run, which the release is installed with: apt-get install python3")
    if device.python != needs.python:
        raise Refused(f"{target} (Python {needs.python}), /usr/bin/python3 is {device.python}: give it back its own")


def _expect_supported(device: Device) -> None:
    where = f"{device.name} on {device.machine}"
    if device.bits == 32 or device.machine in ("armv6l", "armv7l", "i686"):
        raise Refused(
            f"{where} has 32-bit programs, for which numpy, OpenCV, msgspec and gpiod have no wheels: "
            "put the 64-bit Raspberry Pi OS on the card"
        )
    if device.system == "ubuntu" and device.version == "20.04":
        raise Refused(f"{where}, JetPack 5, has Python 3.8, the program needs 3.10: flash JetPack 6")
    if device.python and tuple(map(int, device.python.split("."))) < (3, 10):
        raise Refused(f"{where} has Python {device.python}, the program needs 3.10: install a supported system")


def _os_release(places: Places) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in ("etc/os-release", "usr/lib/os-release"):
        try:
            lines = (places.root / name).read_text(errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            key, equals, value = line.partition("=")
            if equals and not line.startswith("#"):
                with contextlib.suppress(ValueError):  # a quote without its end
                    found[key] = " ".join(shlex.split(value))
        break
    return found
