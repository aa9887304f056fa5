"""Debian packages of another suite and architecture, asked for and fetched with this machine's apt.

apt works in a folder of its own: this system's packages and lists are neither read nor changed. Its sources are this
machine's Debian sources with the suite changed, checked with the keys that are installed here.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.bundling.errors import BundleError
from deploy.bundling.locks import Deb
from deploy.bundling.process import last_words, run
from deploy.bundling.targets import Target
from deploy.bundling.wheels import Say, cache, keep, sha256_of

NO_APT = "on a system without it, give each package that the lock names with --with FILE"
SOURCES = ("sources.list", "sources.list.d/debian.list", "sources.list.d/debian.sources")


def resolve(target: Target, say: Say) -> tuple[Deb, ...]:
    """The target's packages and what they need and the system lacks, as the suite has them today; fetches them."""
    if not target.debs:
        return ()
    say(f"asking apt for {target.suite} on {target.architecture}")
    found: dict[str, Deb] = {}
    with _apt(target.suite, target.architecture) as apt:
        waiting = list(target.debs.items())
        while waiting:
            name, reason = waiting.pop()
            if name in found or name in target.system:
                continue
            record = _record(apt, name)
            found[name] = _deb(record, target.suite, reason)
            waiting += [(needed, f"{name} needs it") for needed in _needs(record)]
        for deb in found.values():
            _download(apt, deb)
    return tuple(found[name] for name in sorted(found))


def have(debs: Sequence[Deb], architecture: str, say: Say) -> list[Path]:
    """The files of these packages, in their order, each checked; fetches those that are not there."""
    missing = [deb for deb in debs if not is_there(cache() / deb.file, deb.sha256)]
    for suite in sorted({deb.suite for deb in missing}):
        say(f"asking apt for {suite} on {architecture}")
        with _apt(suite, architecture) as apt:
            for deb in missing:
                if deb.suite == suite:
                    say(f"fetching {deb.file}, {deb.size / 1e6:.1f} MB")
                    _download(apt, deb)
    return [cache() / deb.file for deb in debs]


def is_there(path: Path, sha256: str) -> bool:
    """Whether it is this very file."""
    return path.is_file() and sha256_of(path) == sha256


def described(path: Path) -> tuple[str, str]:
    """Name and architecture of the package in a file."""
    done = run(["dpkg-deb", "--field", path, "Package", "Architecture"], missing="install dpkg, which reads packages")
    fields = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    if done.returncode or len(fields) != 2:
        raise BundleError(f"{path}: is no Debian package: {last_words(done)}")
    return fields["Package"], fields["Architecture"]


@contextmanager
def _apt(suite: str, architecture: str) -> Iterator[Path]:
    """A folder with lists of that suite; commands for it run with APT_CONFIG."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for made in ("state/lists/partial", "cache/archives/partial", "parts", "got"):
            (folder / made).mkdir(parents=True)
        (folder / "status").touch()
        _sources(suite, folder / "parts")
        (folder / "apt.conf").write_text(
            f'#clear APT::Architectures;\nAPT::Architecture "{architecture}";\n'
            f'APT::Architectures {{ "{architecture}"; }};\nAPT::Sandbox::User "";\nAcquire::Languages "none";\n'
            f'Dir::State "{folder}/state";\nDir::State::status "{folder}/status";\nDir::Cache "{folder}/cache";\n'
            f'Dir::Etc::sourcelist "/dev/null";\nDir::Etc::sourceparts "{folder}/parts";\n',
            encoding="utf-8",
        )
        done = _run(folder, "apt-get", "-qq", "update")
        if done.returncode:
            raise BundleError(f"apt cannot read {suite} for {architecture}: {last_words(done)}; {NO_APT}")
        yield folder


def _sources(suite: str, parts: Path) -> None:
    """This machine's Debian sources with the suite changed."""
    release = Path("/etc/os-release")
    here = re.search(r"^VERSION_CODENAME=(\w+)$", release.read_text() if release.exists() else "", re.MULTILINE)
    found = [Path("/etc/apt", name) for name in SOURCES if Path("/etc/apt", name).is_file()]
    texts = {path.name: path.read_text(encoding="utf-8") for path in found}
    if here is None or not any(here[1] in text for text in texts.values()):
        raise BundleError(f"this machine's apt has no Debian sources to find {suite} with; {NO_APT}")
    for name, text in texts.items():
        (parts / name).write_text(re.sub(rf"\b{here[1]}\b", suite, text), encoding="utf-8")


def _run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "LC_ALL": "C.UTF-8"}
    return run(command, env=env, cwd=folder / "got", missing=NO_APT)


def _record(folder: Path, name: str) -> dict[str, str]:
    done = _run(folder, "apt-cache", "show", "--no-all-versions", name)
    fields = re.findall(r"^([\w-]+): (.*)$", done.stdout, re.MULTILINE)
    if done.returncode or not fields:
        raise BundleError(f"package {name}: {last_words(done)}")
    return dict(fields)


def _needs(record: dict[str, str]) -> list[str]:
    """The first alternative of each dependency, without version and architecture."""
    text = ", ".join(record[field] for field in ("Pre-Depends", "Depends") if field in record)
    return [re.split(r"[ :(|]", item.strip())[0] for item in text.split(",") if item.strip()]


def _deb(record: dict[str, str], suite: str, reason: str) -> Deb:
    version = record["Version"]
    return Deb(
        name=record["Package"],
        version=version,
        file=f"{record['Package']}_{version.replace(':', '%3a')}_{record['Architecture']}.deb",
        sha256=record["SHA256"],
        size=int(record["Size"]),
        suite=suite,
        reason=reason,
    )


def _download(folder: Path, deb: Deb) -> None:
    done = _run(folder, "apt-get", "-qq", "download", f"{deb.name}={deb.version}")
    got = folder / "got" / deb.file
    if done.returncode or not got.exists():
        raise BundleError(
            f"package {deb.name} {deb.version}: {last_words(done)}; renew the lock (deploy/bundle lock), "
            f"or give the file with --with {deb.file}"
        )
    if not is_there(got, deb.sha256):
        raise BundleError(f"package {deb.name} {deb.version}: apt has another file than the lock names; do not use it")
    keep(got, cache(), deb.file)
