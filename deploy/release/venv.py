"""A release's venv: made at its final path, filled from the release's own wheels and nothing else."""

from __future__ import annotations

import json

from . import commands, durable
from .device import python_of
from .manifest import REQUIREMENTS, Manifest
from .outcome import Refused
from .places import Places, Release

MAKE_S = 300.0
PIP_S = 1800.0  # a Pi Zero 2 with a slow card
RUN_S = 120.0
PIP = (
    "install",
    "--no-index",
    "--no-deps",
    "--ignore-installed",
    "--require-hashes",
    "--only-binary=:all:",
    "--no-cache-dir",
    "--disable-pip-version-check",
    "--no-input",
    "--quiet",
    "--root-user-action=ignore",
)


def make(places: Places, release: Release, manifest: Manifest) -> None:
    """Makes ``release``'s venv of what was unpacked there; raises Refused with pip's own words."""
    venv, scratch = release.folder / "venv", release.folder / "tmp"
    durable.remove_tree(venv)
    options = ["--without-pip", *(["--system-site-packages"] if manifest.system_site_packages else [])]
    done = commands.run([places.python, "-I", "-m", "venv", *options, venv], timeout=MAKE_S)
    if done.code:
        raise Refused(f"{places.python} made no venv ({done.last}): apt-get install --reinstall libpython3-stdlib")
    scratch.mkdir(exist_ok=True)
    sources = ("--find-links", release.folder / "wheels", "-r", release.folder / REQUIREMENTS)
    extra = {"PIP_CONFIG_FILE": "/dev/null", "TMPDIR": str(scratch)}
    pip = release.folder / manifest.pip / "pip"
    done = commands.run([release.python, "-I", pip, *PIP, *sources], timeout=PIP_S, extra=extra)
    durable.remove_tree(scratch)
    if done.code:
        raise Refused(
            f"pip could not install the wheels ({_pip_reason(done)}): free the disk, or build the bundle anew"
        )


def expect_version(release: Release, manifest: Manifest) -> None:
    """The program runs and is what the manifest says; else Refused."""
    done = commands.run([release.program, "version", "--json"], timeout=RUN_S)
    found = parse_last(done.out)
    if done.code or not found:
        raise Refused(f"{release.program} does not run ({done.last}): build the bundle anew for this system")
    for name in ("version", "outbox_format"):
        said, is_ = getattr(manifest, name), found.get(name)
        if said != is_:
            raise Refused(f"the program's {name} is {is_}, its manifest says {said}: build the bundle anew")


def problem(release: Release) -> str:
    """What keeps a release's venv from running; empty when nothing does."""
    manifest = release.manifest()
    if manifest is None:
        return "its manifest cannot be read"
    found, _ = python_of(release.python)
    if not found:
        return f"its Python {manifest.requires.python} is gone from this system"
    if found != manifest.requires.python:
        return f"it was built for Python {manifest.requires.python}, this system has {found}"
    return "" if release.program.is_file() else "its program is gone"


def parse_last(out: str) -> dict[str, object]:
    """The JSON object in the last line of a program's output, or in all of it; empty without one."""
    for text in (out, *out.strip().splitlines()[-1:]):
        try:
            document = json.loads(text)
        except ValueError:
            continue
        if isinstance(document, dict):
            return document
    return {}


def _pip_reason(done: commands.Done) -> str:
    errors = [line for line in done.err.splitlines() if line.startswith("ERROR")]
    return (errors[-1] if errors else done.last)[:300]
