"""A switch from its first change until it is confirmed, and the way back from any point of it.

pending.json is written before anything changes and removed when the new release has proven itself. As long as it is
there, `undo` gives the device back what it had, whatever was done of the switch, and may be cut off and done again.
"""

from __future__ import annotations

import dataclasses
import grp
import os
from collections.abc import Callable
from pathlib import Path

from . import durable, program, service
from .job import Job
from .manifest import ManifestError
from .outcome import Refused
from .places import Places, Release, dump_json, read_json

GROUP = "preact-edge"  # the service's, which alone reads the settings: they may name a camera's password


@dataclasses.dataclass(frozen=True)
class Pending:
    """``back_to`` and ``previous`` are what the two links named before; ``had_settings``: the release that is switched
    to had settings of its own; ``outbox_copy`` is where the outbox of before lies, where its format changes."""

    action: str
    release: str
    back_to: str | None
    previous: str | None
    had_settings: bool
    outbox_copy: str | None
    began: float


def read(places: Places) -> Pending | None:
    """The switch that is not confirmed; None without one, or where its file is damaged, which the doctor tells."""
    document = read_json(places.pending)
    if not isinstance(document.get("release"), str) or not isinstance(document.get("began"), (int, float)):
        return None
    return Pending(**{field.name: document.get(field.name) for field in dataclasses.fields(Pending)})  # type: ignore[arg-type]


def named(places: Places) -> set[str]:
    """The releases that a switch under way may need."""
    pending = read(places)
    return {name for name in (pending.release, pending.back_to, pending.previous) if name} if pending else set()


def begin(places: Places, pending: Pending) -> None:
    """From here on, until `confirm`, everything is undone at the next start."""
    release = places.release(pending.release)
    if pending.had_settings:
        write_settings(release.former_settings, release.settings.read_bytes())
    durable.write(places.pending, dump_json(dataclasses.asdict(pending)))


def switch(places: Places, pending: Pending, settings: bytes) -> None:
    """Settings, unit and links are those of the new release. The service is stopped."""
    release = places.release(pending.release)
    write_settings(release.settings, settings)
    if pending.back_to and pending.back_to != pending.release:
        _point(places, places.previous, pending.back_to)
    _point(places, places.current, pending.release)
    place_unit(places, release)


def confirm(places: Places, pending: Pending) -> None:
    """The new release is the good one."""
    durable.remove(places.pending)
    durable.remove(places.release(pending.release).former_settings)


def undo(job: Job, pending: Pending) -> None:
    """Gives back what was before the switch and asks for a start of the service.

    Where a part of it fails, a full disk for one, the others are done all the same, the service is started as it is
    then, and pending.json stays for the next try.
    """
    places = job.places
    release, back_to = _named(places, pending.release), _named(places, pending.back_to)
    whole = [
        _tried(job, service.stop),
        _tried(job, lambda: _restore_settings(release, pending.had_settings)),
        _tried(job, lambda: _point(places, places.previous, pending.previous)),
        _tried(job, lambda: _point(places, places.current, pending.back_to)),
        _tried(job, lambda: _restore_unit(places, back_to)),
    ]
    if back_to is not None:
        if pending.outbox_copy and Path(pending.outbox_copy).exists():
            job.outcome.note(program.restore_outbox(places, back_to, Path(pending.outbox_copy)))
        service.restart_soon()
    if not all(whole[1:]):  # a service that does not stop in good order is killed by the restart
        raise Refused("going back is not complete: mend what the notes name, then preact-edge-release settle")
    durable.remove(places.pending)


def place_unit(places: Places, release: Release) -> None:
    """systemd knows the unit of that release."""
    unit = release.unit.read_bytes()
    places.unit.parent.mkdir(parents=True, exist_ok=True)
    if not places.unit.is_file() or places.unit.read_bytes() != unit:
        durable.write(places.unit, unit)
    service.reload()


def enable(places: Places) -> None:
    """The service starts at boot, also when the power goes in a moment."""
    service.enable()
    wanted = places.unit.parent / "multi-user.target.wants"
    if wanted.is_dir():
        durable.sync_folder(wanted)


def _restore_unit(places: Places, back_to: Release | None) -> None:
    if back_to is not None:
        place_unit(places, back_to)
        return
    service.disable()
    durable.remove(places.unit)
    service.reload()


def _tried(job: Job, part: Callable[[], None]) -> bool:
    try:
        part()
    except (Refused, OSError) as exc:
        job.outcome.note(f"going back: {exc}")
        return False
    return True


def write_settings(path: Path, data: bytes) -> None:
    """Readable by root and the service alone."""
    path.parent.mkdir(exist_ok=True)
    group = _group() if os.geteuid() == 0 else None
    durable.write(path, data, 0o600 if group is None else 0o640, group)


def _group() -> int | None:
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return None


def _restore_settings(release: Release | None, had_settings: bool) -> None:
    if release is None:
        return
    if not had_settings:
        durable.remove(release.settings)
    elif release.former_settings.is_file():
        durable.rename(release.former_settings, release.settings)


def _point(places: Places, link: Path, name: str | None) -> None:
    release = _named(places, name)
    if release is None:
        durable.remove(link)
    elif places.linked(link) != release:
        durable.point(link, f"releases/{release.name}")


def _named(places: Places, name: str | None) -> Release | None:
    try:
        return None if name is None else places.release(name)
    except ManifestError as exc:
        raise Refused(f"{places.pending} names {name!r}, which is no release: remove it, then activate one") from exc
