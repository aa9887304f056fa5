"""A small checkout to make bundles of: this one's bundler, with a build and packages that need no index."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deploy.bundling import locks
from deploy.bundling.locks import Lock, Wheel
from tests.support import ROOT

NAME = "preact-edge-9.9.9-debian-amd64.bundle"

PYPROJECT = """\
[build-system]
requires = ["toybuild"]
build-backend = "toybuild"

[project]
name = "preact-edge"
version = "9.9.9"
dependencies = ["toydep>=1"]
"""

# As bad as a build may be: its archive bears the clock, the umask and the order in which the disk lists files.
TOYBUILD = """\
import os, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name, info = "preact_edge-9.9.9-py3-none-any.whl", "preact_edge-9.9.9.dist-info"
    with zipfile.ZipFile(os.path.join(folder, name), "w", zipfile.ZIP_DEFLATED, compresslevel=os.getpid() % 9 + 1) as z:
        z.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: preact-edge\\nVersion: 9.9.9\\n")
        z.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        z.writestr(f"{info}/RECORD", "")
        for file in os.listdir("edge"):
            if file.endswith(".py"):
                z.write(os.path.join("edge", file))
    return name
"""


@dataclasses.dataclass(frozen=True)
class Toy:
    """``tree`` is the checkout, ``index`` a folder with its packages, ``cache`` where fetched ones are kept."""

    tree: Path
    index: Path
    cache: Path
    key: Path
    out: Path

    def run(
        self, *arguments: str | Path, umask: int = 0o022, limit: int | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """``deploy/bundle`` in the checkout, without a terminal; ``limit`` is the largest file it may write, bytes."""
        command: list[str | Path] = [sys.executable, "-m", "deploy.bundling", *arguments]
        if limit is not None:
            command = ["sh", "-c", f'ulimit -f {limit // 512}; exec "$@"', "sh", *command]
        return subprocess.run(
            command,
            cwd=self.tree,
            env={**self.environment, **env},
            umask=umask,
            start_new_session=True,
            capture_output=True,
            text=True,
            timeout=100,
        )

    def build(self, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        """A bundle for debian-amd64."""
        return self.run("--target", "debian-amd64", "--key", self.key, "--out", self.out, *arguments, **env)

    @property
    def kept(self) -> Path:
        """The folder of fetched packages."""
        return self.cache / "preact-edge" / "wheels"

    @property
    def environment(self) -> dict[str, str]:
        foreign = ("PIP_", "SSH_", "GIT_", "SOURCE_DATE_EPOCH")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        own = {"XDG_CACHE_HOME": str(self.cache), "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
        git = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}  # one may ask for signed commits
        return {**kept, **own, **git, "PIP_FIND_LINKS": self.index.as_uri()}

    @property
    def bundles(self) -> list[str]:
        """The names of all that lies where bundles go."""
        return sorted(path.name for path in self.out.glob("*")) + sorted(path.name for path in self.out.glob(".*"))

    def commit(self) -> None:
        """Commit the checkout as it is; the same files give the same commit."""
        who = {f"GIT_{role}_{what}": "t@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        when = {"GIT_AUTHOR_DATE": "1790000000 +0000", "GIT_COMMITTER_DATE": "1790000000 +0000"}
        for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "toy"]):
            subprocess.run(
                ["git", *arguments], cwd=self.tree, env={**self.environment, **who, **when}, check=True, timeout=60
            )


def make_toy(folder: Path) -> Toy:
    """A committed checkout in ``folder``, with its own packages, locks and key; the packages are fetched already."""
    for tool in ("git", "ssh-keygen"):
        if not shutil.which(tool):
            pytest.skip(f"needs {tool}")
    toy = Toy(folder / "a tree", folder / "an index", folder / "cache", folder / "release.key", folder / "out")
    ignored = shutil.ignore_patterns("__pycache__", "nestjs", "train", "golden", "*.tflite")
    for part in ("edge", "models", "deploy"):
        shutil.copytree(ROOT / part, toy.tree / part, ignore=ignored)
    (toy.tree / "README.md").write_text("A toy.\n")
    (toy.tree / "pyproject.toml").write_text(PYPROJECT)
    (toy.tree / ".gitignore").write_text("__pycache__/\n")
    toy.index.mkdir()
    wheels = [make_wheel(toy.index, name, "1.5") for name in ("pip", "toydep")]
    tools = (make_wheel(toy.index, "toybuild", "1.0", {"toybuild.py": TOYBUILD}),)
    lock = Lock(format=1, target="debian-amd64", dependencies=("toydep>=1",), constraints=(), wheels=tuple(wheels))
    build = Lock(format=1, target="build", dependencies=("toybuild",), constraints=(), wheels=tools)
    for made in (lock, build):
        locks.path_of(toy.tree, made.target).write_text(locks.dump(made))
    shutil.copytree(toy.index, toy.kept)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", toy.key, "-C", "release"], check=True)
    toy.commit()
    return toy


def make_wheel(folder: Path, name: str, version: str, files: dict[str, str] | None = None, needs: str = "") -> Wheel:
    """A wheel in the folder, and its entry in a lock; ``needs`` is one line of METADATA."""
    info = f"{name}-{version}.dist-info"
    everything = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **(files or {}),
    }
    everything[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in (*everything, f"{info}/RECORD"))
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as packed:
        for file, text in everything.items():
            packed.writestr(file, text)
    data = path.read_bytes()
    return Wheel(name=name, version=version, file=path.name, sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def failed(toy: Toy, done: subprocess.CompletedProcess[str]) -> str:
    """The one line that says why, where nothing was left behind."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("deploy/bundle: ")]
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert len(lines) == 1, done.stderr
    assert toy.bundles == []
    return lines[0]


def make_deb(folder: Path, name: str, architecture: str) -> Path:
    """An empty Debian package, alone in a folder; the test is skipped where nothing can make one."""
    if not shutil.which("dpkg-deb"):
        pytest.skip("needs dpkg-deb")
    (folder / name / "DEBIAN").mkdir(parents=True)
    control = f"Package: {name}\nVersion: 1\nArchitecture: {architecture}\nMaintainer: t <t@example.org>\n"
    (folder / name / "DEBIAN" / "control").write_text(f"{control}Description: test\n")
    (folder / "debs").mkdir()
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", folder / name, folder / "debs" / f"{name}.deb"], check=True)
    return folder / "debs" / f"{name}.deb"
