"""Makes bundles: the wheel once, then for each target its files, its manifest, the signature, the tar."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploy.bundling import archive, contents, locks, models, signing, source
from deploy.bundling.contents import Release
from deploy.bundling.errors import BundleError
from deploy.bundling.locks import Lock
from deploy.bundling.source import Checkout
from deploy.bundling.targets import Target
from deploy.bundling.wheels import Say, cache, have, keep, sha256_of
from deploy.release.manifest import MANIFEST, SIGNATURE, ManifestError, release_name


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What one run makes."""

    targets: tuple[Target, ...]
    key: Path
    out: Path
    label: str = ""
    models: tuple[str, ...] = ()
    models_from: Path | None = None
    debs: tuple[Path, ...] = ()
    given: tuple[Path, ...] = ()


@dataclasses.dataclass(frozen=True)
class Made:
    """One bundle; ``signers`` is the line that devices need, ``files`` how many it has beside the manifest."""

    path: Path
    release: str
    target: Target
    sha256: str
    size: int
    files: int
    signers: str
    commit: str


def build(root: Path, wanted: Wanted, say: Say) -> list[Made]:
    """BundleError where anything is amiss; then no bundle of that target is left."""
    kind = signing.kind_of(wanted.key)
    checkout = source.checkout(root, wanted.label)
    read = {target.name: _fresh_lock(root, target) for target in wanted.targets}
    _take(wanted.given, list(read.values()))
    for target in wanted.targets:  # before the build, not after it
        contents.given_files(target, read[target.name])
    archive.check_folder(wanted.out)
    with tempfile.TemporaryDirectory(prefix="preact-edge-bundle-") as scratch:
        work = Path(scratch)
        release = _release(checkout, wanted, work, say)
        if kind == signing.TOUCHED:
            say("touch the token when it blinks; its signatures differ each time, so this bundle's bytes do, too")
        return [
            _bundle(release, target, read[target.name], wanted, work / target.name, say) for target in wanted.targets
        ]


def _fresh_lock(root: Path, target: Target) -> Lock:
    lock = locks.read(root, target.name)
    if (lock.dependencies, lock.constraints) != (source.dependencies(root), target.constraints):
        raise BundleError(
            f"{locks.path_of(root, target.name)}: is of other dependencies than pyproject.toml has; "
            f"renew and commit it: deploy/bundle lock {target.name}"
        )
    return lock


def _take(given: Sequence[Path], read: Sequence[Lock]) -> None:
    """Keep files that were given by hand, where a lock names them."""
    known = {file: sha256 for lock in read for file, sha256 in lock.hashes.items()}
    for path in given:
        if path.name not in known:
            raise BundleError(f"{path}: no lock of these targets names it; --deb adds a package that no lock names")
        if not path.is_file():
            raise BundleError(f"{path}: there is no such file")
        if known[path.name] and sha256_of(path) != known[path.name]:
            raise BundleError(f"{path}: is another file than the lock names; do not use it before you know why")
        keep(path, cache(), path.name)


def _release(checkout: Checkout, wanted: Wanted, work: Path, say: Say) -> Release:
    lock = locks.read(checkout.root, locks.BUILD)
    if lock.dependencies != source.build_requirements(checkout.root):
        path = locks.path_of(checkout.root, locks.BUILD)
        raise BundleError(f"{path}: is of another build than pyproject.toml has; renew it: deploy/bundle lock build")
    tools = have(lock.wheels, "3.10", ["any"], say)
    say(f"building the wheel of commit {checkout.commit[:12]}{'-dirty' if checkout.commit.endswith('-dirty') else ''}")
    wheel = source.build_wheel(checkout, tools, work)
    name = f"{contents.version_of(wheel)}+{wanted.label}" if wanted.label else contents.version_of(wheel)
    try:
        release_name(name)
    except ManifestError as error:
        raise BundleError(f"--label {wanted.label}: {error}; a label is made of a-z, 0-9, dots and dashes") from error
    outbox = source.outbox_format(checkout)
    return Release(
        name, checkout, wheel, outbox, *models.collect(checkout.root, wanted.models, wanted.models_from, work, say)
    )


def _bundle(release: Release, target: Target, lock: Lock, wanted: Wanted, work: Path, say: Say) -> Made:
    say(f"bundling {release.name} for {target.name}")
    work.mkdir()
    files, named_debs = contents.packages(target, lock, wanted.debs, say)
    files |= {f"wheels/{release.wheel.name}": release.wheel, **release.model_files, **contents.unit(release.checkout)}
    files = contents.ordered(files | contents.write_requirements(lock, release.wheel, work))
    manifest = contents.manifest(target, release, named_debs, files)
    (work / MANIFEST).write_bytes(manifest.dump())
    signature = signing.sign(work / MANIFEST, wanted.key)
    signers = signing.signers_line(signature)
    path = wanted.out / f"preact-edge-{release.name}-{target.name}.bundle"
    with archive.in_one_step(path) as part:
        archive.write(part, {MANIFEST: work / MANIFEST, SIGNATURE: signature, **files}, release.checkout.date)
        say("reading it back")
        archive.read_back(part, signers, work)
    shutil.rmtree(work)
    return Made(
        path, release.name, target, sha256_of(path), os.stat(path).st_size, len(files), signers, release.checkout.commit
    )
