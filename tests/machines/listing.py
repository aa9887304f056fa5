"""What lies on a machine, to be compared with what lay there before."""

from __future__ import annotations

from tests.machines.nspawn import Machine

# Clocks and logs of the system itself go on meanwhile, and so does what a service remembers of itself.
_RESTLESS = (
    "/var/lib/systemd/*",
    "/var/lib/preact-edge/*",
    "/var/lib/private/*",
    "/opt/preact-edge/outcome.json",
    "/opt/preact-edge/.lock",
    "*/__pycache__*",
)


def listing(machine: Machine, *folders: str) -> str:
    """Path, kind, owner and mode of everything in these folders, the target of links and the hash of files."""
    skipped = " ".join(f"-path '{pattern}' -prune -o" for pattern in _RESTLESS)
    there = " ".join(folders)
    everything = machine.run(f"find {there} {skipped} -printf '%p %y %u:%g %m %l\\n' | sort")
    hashes = machine.run(f"find {there} {skipped} -type f -print0 | sort -z | xargs -0 -r sha256sum", timeout=120)
    return everything + hashes
