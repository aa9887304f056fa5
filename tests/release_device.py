"""A made-up device to install releases on: a folder that stands for /, and scripts that stand for systemd and dpkg.

The installer is the real one, run as on a device; so are keys, venv and pip.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from deploy.release.manifest import MANIFEST, NAMESPACE, PRINCIPAL
from tests.releases import PYTHON, Made, new_key
from tests.support import ROOT

GOOD = "good\n"

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
# Stands for Python where its start, a venv and pip are not what is tested: 20 times as fast.
PYTHON3 = """#!/bin/sh
for last; do :; done
case "$*" in
    *' -c '*) echo '@VERSION@ 64' ;;
    *' venv '*) mkdir -p "$last/bin" && cp "$0" "$last/bin/python" ;;
    *) cd "${0%/python}" && cp ../../models/program preact-edge && chmod 755 preact-edge ;;
esac
"""
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


def updated_device(folder: Path) -> Device:
    """A hastened device on which 0.4.0 runs, 0.3.0 ran before, and 0.5.0 is installed."""
    device = Device(folder / "a device", new_key(folder))
    device.hasten()
    ended = device.install("0.3.0")
    assert ended.code == 0, ended.said
    for release in ("0.4.0", "0.5.0"):
        device.grow(release, like="0.3.0")
    for release in ("0.3.0", "0.4.0"):
        ended = device.activate(release)
        assert ended.code == 0, ended.said
    return device


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

    def hasten(self) -> None:
        """From here on a script stands for Python: installs and looks at a venv take no time."""
        path = self.root / "usr/bin/python3"
        path.unlink()
        path.write_text(PYTHON3.replace("@VERSION@", PYTHON))
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
        return self.run("activate", release, *config, "--settle-s", "0", *more)

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

    def keep(self, name: str = "kept") -> Path:
        """A copy of all that can change, for `restore`."""
        kept = self.root.parent / name
        shutil.rmtree(kept, ignore_errors=True)
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


def rolled_back(device: Device, ended: Ended, reason: str) -> None:
    assert ended.code == 3, ended.said
    assert ended.told["rolled_back"] is True
    assert ended.told["ok"] is False
    assert reason in ended.told["reason"]
    assert json.loads((device.home / "outcome.json").read_text())["reason"] == ended.told["reason"]
