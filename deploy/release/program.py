"""A release's own program, asked to check settings, to test itself, to look at the running service."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import commands
from .commands import Done
from .outcome import Refused
from .places import Places, Release
from .venv import parse_last

CHECK_S = 180.0
SELFTEST_S = 600.0
BACKUP_S = 300.0
TOLD = 3  # of a selftest's problems: where one box is wrong, many are
TAKEN = (  # what a run beside the service has in common with it; never its runtime folder, which ends with a unit
    "User",
    "Group",
    "SupplementaryGroups",
    "StateDirectory",
    "StateDirectoryMode",
    "LoadCredential",
    "Environment",
    "UMask",
)


def check(places: Places, release: Release, settings: Path) -> str:
    """The release can run with these settings; Refused with each problem that it names."""
    done = _as_service(places, release, ["check", "--no-hardware", "-c", settings], CHECK_S)
    if done.code:
        problems = [" ".join(line.split()[1:]) for line in done.out.splitlines() if line.startswith("problem ")]
        words = ("; ".join(problems) or done.last).replace(f"{settings}: ", "")
        raise Refused(f"the settings are not fit for {release.name}: {words}")
    notes = [" ".join(line.split()[1:]) for line in done.out.splitlines() if line.startswith("note ")]
    return "; ".join(notes)


class Hindered(Refused):
    """A selftest that failed for want of the accelerator or of speed alone: what runs beside it may have taken both."""


def selftest(places: Places, release: Release, settings: Path, min_fps: float | None) -> dict[str, Any]:
    """The figures of the golden clip; Refused, or Hindered, where boxes or speed are not what they should be."""
    least = ["--min-fps", f"{min_fps:g}"] if min_fps else []
    done = _as_service(places, release, ["selftest", "--json", *least, "-c", settings], SELFTEST_S)
    report = parse_last(done.out)
    if done.code or report.get("ok") is not True:
        problems = report.get("problems")
        words = _few(problems) if isinstance(problems, list) and problems else done.last
        kind = Hindered if _hindered(report, min_fps or 0.0) else Refused
        raise kind(f"the selftest of {release.name} failed: {'it took too long' if done.late else words}")
    return report


def _hindered(report: dict[str, Any], least: float) -> bool:
    boxes, fps = report.get("boxes"), report.get("fps")
    wrong = isinstance(boxes, dict) and boxes.get("wrong")
    slow = isinstance(fps, dict) and any(rate < least for rate in fps.values())
    return not wrong and bool(report.get("degraded") or slow)


def _few(problems: list[object]) -> str:
    more = f" and {len(problems) - TOLD} more" if len(problems) > TOLD else ""
    return "; ".join(map(str, problems[:TOLD])) + more


def backup_outbox(places: Places, release: Release, copy: Path) -> None:
    """``release``'s own program copies the outbox, also while it runs."""
    done = _as_service(places, release, ["outbox", "backup", copy, "-c", release.settings], BACKUP_S)
    if done.code:
        raise Refused(f"the outbox could not be copied to {copy} ({done.last}): make room, or mend it, then again")


def restore_outbox(places: Places, release: Release, copy: Path) -> str:
    """Puts a copy back in place where ``release`` cannot read what is there; a sentence on how it went, or nothing."""
    if _as_service(places, release, ["outbox", "show", "-c", release.settings], CHECK_S).code == 0:
        return ""
    done = _as_service(places, release, ["outbox", "restore", copy, "-c", release.settings], BACKUP_S)
    if done.code:
        return f"the outbox of before could not be put back ({done.last}); it is in {copy}"
    return f"the outbox is that of before, as a new stream; alerts since then are kept beside it ({done.last})"


@dataclasses.dataclass(frozen=True)
class Health:
    """What a real client saw: ``status`` is ok, degraded, blind or unreachable; empty texts are not known.

    ``parts`` has the state (ok, degraded, failed, off) and the reason of each component that was told.
    """

    ok: bool
    status: str
    reason: str
    version: str = ""
    boot_id: str = ""
    fps: float | None = None
    parts: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)

    def state(self, component: str) -> str:
        """Empty where it is not known."""
        return self.parts.get(component, ("", ""))[0]


def health(places: Places, release: Release, wait_s: float) -> Health:
    """Looks at the running service for at most ``wait_s`` seconds, by ``release``'s program and settings."""
    command: list[str | os.PathLike[str]] = [
        release.program,
        "health",
        "-c",
        release.settings,
        "--json",
        "--wait",
        f"{wait_s:.1f}",
    ]
    if (places.credentials / "probe.pem").is_file():
        command += ["--cert", places.credentials / "probe.pem", "--key", places.credentials / "probe/device.key"]
    done = commands.run(command, timeout=wait_s + 60.0, extra={"CREDENTIALS_DIRECTORY": str(places.credentials)})
    seen = parse_last(done.out)
    fps = seen.get("fps")
    return Health(
        ok=done.code == 0 and seen.get("ok") is True,
        status=str(seen.get("status", "unreachable")),
        reason=str(seen.get("reason") or ("" if seen.get("ok") else done.last)),
        version=str(seen.get("version", "")),
        boot_id=str(seen.get("boot_id", "")),
        fps=float(fps) if isinstance(fps, (int, float)) else None,
        parts=_parts(seen.get("components")),
    )


def _parts(components: object) -> dict[str, tuple[str, str]]:
    found = components.items() if isinstance(components, dict) else ()
    return {
        str(name): (str(each.get("state", "")), str(each.get("reason", "")))
        for name, each in found
        if isinstance(each, dict)
    }


def expect_credentials(places: Places, release: Release) -> None:
    """Each credential that the unit loads is there; Refused names the first that is not."""
    for key, value in _unit_lines(places, release):
        if key == "LoadCredential" and ":" in value:
            name, path = value.split(":", 1)
            file = places.root / path.lstrip("/")
            if not file.is_file() or not file.stat().st_size:
                raise Refused(
                    f"{file} is missing, which the service loads as {name}: "
                    "issue the device's certificate, `deploy/fleet site --tags certificates`"
                )


def _as_service(places: Places, release: Release, args: Sequence[str | os.PathLike[str]], timeout: float) -> Done:
    """Runs the program as the service's user with its credentials and state, and nothing of root's."""
    properties = [f"--property={key}={value}" for key, value in _unit_lines(places, release)]
    options = ["--quiet", "--pipe", "--wait", "--collect", "--service-type=exec", f"--property=RuntimeMaxSec={timeout}"]
    command = ["systemd-run", *options, *properties, "--", release.program, *args]
    return commands.run(command, timeout=timeout + 30.0)


def _unit_lines(places: Places, release: Release) -> list[tuple[str, str]]:
    """Those settings of the release's unit, and of what the site adds, that make up who the service is."""
    additions = sorted(places.unit_additions.glob("*.conf")) if places.unit_additions.is_dir() else []
    found = []
    for path in (release.unit, *additions):
        for line in path.read_text().splitlines():
            key, equals, value = line.partition("=")
            if equals and key in TAKEN and value and "%" not in value:
                found.append((key, value))
    return found
