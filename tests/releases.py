"""A made-up device to install releases on: a folder that stands for /, and scripts that stand for systemd and dpkg.

The installer is the real one, run as on a device, with real keys, a real venv and a real pip; a release's program is
a small script that answers as its words, in itself or in its settings, say.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import importlib.util
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from deploy.release.manifest import MANIFEST, NAMESPACE, PRINCIPAL, SIGNATURE, Manifest, Member, Requires
from tests.support import ROOT

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
UNIT = b"[Service]\nUser=preact-edge\nLoadCredential=device.pem:/etc/preact-edge/credentials/device.pem\n"
GOOD = "good\n"

PROGRAM = """#!/bin/sh
version='@VERSION@' state='@STATE@' words='@WORDS@'
settings=/dev/null previous=
for argument; do
    if [ "$previous" = -c ]; then settings=$argument; fi
    previous=$argument
done
has() { case " $words $(tr '\\n' ' ' <"$settings") " in *" $1 "*) true ;; *) false ;; esac; }
echo "$version $*" >>"$state/programs"
case $1 in
    version) echo "{\\"version\\": \\"$version\\", \\"outbox_format\\": @FORMAT@}" ;;
    check) if has check-fails; then echo 'problem  config   no.such: unknown setting'; exit 2; fi ;;
    selftest)
        if has selftest-fails; then echo '{"ok": false, "problems": ["3 of 9 boxes are missing"]}'; exit 1; fi
        echo '{"ok": true, "problems": [], "runtime": "made up", "fps": {"golden": 20.5}}' ;;
    run) if has starts-not; then echo 'no such model' >&2; exit 1; fi ;;
    outbox)
        case $2 in
            backup) cp "$state/outbox" "$3" ;;
            show) [ "$(cat "$state/outbox")" -le @FORMAT@ ] ;;
            restore) cp "$3" "$state/outbox" ;;
        esac ;;
    health)
        status=ok ok=true reason= camera=ok
        if has blind; then status=blind ok=false reason='a hand before it'; fi
        if has no-camera; then status=blind ok=false reason='no camera' camera=failed; fi
        if has degraded; then status=degraded reason='on the CPU'; fi
        if has restarts; then echo 1 >"$state/restarts"; fi
        if has other-version; then version=9.9; fi
        if [ ! -e "$state/active" ]; then status=unreachable ok=false reason='nothing listens'; fi
        boot=$(cat "$state/invocation")
        if has same-boot; then boot=1; fi
        printf '{"ok": %s, "status": "%s", "reason": "%s", "version": "%s", ' "$ok" "$status" "$reason" "$version"
        printf '"boot_id": "%s", "fps": 9.5, "components": {"camera": {"state": "%s"}}}\\n' "$boot" "$camera"
        $ok ;;
esac
"""

SYSTEMCTL = """#!/bin/sh
cd "@STATE@"
echo "systemctl $*" >>calls
starts() {
    echo 0 >restarts
    rm -f active
    "@HOME@/current/venv/bin/preact-edge" run -c "@HOME@/current/config/preact-edge.toml" 2>journal || return 1
    echo $(($(cat invocation) + 1)) >invocation
    basename "$(readlink "@HOME@/current")" >active
}
case $1 in
    show)
        if [ -e active ]; then echo ActiveState=active; echo SubState=running; else
            echo ActiveState=inactive; echo SubState=dead; fi
        echo "NRestarts=$(cat restarts)"
        echo "InvocationID=$(cat invocation)"
        echo StatusText=
        echo ExecMainPID=1 ;;
    stop) rm -f active ;;
    start) starts ;;
    --no-block) starts || true ;;
    enable) touch enabled ;;
    disable) rm -f enabled ;;
esac
"""
SYSTEMD_RUN = """#!/bin/sh
echo "systemd-run $*" >>"@STATE@/calls"
case "$*" in *preact-edge-guard*) exit 0 ;; esac
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
"""
DPKG_QUERY = """#!/bin/sh
for name; do :; done
if [ -e "@STATE@/package-$name" ]; then printf installed; else exit 1; fi
"""
DPKG = """#!/bin/sh
echo "dpkg $*" >>"@STATE@/calls"
shift
for file; do
    if ! grep -q deb "$file"; then echo "dpkg: error: no package" >&2; exit 1; fi
    name=${file##*/}
    touch "@STATE@/package-${name%%_*}"
done
"""
JOURNALCTL = '#!/bin/sh\ncat "@STATE@/journal" 2>/dev/null || true\n'
TIMEDATECTL = '#!/bin/sh\ncat "@STATE@/clock" 2>/dev/null || echo yes\n'
SCRIPTS = {
    "systemctl": SYSTEMCTL,
    "systemd-run": SYSTEMD_RUN,
    "dpkg": DPKG,
    "dpkg-query": DPKG_QUERY,
    "journalctl": JOURNALCTL,
    "timedatectl": TIMEDATECTL,
}


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a run of the installer ended: its exit code, the object of --json, what it said to people."""

    code: int
    told: dict[str, Any]
    said: str


class Device:
    """One such device; ``root`` stands for /, ``state`` is what the scripts know."""

    def __init__(self, folder: Path, key: Path) -> None:
        self.root, self.state, self.bin, self.key = folder / "root", folder / "state", folder / "bin", key
        self.home = self.root / "opt/preact-edge"
        for path in (self.root / "usr/bin", self.root / "etc/preact-edge/credentials", self.state, self.bin):
            path.mkdir(parents=True)
        (self.root / "var/lib/preact-edge").mkdir(parents=True)
        (self.root / "usr/bin/python3").symlink_to(os.path.realpath(sys.executable))
        (self.root / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12"\n')
        (self.root / "etc/preact-edge/credentials/device.pem").write_text("a certificate\n")
        self.signers = self.root / "etc/preact-edge/release-signers"
        self.trust(key)
        for name, text in SCRIPTS.items():
            self.script(name, text)
        for name, value in (("invocation", "1"), ("restarts", "0"), ("outbox", "1")):
            (self.state / name).write_text(f"{value}\n")

    def script(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(text.replace("@STATE@", str(self.state)).replace("@HOME@", str(self.home)))
        path.chmod(0o755)

    def trust(self, key: Path) -> None:
        public = key.with_name(f"{key.name}.pub").read_text()
        self.signers.write_text(f'# trusted\n{PRINCIPAL} namespaces="{NAMESPACE}" {public}')

    def command(self, *arguments: str | Path) -> list[str]:
        tool = ROOT / "deploy/release"
        return [sys.executable, "-I", str(tool), "--root", str(self.root), *map(str, arguments)]

    def environ(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}"}

    def run(self, *arguments: str | Path) -> Ended:
        """Runs the installer to its end, --json added."""
        done = subprocess.run(
            self.command(*arguments, "--json"),
            env=self.environ(),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        lines = done.stdout.splitlines()
        return Ended(done.returncode, json.loads(lines[-1]) if lines else {}, done.stderr)

    def settings(self, words: str = GOOD) -> Path:
        path = self.home / "incoming.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(words)
        return path

    def activate(self, release: str, words: str | None = GOOD, *more: str) -> Ended:
        config: list[str | Path] = [] if words is None else ["--config", self.settings(words)]
        return self.run("activate", release, *config, "--settle-s", "0", "--health-s", "2", *more)

    def bundle(self, release: str, **wishes: Any) -> Path:
        """A signed bundle of a made-up release."""
        path = self.root.parent / f"{release}.bundle"
        Made(release, self.state, **wishes).write(path, self.key)
        return path

    def install(self, release: str, **wishes: Any) -> Ended:
        return self.run("install", self.bundle(release, **wishes))

    def grow(self, release: str, *, like: str, words: str = "", outbox_format: int = 1) -> None:
        """A release that is installed in no time: ``like``'s folder with another program."""
        folder, origin = self.home / "releases" / release, self.home / "releases" / like
        shutil.copytree(origin, folder, symlinks=True, ignore=shutil.ignore_patterns("config"))
        made = Made(release, self.state, words=words, outbox_format=outbox_format)
        (folder / "config").mkdir()
        (folder / MANIFEST).write_bytes(made.manifest().dump())
        (folder / "venv/bin/preact-edge").write_text(made.program)
        (folder / "systemd/preact-edge.service").write_bytes(made.files["systemd/preact-edge.service"])

    def seen(self) -> dict[str, str | None]:
        """What an update changes, to be compared: links, the unit, settings, what runs."""
        files = [self.root / "etc/systemd/system/preact-edge.service"]
        files += sorted(self.home.glob("releases/*/config/*.toml"))
        previous = self.home / "previous"
        return {
            "current": self.current(),
            "previous": os.readlink(previous) if previous.is_symlink() else None,
            "running": self.running(),
            "pending": "yes" if (self.home / "pending.json").exists() else "no",
            **{str(path.relative_to(self.root)): path.read_text() for path in files if path.exists()},
        }

    def keep(self) -> Path:
        """A copy of all that can change, for `restore`."""
        kept = self.root.parent / "kept"
        for folder in (self.root, self.state):
            shutil.copytree(folder, kept / folder.name, symlinks=True)
        return kept

    def restore(self, kept: Path) -> None:
        for folder in (self.root, self.state):
            shutil.rmtree(folder)
            shutil.copytree(kept / folder.name, folder, symlinks=True)

    def current(self) -> str | None:
        link = self.home / "current"
        return Path(os.readlink(link)).name if link.is_symlink() else None

    def running(self) -> str | None:
        """The release whose service runs."""
        active = self.state / "active"
        return active.read_text().strip() if active.exists() else None

    def calls(self) -> list[str]:
        path = self.state / "calls"
        return path.read_text().splitlines() if path.exists() else []


class Made:
    """The parts of a made-up bundle, to be written as they are or changed first."""

    def __init__(self, release: str, state: Path, *, words: str = "", outbox_format: int = 1, **changed: Any) -> None:
        self.version = release.partition("+")[0]
        program = PROGRAM.replace("@VERSION@", self.version).replace("@STATE@", str(state))
        self.program = program.replace("@WORDS@", words).replace("@FORMAT@", str(outbox_format))
        wheel_name = f"preact_edge-{self.version}-py3-none-any.whl"
        wheel = _wheel(self.version, self.program)
        digest = hashlib.sha256(wheel).hexdigest()
        self.files = {
            "pip/pip-1-py3-none-any.whl": _pip(),
            "requirements.txt": f"preact-edge=={self.version} --hash=sha256:{digest}\n".encode(),
            f"wheels/{wheel_name}": wheel,
            "models/tiny/model.tflite": b"a model",
            "systemd/preact-edge.service": UNIT + f"# of {release}\n".encode(),
            **changed.pop("files", {}),
        }
        self.fields = {
            "release": release,
            "version": self.version,
            "target": "made-up",
            "commit": "0123abc",
            "date": "2026-11-23T10:00:00Z",
            "outbox_format": outbox_format,
            "requires": Requires(platform.machine(), {"debian": ("12",)}, PYTHON),
            "system_site_packages": False,
            "models": ("tiny",),
            "pip": "pip/pip-1-py3-none-any.whl",
            "debs": {},
            **changed,
        }

    def manifest(self) -> Manifest:
        members = {name: Member(hashlib.sha256(data).hexdigest(), len(data)) for name, data in self.files.items()}
        return Manifest(files=members, **self.fields)

    def members(self, key: Path, manifest: bytes | None = None) -> list[tuple[str, bytes]]:
        """All members in their order, the manifest signed with ``key``."""
        manifest = manifest or self.manifest().dump()
        first = [(MANIFEST, manifest), (SIGNATURE, sign(manifest, key))]
        return first + sorted(self.files.items())

    def write(self, path: Path, key: Path) -> None:
        write_tar(path, self.members(key))


def write_tar(path: Path, members: Sequence[tuple[str | tarfile.TarInfo, bytes]]) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = info.size or len(data)
            tar.addfile(info, io.BytesIO(data))


def new_key(folder: Path, name: str = "key") -> Path:
    """A signing key; skips where there is no ssh-keygen."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("needs ssh-keygen, of Debian's package openssh-client")
    key = folder / name
    options = ("-q", "-t", "ed25519", "-N", "", "-C", "tests")
    subprocess.run(["ssh-keygen", *options, "-f", str(key)], check=True)
    return key


def sign(data: bytes, key: Path, namespace: str = NAMESPACE) -> bytes:
    command = ["ssh-keygen", "-Y", "sign", "-q", "-f", str(key), "-n", namespace]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def _wheel(version: str, program: str) -> bytes:
    info = f"preact_edge-{version}.dist-info"
    parts = {
        f"preact_edge-{version}.data/scripts/preact-edge": program,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: preact-edge\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    parts[f"{info}/RECORD"] = _record(parts) + f"{info}/RECORD,,\n"
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as wheel:
        for name, text in parts.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o100755 << 16
            wheel.writestr(entry, text)
    return made.getvalue()


def _record(parts: Mapping[str, str]) -> str:
    digests = {name: hashlib.sha256(text.encode()).digest() for name, text in parts.items()}
    lines = (
        f"{name},sha256={base64.urlsafe_b64encode(digest).decode().rstrip('=')}," for name, digest in digests.items()
    )
    return "".join(f"{line}\n" for line in lines)


@functools.cache
def _pip() -> bytes:
    """The pip of these tests' own Python, as a file that Python can run, as a wheel of it is."""
    spec = importlib.util.find_spec("pip")
    if spec is None or spec.origin is None:
        pytest.skip("needs pip, which this Python does not have")
    package = Path(spec.origin).parent
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as wheel:
        for path in sorted(package.rglob("*")):
            if path.is_file() and path.suffix not in (".pyc", ".exe"):
                wheel.write(path, Path("pip") / path.relative_to(package))
    return made.getvalue()
