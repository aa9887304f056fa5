"""The packages of a bundle that the device lacks; dpkg installs them, no network is asked."""

from __future__ import annotations

from pathlib import Path

from . import commands
from .manifest import Manifest
from .outcome import Refused

ASK_S = 60.0
INSTALL_S = 900.0


def install(manifest: Manifest, folder: Path) -> str:
    """Installs those that are missing, out of the unpacked bundle; what was done. Raises Refused with dpkg's words."""
    missing = [name for name in sorted(manifest.debs) if not installed(name)]
    if not missing:
        return f"{len(manifest.debs)} of {len(manifest.debs)} there already"
    extra = {"DEBIAN_FRONTEND": "noninteractive"}
    files = [folder / manifest.debs[name] for name in missing]
    done = commands.run(["dpkg", "--install", *files], timeout=INSTALL_S, extra=extra)
    if done.code:
        advice = "another apt or dpkg may be running; otherwise see `dpkg --configure --pending`, then try again"
        raise Refused(f"dpkg could not install {', '.join(missing)} ({done.last}): {advice}")
    return "installed " + ", ".join(missing)


def installed(package: str) -> bool:
    """Whether dpkg has it installed to its end."""
    done = commands.run(["dpkg-query", "--show", "--showformat=${db:Status-Status}", package], timeout=ASK_S)
    return done.code == 0 and done.out.strip() == "installed"
