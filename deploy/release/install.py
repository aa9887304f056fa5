"""A bundle becomes a release folder, whole or not at all; what runs is not touched."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from . import condition, debs, device, durable, prune, signature, venv
from .bundle import Bundle
from .job import Job
from .manifest import Manifest, ManifestError, parse
from .outcome import Refused
from .places import Places, Release, dump_json

PART, OLD = "part", "old"  # .RELEASE.part is being unpacked, .RELEASE.old was replaced by an install that goes on


def verify(job: Job, path: Path, signers: Path) -> tuple[Bundle, Manifest]:
    """The bundle and what it is, signed by a trusted key and whole; Refused otherwise."""
    with job.outcome.step("verify") as step:
        bundle = Bundle(path)
        key = signature.verify(bundle.manifest, bundle.signature, signers)
        try:
            manifest = parse(bundle.manifest)
        except ManifestError as exc:
            raise Refused(f"{path}: its manifest is none for this installer: {exc}; renew the installer") from exc
        job.outcome.release = manifest.release
        bundle.check(manifest)
        step.text = f"{manifest.release} for {manifest.target}, {len(manifest.files)} files, signed by {key}"
    return bundle, manifest


def install(job: Job, path: Path, signers: Path, *, keep: int, allow_downgrade: bool) -> None:
    """Makes the bundle's release ready to be activated; nothing is done where it is so already."""
    places, outcome = job.places, job.outcome
    mend(places)
    bundle, manifest = verify(job, path, signers)
    release = places.release(manifest.release)
    if whole(release, bundle):
        outcome.note(f"{manifest.release} is installed already")
        return
    with outcome.step("preflight") as step:
        device.expect_fit(device.look(places), manifest)
        _expect_replaceable(places, release, bundle)
        _expect_newer(places, manifest, allow_downgrade)
        condition.expect_power(places, outcome)
        condition.note_clock(outcome)
        step.text = condition.expect_room(places.releases, condition.needed_room(manifest))
    with _removed_on_failure(places, release):
        _fill(job, bundle, manifest, release)
    outcome.changed = True
    durable.remove_tree(_beside(release, OLD))
    prune.tidy(job, keep, spare=[release.name])


def whole(release: Release, bundle: Bundle) -> bool:
    """Whether this very bundle is installed there to its end, with a venv that still runs."""
    return release.installed().get("manifest_sha256") == bundle.sha256 and not venv.problem(release)


def mend(places: Places) -> None:
    """After an install that was cut off: what is not whole goes, what it was to replace comes back."""
    if not places.releases.is_dir():
        return
    for path in places.releases.glob(f".*.{PART}"):
        durable.remove_tree(path)
    for path in places.releases.glob(f".*.{OLD}"):
        release = Release(path.name[1 : -len(OLD) - 1], path.with_name(path.name[1 : -len(OLD) - 1]))
        if release.record.is_file():
            durable.remove_tree(path)
        else:
            durable.remove_tree(release.folder)
            durable.rename(path, release.folder)
    prune.remove_remains(places)


def _fill(job: Job, bundle: Bundle, manifest: Manifest, release: Release) -> None:
    outcome, began = job.outcome, time.time()
    part, old = _beside(release, PART), _beside(release, OLD)
    with outcome.step("unpack") as step:
        bundle.unpack(manifest, part)
        _keep_settings(release, part)
        step.text = f"{manifest.unpacked // 1_000_000} MB"
    if manifest.debs:
        with outcome.step("packages") as step:
            step.text = debs.install(manifest, part)
    if release.record.is_file():
        durable.rename(release.folder, old)
    durable.remove_tree(release.folder)
    durable.rename(part, release.folder)
    with outcome.step("venv") as step:
        venv.make(job.places, release, manifest)
        venv.expect_version(release, manifest)
        for name in ("debs", "pip", "wheels"):
            durable.remove_tree(release.folder / name)
        os.sync()  # thousands of small files: at once, instead of one by one
        step.text = f"Python {manifest.requires.python}"
    record = {
        "manifest_sha256": bundle.sha256,
        "installed": time.time(),
        "seconds": round(time.time() - began, 1),
    }
    durable.write(release.record, dump_json(record))


def _keep_settings(release: Release, part: Path) -> None:
    """A release that is installed once more has its settings."""
    (part / "config").mkdir()
    if release.settings.is_file():
        state = release.settings.stat()
        kept = part / "config" / release.settings.name
        durable.write(kept, release.settings.read_bytes(), state.st_mode & 0o777, state.st_gid)


@contextlib.contextmanager
def _removed_on_failure(places: Places, release: Release) -> Iterator[None]:
    """Frees the disk of what an install that failed has left, and puts back what it was to replace."""
    try:
        durable.remove_tree(_beside(release, PART))
        durable.remove_tree(_beside(release, OLD))
        places.releases.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException as exc:
        if not release.record.is_file():
            durable.remove_tree(release.folder)
        mend(places)
        if isinstance(exc, OSError):
            raise Refused(f"installing {release.name} failed: {exc}; mend the disk or make room, then again") from exc
        raise


def _expect_replaceable(places: Places, release: Release, bundle: Bundle) -> None:
    """A release that runs, or is to run when the present one fails, is not replaced by another build of its name."""
    if release.installed().get("manifest_sha256") in (None, bundle.sha256) or venv.problem(release):
        return
    for link in (places.current, places.previous):
        if places.linked(link) == release:
            raise Refused(
                f"{release.name} is installed from another bundle and is {link.name}: "
                "give the new build a name of its own, deploy/bundle --label"
            )


def _expect_newer(places: Places, manifest: Manifest, allow_downgrade: bool) -> None:
    current = places.linked(places.current)
    installed = current.manifest() if current else None
    if installed and manifest.age < installed.age and not allow_downgrade:
        raise Refused(
            f"{manifest.release} of {manifest.date[:10]} is older than {installed.release} of {installed.date[:10]}, "
            "which is current: --allow-downgrade if that is meant, or rollback to an installed one"
        )


def _beside(release: Release, word: str) -> Path:
    return release.folder.with_name(f".{release.name}.{word}")
