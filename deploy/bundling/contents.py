"""The files of one bundle, and the manifest that names them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from deploy.bundling import debs
from deploy.bundling.errors import BundleError
from deploy.bundling.locks import Given, Lock
from deploy.bundling.source import Checkout
from deploy.bundling.targets import Target
from deploy.bundling.wheels import Say, cache, have, sha256_of
from deploy.release.manifest import REQUIREMENTS, UNIT, Manifest, ManifestError, Member, Requires, parse

PIP = "pip"


@dataclasses.dataclass(frozen=True)
class Release:
    """What the bundles of all targets share: ``wheel`` is our own, ``model_files`` lie as in a model store."""

    name: str
    checkout: Checkout
    wheel: Path
    outbox: int
    models: Sequence[str]
    model_files: dict[str, Path]


def packages(
    target: Target, lock: Lock, extra_debs: Sequence[Path], say: Say
) -> tuple[dict[str, Path], dict[str, str]]:
    """The bundle's wheels and Debian packages under their names in it; the second is the manifest's ``debs``."""
    wheels = have(lock.wheels, target.python, target.platforms, say)
    files = {_place(wheel.name, path): path for wheel, path in zip(lock.wheels, wheels, strict=True)}
    named = dict(zip((deb.name for deb in lock.debs), debs.have(lock.debs, target.architecture, say), strict=True))
    for given, path in given_files(target, lock).items():
        if path.suffix == ".deb":
            named[given.name] = path
        else:
            files[_place(given.name, path)] = path
    named |= _taken_along(target, extra_debs)
    places = {name: f"debs/{path.name}" for name, path in named.items()}
    return files | {places[name]: path for name, path in named.items()}, places


def given_files(target: Target, lock: Lock) -> dict[Given, Path]:
    """The files that no index has; BundleError where one is not here yet."""
    found = {given: cache() / given.file for given in lock.by_hand}
    for given, path in found.items():
        fetch = f"fetch it from {given.address}, then: deploy/bundle"
        if not given.sha256:
            raise BundleError(
                f"target {target.name}: nobody gave {given.file} yet; {fetch} lock {target.name} --with {given.file}"
            )
        if not debs.is_there(path, given.sha256):
            raise BundleError(f"{given.file}: is not in {path.parent}; {fetch} ... --with {given.file}")
    return found


def requirements(lock: Lock, own: Path) -> str:
    """What pip installs on the device: every wheel with its hash, our own among them."""
    lines = {wheel.name: (wheel.version, wheel.sha256) for wheel in lock.wheels if wheel.name != PIP}
    wheels = [given for given in lock.by_hand if given.file.endswith(".whl")]
    lines |= {given.name: (given.file.split("-")[1], given.sha256) for given in wheels}
    lines["preact-edge"] = (version_of(own), sha256_of(own))
    return "".join(f"{name}=={lines[name][0]} --hash=sha256:{lines[name][1]}\n" for name in sorted(lines))


def version_of(own: Path) -> str:
    """Of our wheel."""
    return own.name.split("-")[1]


def manifest(target: Target, release: Release, named_debs: dict[str, str], files: dict[str, Path]) -> Manifest:
    """Of these files; BundleError where no device would take it."""
    made = Manifest(
        release=release.name,
        version=version_of(release.wheel),
        target=target.name,
        commit=release.checkout.commit,
        date=release.checkout.stamp,
        outbox_format=release.outbox,
        requires=Requires(target.machine, dict(target.os), target.python),
        system_site_packages=target.system_site_packages,
        models=tuple(release.models),
        pip=next(name for name in files if name.startswith("pip/")),
        debs=named_debs,
        files={name: Member(sha256_of(path), path.stat().st_size) for name, path in files.items()},
    )
    try:
        return parse(made.dump())
    except ManifestError as error:
        raise BundleError(f"release {release.name}: no device would take it: {error}") from error


def unit(source: Checkout) -> dict[str, Path]:
    """The systemd unit under its name in the bundle."""
    path = source.root / "deploy" / "systemd" / "preact-edge.service"
    if not path.is_file():
        raise BundleError(f"{path}: is missing; the checkout is not whole")
    return {UNIT: path}


def ordered(files: dict[str, Path]) -> dict[str, Path]:
    """Sorted by name."""
    return {name: files[name] for name in sorted(files)}


def write_requirements(lock: Lock, own: Path, work: Path) -> dict[str, Path]:
    """The file of ``requirements`` under its name in the bundle."""
    path = work / REQUIREMENTS
    path.write_text(requirements(lock, own), encoding="utf-8")
    return {REQUIREMENTS: path}


def _taken_along(target: Target, extra_debs: Sequence[Path]) -> dict[str, Path]:
    """Debian packages that were given by hand, by their names."""
    found: dict[str, Path] = {}
    for path in (each for given in extra_debs for each in _debs_in(given)):
        name, architecture = debs.described(path)
        if architecture not in ("all", target.architecture):
            raise BundleError(f"{path}: is for {architecture}; {target.name} needs one for {target.architecture}")
        if found.setdefault(name, path) != path:  # apt's folder keeps older versions
            raise BundleError(f"{path}: is {name}, and so is {found[name]}; remove the one that is not wanted")
    return found


def _debs_in(path: Path) -> list[Path]:
    """The file, or all packages in the folder."""
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.deb"))
    if not found:
        raise BundleError(f"{path}: has no .deb files in it")
    return found


def _place(name: str, path: Path) -> str:
    return f"{'pip' if name == PIP else 'wheels'}/{path.name}"
