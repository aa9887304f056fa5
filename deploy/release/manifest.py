"""The manifest of a bundle: what the release is, which device it fits, the sha256 and size of each of its files.

It is the one part of a bundle that is signed; everything else is believed because the manifest names it.

    parse(data)        bytes of manifest.json -> Manifest, strictly: nothing unknown, nothing missing, no name that
                       could leave the folder it is unpacked into
    manifest.dump()    Manifest -> the bytes that are written and signed; parse(dump()) gives it back
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.sig"
REQUIREMENTS = "requirements.txt"
UNIT = "systemd/preact-edge.service"
NAMESPACE = "preact-edge-release"  # of ssh-keygen -Y: a signature made for something else is none
PRINCIPAL = "release"

FORMAT = 1
MANIFEST_LIMIT = 1 << 20  # bytes; a release with models has some 60 files of 120 bytes each
SIGNATURE_LIMIT = 1 << 14  # bytes; Ed25519's has 300, RSA's 1,500
FILES_LIMIT = 2000
SIZE_LIMIT = 4 << 30  # bytes of one file
TOP_FOLDERS = ("debs", "models", "pip", "systemd", "wheels")

_NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._+~%!@=-]*/){0,6}[A-Za-z0-9_][A-Za-z0-9._+~%!@=-]*")
_NAME_LENGTH = 200
_VERSION = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6}){0,4}(?:(?:a|b|rc|\.post|\.dev)[0-9]{1,6}){0,3}")
_RELEASE = re.compile(rf"(?P<version>{_VERSION.pattern})(?:\+[a-z0-9]+(?:[.-][a-z0-9]+)*)?")
_RELEASE_LENGTH = 64
_WORD = re.compile(r"[a-z0-9][a-z0-9._+-]{0,63}")
_TEXT = re.compile(r"[!-~]{1,100}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PYTHON = re.compile(r"3\.[0-9]{1,2}")


class ManifestError(ValueError):
    """A manifest that this installer does not take; the message says which key and why."""


@dataclasses.dataclass(frozen=True)
class Member:
    """One file of the bundle: hexadecimal sha256, and size in bytes."""

    sha256: str
    size: int


@dataclasses.dataclass(frozen=True)
class Requires:
    """Which device: uname's machine, os-release's ID with its allowed VERSION_IDs, the version of /usr/bin/python3."""

    machine: str
    os: dict[str, tuple[str, ...]]
    python: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What manifest.json holds; paths are those inside the bundle, ``debs`` maps a package's name to its file."""

    release: str
    version: str
    target: str
    commit: str
    date: str
    outbox_format: int
    requires: Requires
    system_site_packages: bool
    models: tuple[str, ...]
    pip: str
    debs: dict[str, str]
    files: dict[str, Member]

    def dump(self) -> bytes:
        """The bytes of manifest.json: UTF-8, keys sorted, one line an entry; equal manifests give equal bytes."""
        document = {"format": FORMAT, **dataclasses.asdict(self)}
        return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()

    @property
    def unpacked(self) -> int:
        """Bytes of all files together."""
        return sum(member.size for member in self.files.values())

    @property
    def age(self) -> tuple[object, ...]:
        """Orders releases: a newer one has a greater value; the date decides between two of one version."""
        return (*version_order(self.version), self.date)


def parse(data: bytes) -> Manifest:
    """The manifest in these bytes; ManifestError where anything is unknown, missing, ill-typed or out of bounds."""
    if len(data) > MANIFEST_LIMIT:
        raise ManifestError(f"it is larger than {MANIFEST_LIMIT} bytes")
    try:
        document = json.loads(data.decode(), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as exc:
        raise ManifestError(f"it is no JSON: {exc}") from exc
    if isinstance(document, dict) and document.get("format") != FORMAT:
        raise ManifestError(f"its format is {document.get('format')!r}, this installer reads {FORMAT}")
    fields = _fields(document, "manifest", ["format", *(field.name for field in dataclasses.fields(Manifest))])
    manifest = _manifest(fields)
    _agree(manifest)
    return manifest


def release_name(text: str) -> str:
    """``text`` where it is a well-formed name of a release, so that it can be a folder's name; else ManifestError."""
    return _matching(text, "release", _RELEASE, _RELEASE_LENGTH)


def version_order(version: str) -> tuple[tuple[int, ...], int, int, int]:
    """Orders versions as PEP 440 does: 1.0.dev1 < 1.0a1 < 1.0rc1 < 1.0 < 1.0.post1 < 1.0.1."""
    numbers = re.match(r"[0-9.]*[0-9]", version)
    head = [int(part) for part in numbers.group().split(".")] if numbers else []
    while head and head[-1] == 0:
        head.pop()
    parts = {kind: int(number) for kind, number in re.findall(r"(a|b|rc|\.post|\.dev)([0-9]+)", version)}
    stage = next((rank for rank, kind in enumerate(("a", "b", "rc")) if kind in parts), 3)
    dev = parts.get(".dev")
    if dev is not None and stage == 3 and ".post" not in parts:
        stage = -1
    before = parts.get(("a", "b", "rc")[stage], 0) if 0 <= stage < 3 else parts.get(".post", -1)
    return tuple(head), stage, before, 1 << 30 if dev is None else dev


def _manifest(fields: dict[str, Any]) -> Manifest:
    requires = _fields(fields["requires"], "requires", ["machine", "os", "python"])
    systems = _mapping(requires["os"], "requires.os", _WORD, _words)
    return Manifest(
        release=release_name(fields["release"]),
        version=_matching(fields["version"], "version", _VERSION),
        target=_matching(fields["target"], "target", _WORD),
        commit=_matching(fields["commit"], "commit", _TEXT),
        date=_matching(fields["date"], "date", _DATE),
        outbox_format=_number(fields["outbox_format"], "outbox_format", 1 << 16),
        requires=Requires(
            machine=_matching(requires["machine"], "requires.machine", _WORD),
            os=systems,
            python=_matching(requires["python"], "requires.python", _PYTHON),
        ),
        system_site_packages=_flag(fields["system_site_packages"], "system_site_packages"),
        models=_words(fields["models"], "models"),
        pip=_path(fields["pip"], "pip"),
        debs=_mapping(fields["debs"], "debs", _WORD, _path),
        files=_mapping(fields["files"], "files", _NAME, _member),
    )


def _agree(manifest: Manifest) -> None:
    """The parts fit each other: what is named is there, and every file lies where the installer looks for it."""
    match = _RELEASE.fullmatch(manifest.release)
    if match is None or match["version"] != manifest.version:
        raise ManifestError(f"release {manifest.release} is not of version {manifest.version}")
    if not manifest.requires.os:
        raise ManifestError("requires.os names no system")
    for needed in (manifest.pip, REQUIREMENTS, UNIT, *manifest.debs.values()):
        if needed not in manifest.files:
            raise ManifestError(f"{needed} is not among its files")
    if len(manifest.files) > FILES_LIMIT:
        raise ManifestError(f"it names more than {FILES_LIMIT} files")
    for name in manifest.files:
        _path(name, "files")
        if any("/".join(name.split("/")[:depth]) in manifest.files for depth in range(1, name.count("/") + 1)):
            raise ManifestError(f"files: {name} lies in a file")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ManifestError("a key stands in it twice")
    return found


def _no_constant(name: str) -> Any:
    raise ManifestError(f"{name} stands in it")


def _fields(value: Any, where: str, names: list[str]) -> dict[str, Any]:
    """``value`` as an object with exactly these keys."""
    if not isinstance(value, dict):
        raise ManifestError(f"{where} is no object")
    for name in sorted(set(names) ^ set(value)):
        raise ManifestError(f"{where} lacks {name}" if name in names else f"{where} has the unknown key {name[:40]!r}")
    return value


def _matching(value: Any, where: str, pattern: re.Pattern[str], longest: int = _NAME_LENGTH) -> str:
    if not isinstance(value, str) or len(value) > longest or not pattern.fullmatch(value):
        raise ManifestError(f"{where} is {str(value)[:60]!r}")
    return value


def _path(value: Any, where: str) -> str:
    """A file's name inside the bundle: relative, no hidden part, below one of the known folders."""
    name = _matching(value, where, _NAME)
    if name != REQUIREMENTS and (name.split("/")[0] not in TOP_FOLDERS or "/" not in name):
        raise ManifestError(f"{where} is {name!r}, which lies in no known folder")
    return name


def _number(value: Any, where: str, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ManifestError(f"{where} is {str(value)[:60]!r}, not a number from 0 to {most}")
    return value


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise ManifestError(f"{where} is neither true nor false")
    return value


def _words(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ManifestError(f"{where} is no list")
    return tuple(_matching(item, where, _WORD) for item in value)


def _member(value: Any, where: str) -> Member:
    fields = _fields(value, where, ["sha256", "size"])
    return Member(_matching(fields["sha256"], where, _SHA256), _number(fields["size"], where, SIZE_LIMIT))


def _mapping(value: Any, where: str, key: re.Pattern[str], read: Callable[[Any, str], Any]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ManifestError(f"{where} is no object")
    return {_matching(name, where, key): read(item, f"{where}[{name[:60]}]") for name, item in value.items()}
