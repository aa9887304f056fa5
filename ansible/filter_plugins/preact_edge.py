"""What the playbooks ask of Python: settings as TOML, which bundle fits a board, which certificates are due.

Facts are those of ansible.builtin.setup; paths are of the control machine.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
MANIFEST_LIMIT = 1 << 20  # bytes
TARGETS = {
    ("aarch64", "debian", "12"): "pi-bookworm-64",
    ("aarch64", "debian", "13"): "pi-trixie-64",
    ("aarch64", "ubuntu", "22.04"): "jetson-jp6",
    ("x86_64", "debian", "12"): "debian-amd64",
    ("x86_64", "debian", "13"): "debian-trixie-amd64",
}
BRING = (
    "bring the fleet's folder here from the control machine or backup that has it (preact_edge_fleet_dir), or set"
    " preact_edge_new_authority to true to replace it"
)
SUPPORTED = "64-bit Raspberry Pi OS Bookworm or Trixie, JetPack 6, or Debian 12 or 13 on x86-64"


def toml(settings: Mapping[str, Any]) -> str:
    """Settings as a TOML file. A key whose value is null is left out, so that the program's own default holds."""
    import tomli_w

    try:
        return tomli_w.dumps(_plain(settings))
    except TypeError as error:
        raise ValueError(f"preact_edge_settings: {error}; TOML has text, numbers, true, false, lists") from error


def plan(facts: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Which bundle a board gets: ``{"target", "bundle", "manifest", "sha256", "problem"}``.

    ``asked`` has the keys target, bundle, folder and release, each empty where nothing is asked. ``problem`` is empty
    or says in one line why this board gets none; ``sha256`` is the manifest's own.
    """
    found: dict[str, Any] = {"target": asked["target"] or target(facts), "bundle": "", "manifest": {}, "sha256": ""}
    try:
        found["problem"] = unsupported(facts)
        if not found["problem"]:
            found["bundle"] = str(_bundle(found["target"], asked))
            found["manifest"], found["sha256"] = manifest(found["bundle"])
            found["problem"] = mismatch(facts, found["manifest"])
    except (OSError, ValueError) as error:
        found["problem"] = str(error)
    return found


def target(facts: Mapping[str, Any]) -> str:
    """The target of ``deploy/bundle`` for a board; empty where there is none."""
    boards = [(*_board(facts), version) for version in _versions(facts)]
    return next((name for board, name in TARGETS.items() if board in boards), "")


def unsupported(facts: Mapping[str, Any]) -> str:
    """Why this program has nothing for a board; empty where it has."""
    machine, system = _board(facts)
    name = f"{facts['distribution']} {facts['distribution_version']} on {machine}"
    if str(facts.get("userspace_bits", "64")) != "64":
        why = (
            "a 32-bit system has no packages of msgspec, numpy and OpenCV: install the 64-bit image of the same system"
        )
    elif machine == "aarch64" and system == "ubuntu" and _versions(facts)[0] < "22.04":
        why = "JetPack 5 and older have Python 3.8, for which nothing is made any more: flash JetPack 6"
    elif not target(facts):
        why = f"there is no bundle for it: install {SUPPORTED}"
    else:
        return ""
    return f"{name} is not supported: {why}"


def mismatch(facts: Mapping[str, Any], asks: Mapping[str, Any]) -> str:
    """Why a bundle with this manifest does not fit a board; empty where it does."""
    requires, (machine, system) = asks["requires"], _board(facts)
    python = ".".join(str(facts["python_version"]).split(".")[:2])
    bundle = f"the bundle of {asks['release']} is for {asks['target']}"
    if machine != requires["machine"]:
        return f"{bundle}: it needs {requires['machine']}, this board is {machine}"
    if not set(_versions(facts)) & set(requires["os"].get(system, ())):
        allowed = ", ".join(f"{name} {'/'.join(versions)}" for name, versions in requires["os"].items())
        return f"{bundle}: it needs {allowed}, this board has {system} {facts['distribution_version']}"
    if python != requires["python"]:
        return f"{bundle}: it needs Python {requires['python']}, /usr/bin/python3 is {python}"
    return ""


def manifest(bundle: str) -> tuple[dict[str, Any], str]:
    """The manifest of a bundle, and the sha256 of its bytes; ValueError where the file is none."""
    try:
        with tarfile.open(bundle) as archive:
            first = archive.next()
            if first is None or first.name != MANIFEST or first.size > MANIFEST_LIMIT:
                raise ValueError(f"{bundle}: is no bundle: {MANIFEST} does not come first; make one with deploy/bundle")
            content = archive.extractfile(first)
            data = content.read() if content else b""
        found = json.loads(data)
    except (tarfile.TarError, json.JSONDecodeError) as error:
        raise ValueError(f"{bundle}: is no bundle: {error}; make one with deploy/bundle") from error
    return found, hashlib.sha256(data).hexdigest()


def asks(request: str) -> list[str]:
    """The URIs that a certificate request (PEM) asks for; none where the text is no request."""
    from cryptography import x509

    try:
        names = x509.load_pem_x509_csr(request.encode()).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (ValueError, x509.ExtensionNotFound):
        return []
    return names.value.get_values_for_type(x509.UniformResourceIdentifier)


def due(issued: str, request: str, hosts: Iterable[str], days: int) -> str:
    """Why a certificate must be made anew: "" it is good, "none" there is none yet, else the reason.

    ``request`` may be empty, for a certificate whose key lies beside it; ``days`` is what must be left.
    """
    from cryptography import x509

    from edge.security.x509 import hosts as named
    from edge.security.x509 import read_certificates

    if not issued.strip():
        return "none"
    certificate = read_certificates(issued.encode())[0]
    left = (certificate.not_valid_after_utc - datetime.now(timezone.utc)).days
    if left < days:
        return f"{left} days are left"
    if request and x509.load_pem_x509_csr(request.encode()).public_key() != certificate.public_key():
        return "the device has another key"
    if set(named(certificate)) != {str(host) for host in hosts}:
        return "the host names changed"
    return ""


def list_due(crl: str, days: int) -> bool:
    """Whether a list of revoked certificates is good for fewer than ``days`` days."""
    from edge.security.x509 import read_list

    after = read_list(crl.encode()).next_update_utc
    return after is not None and (after - datetime.now(timezone.utc)).days < days


def foreign(trusted: Sequence[str], folder: str) -> str:
    """Why a device must not be given the authority of a folder, and what to do; "" it may.

    ``trusted`` are the texts of ca.pem and crl.pem that the device has, empty where it has none.
    """
    from edge.security.x509 import read_certificates, read_list

    if "BEGIN CERTIFICATE-----" not in trusted[0]:
        return ""
    here = [file.read_bytes() if (file := Path(folder) / name).exists() else b"" for name in ("ca.pem", "crl.pem")]
    if not here[0] or not set(read_certificates(here[0])) & set(read_certificates(trusted[0].encode())):
        return f"{'holds another authority than' if here[0] else 'lacks'} the one that this device trusts: {BRING}"
    if "BEGIN X509 CRL-----" not in trusted[1] or not here[1]:
        return ""
    mine, its = read_list(here[1]), read_list(trusted[1].encode())
    lost = {entry.serial_number for entry in its} - {entry.serial_number for entry in mine}
    if not lost or mine.issuer != its.issuer:
        return ""
    return f"is older than what this device has: {len(lost)} certificates would not be revoked any more: {BRING}"


def days_left(pem: str) -> int | str:
    """Days until the first certificate of a text ends; empty where there is none."""
    from edge.security.x509 import read_certificates

    if "BEGIN CERTIFICATE-----" not in pem:
        return ""
    return int((read_certificates(pem.encode())[0].not_valid_after_utc - datetime.now(timezone.utc)).days)


def sums(folder: str, pattern: str = "*.py") -> str:
    """The files of a folder as sha256sum prints them, without the last end of line."""
    files = sorted(Path(folder).glob(pattern))
    return "\n".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in files)


def packed(folder: str, pattern: str = "*.py") -> str:
    """Those files as a tar in base64; the same files give the same text."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path in sorted(Path(folder).glob(pattern)):
            member = tarfile.TarInfo(path.name)
            member.size, member.mode = path.stat().st_size, 0o644
            with path.open("rb") as file:
                archive.addfile(member, file)
    return base64.encodebytes(content.getvalue()).decode()


def device_uri(device_id: str) -> str:
    """How a certificate names a device."""
    from edge.security.peers import device_uri as uri

    return uri(device_id)


def signers(keys: str) -> str:
    """Public keys, one a line as in a .pub file, as ssh-keygen's allowed_signers for releases and nothing else."""
    lines = [line.split() for line in keys.splitlines() if line.strip() and not line.startswith("#")]
    for words in lines:
        if len(words) < 2 or not words[0].startswith(("ssh-", "ecdsa-", "sk-")):
            raise ValueError("preact_edge_signers: names no public key; give the .pub file of ssh-keygen")
    return "".join(f'release namespaces="preact-edge-release" {kind} {key}\n' for kind, key, *_ in lines)


def row(health: str, status: str, looks: Sequence[str]) -> dict[str, Any]:
    """A device's line in the table of the fleet, of what its own commands printed; what is not known is left out.

    ``health`` and ``status`` are JSON, ``looks`` are the certificate (PEM), what timedatectl says of NTPSynchronized,
    the temperature in thousandths of a degree, and what `preact-edge outbox show` says.
    """
    certificate, clock, temperature, outbox = looks
    seen, releases = _json(health), _json(status)
    running = seen.get("status") or (releases.get("service") or {}).get("active") or "not installed"
    left = days_left(certificate)
    found = {
        "device": seen.get("device_id"),
        "release": releases.get("current"),
        "state": "sees" if seen.get("ok") and seen.get("status") == "ok" else running,
        "fps": seen.get("fps"),
        "°C": f"{int(temperature) / 1000:.0f}" if temperature.strip().isdecimal() else None,
        "waiting": _waiting(outbox),
        "certificate": f"{left} days" if left != "" else None,
        "clock": {"yes": "right", "no": "unsure"}.get(clock.strip()),
        "why": seen.get("reason") or ("" if releases else "preact-edge is not installed: deploy/fleet site"),
    }
    return {key: value for key, value in found.items() if value not in (None, "")}


def _waiting(outbox: str) -> int | None:
    """Alerts that the consumer furthest behind has not acknowledged; all that are stored where there is no consumer."""
    behind = re.findall(r"acknowledged [0-9]+, ([0-9]+) behind", outbox)
    stored = re.search(r"^alerts +([0-9]+)", outbox, re.MULTILINE)
    return max(map(int, behind)) if behind else int(stored[1]) if stored else None


def _bundle(name: str, asked: Mapping[str, Any]) -> Path:
    """The bundle's file; ValueError where there is none, or more than one and nothing says which."""
    given = asked["bundle"].get(name, "") if isinstance(asked["bundle"], Mapping) else asked["bundle"]
    if given:
        return Path(given).expanduser().absolute()
    folder = Path(asked["folder"]).expanduser().absolute()
    files = folder.glob(f"preact-edge-{asked['release'] or '*'}-{name}.bundle")
    dated = sorted((manifest(str(file))[0]["date"], file) for file in files)
    if not dated:
        of = f"preact-edge-{asked['release'] or 'RELEASE'}-{name}.bundle"
        raise ValueError(f"{folder} holds no {of}: make one with deploy/bundle --target {name} --out {folder}")
    return dated[-1][1]


def _board(facts: Mapping[str, Any]) -> list[str]:
    return [str(facts["architecture"]), str(facts["distribution"]).lower()]


def _versions(facts: Mapping[str, Any]) -> tuple[str, str]:
    return str(facts["distribution_version"]), str(facts["distribution_major_version"])


def _json(text: str) -> dict[str, Any]:
    """The object in a command's output; empty where there is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _plain(value: Any) -> Any:
    """Without nulls, and of Python's own types, which Ansible's values are subclasses of."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if item not in (None, {})}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


class FilterModule:
    """The names that templates use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        own = (toml, plan, asks, due, list_due, foreign, days_left, packed, row, sums, device_uri, signers)
        return {f"preact_edge_{function.__name__}": function for function in own}
