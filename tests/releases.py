"""Made-up bundles: real keys, real wheels, a real pip; the program in them is a small script that answers as its words,
in itself or in its settings, say.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.util
import io
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

from deploy.release.manifest import MANIFEST, NAMESPACE, SIGNATURE, Manifest, Member, Requires

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PIP = "pip/pip-1-py3-none-any.whl"
UNIT = b"[Service]\nUser=preact-edge\nLoadCredential=device.pem:/etc/preact-edge/credentials/device.pem\n"

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
        ok=true problem= degraded= fps=20.5 wrong=0
        if has no-accelerator || { has wants-accelerator && [ -e "$state/active" ]; }; then
            ok=false problem='"delegate edgetpu: busy"' degraded='delegate edgetpu: busy'
        fi
        if has slow && [ -e "$state/active" ]; then ok=false problem='"2.5 frames a second"' fps=2.5; fi
        if has selftest-fails; then ok=false problem='"3 of 9 boxes are missing"' wrong=3; fi
        printf '{"ok": %s, "problems": [%s], "degraded": "%s", "runtime": "made up", ' "$ok" "$problem" "$degraded"
        printf '"boxes": {"wrong": %s}, "fps": {"golden": %s}}\\n' "$wrong" "$fps"
        $ok ;;
    run) if has starts-not; then echo 'no such model' >&2; exit 1; fi ;;
    outbox)
        case $2 in
            backup) cp "$state/outbox" "$3" ;;
            show) [ "$(cat "$state/outbox")" -le @FORMAT@ ] ;;
            restore) cp "$3" "$state/outbox" ;;
        esac ;;
    health)
        status=ok ok=true reason= camera=ok outbox=ok buzzer=ok
        if has blind; then status=blind ok=false reason='a hand before it'; fi
        if has no-camera; then status=blind ok=false reason='no camera' camera=failed; fi
        if has degraded; then status=degraded reason='on the CPU'; fi
        if has outbox-fails; then outbox=failed; if $ok; then status=degraded; fi; fi
        if has no-buzzer; then buzzer=off; fi
        if has seen-late; then case "$*" in *'--wait 5.'*) status=blind ok=false reason='no frame yet' ;; esac; fi
        if has restarts; then echo 1 >"$state/restarts"; fi
        if has other-version; then version=9.9; fi
        if [ ! -e "$state/active" ]; then status=unreachable ok=false reason='nothing listens'; fi
        boot=$(cat "$state/invocation")
        if has same-boot; then boot=1; fi
        printf '{"ok": %s, "status": "%s", "reason": "%s", "version": "%s", ' "$ok" "$status" "$reason" "$version"
        printf '"boot_id": "%s", "fps": 9.5, "components": {"camera": {"state": "%s"}, ' "$boot" "$camera"
        printf '"outbox": {"state": "%s", "reason": "the card"}, ' "$outbox"
        printf '"buzzer": {"state": "%s", "reason": "no pin"}}}\\n' "$buzzer"
        $ok ;;
esac
"""


class Made:
    """The parts of a made-up bundle, to be written as they are or changed first."""

    def __init__(self, release: str, state: Path, *, words: str = "", outbox_format: int = 1, **changed: Any) -> None:
        self.version = release.partition("+")[0]
        program = PROGRAM.replace("@VERSION@", self.version).replace("@STATE@", str(state))
        self.program = program.replace("@WORDS@", words).replace("@FORMAT@", str(outbox_format))
        wheel_name = f"preact_edge-{self.version}-py3-none-any.whl"
        wheel = _wheel(self.version, self.program)
        digest = hashlib.sha256(wheel).hexdigest()
        files = changed.pop("files", {})
        self.files = {
            PIP: files.get(PIP) or _pip(),
            "requirements.txt": f"preact-edge=={self.version} --hash=sha256:{digest}\n".encode(),
            f"wheels/{wheel_name}": wheel,
            "models/tiny/model.tflite": b"a model",
            "models/program": self.program.encode(),  # for a made-up Python, which takes it from here
            "systemd/preact-edge.service": UNIT + f"# of {release}\n".encode(),
            **files,
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
            "pip": PIP,
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
