"""The manifest of a bundle: written and read back, and refused where anything in it is not as it must be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("deploy.release", reason="deploy/ is not beside these tests")

from deploy.release import manifest
from deploy.release.manifest import ManifestError, parse, release_name, version_order
from tests.releases import Made


@pytest.fixture
def document(tmp_path: Path) -> Any:
    """A good manifest's object, to be changed."""
    return json.loads(Made("0.4.0", tmp_path).manifest().dump())


def read(document: object) -> manifest.Manifest:
    return parse(json.dumps(document).encode())


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    made = Made("0.4.0+lab.2", tmp_path, debs={"python3-foo": "debs/a.deb"}, files={"debs/a.deb": b"deb"}).manifest()
    assert parse(made.dump()) == made
    assert made.unpacked == sum(member.size for member in made.files.values())


def test_equal_manifests_are_equal_bytes_whatever_their_order(document: dict[str, Any]) -> None:
    turned = dict(reversed(document.items()))
    assert read(turned).dump() == read(document).dump()


@pytest.mark.parametrize(
    "name",
    [
        "../etc/passwd",
        "wheels/../../x",
        "/etc/passwd",
        "wheels//x",
        "wheels/./x",
        "wheels/.hidden",
        "wheels/x/",
        "etc/x",
        "installed.json",
        "config/preact-edge.toml",
        "venv/bin/python",
        "wheels",
        "wheels/a b",
        "wheels/a\nb",
        "wheels/\u00e9",
        "wheels/" + "a" * 200,
        "a/b/c/d/e/f/g/h/i",
        "",
    ],
)
def test_a_name_that_is_no_place_in_a_release_is_refused(document: dict[str, Any], name: str) -> None:
    document["files"][name] = {"sha256": "0" * 64, "size": 1}
    with pytest.raises(ManifestError):
        read(document)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", 2),
        ("format", "1"),
        ("release", "../0.4.0"),
        ("release", "0.4.0/x"),
        ("release", "0.5.0"),
        ("release", "0.4.0+"),
        ("release", "0.4.0+A"),
        ("release", ".."),
        ("release", 4),
        ("version", "0.4.0\n"),
        ("version", "0.4.x"),
        ("target", ""),
        ("commit", "a b"),
        ("date", "2026-11-23"),
        ("date", "2026-11-23T10:00:00+01:00"),
        ("outbox_format", -1),
        ("outbox_format", True),
        ("outbox_format", 1.0),
        ("requires", {"machine": "x86_64", "os": {}, "python": "3.11"}),
        ("requires", {"machine": "x86_64", "os": {"debian": "12"}, "python": "3.11"}),
        ("requires", {"machine": "x86_64", "os": {"debian": ["12"]}, "python": "3.11.2"}),
        ("requires", {"machine": "x86_64", "os": {"debian": ["12"]}, "python": "3.11", "root": "/"}),
        ("requires", []),
        ("system_site_packages", 1),
        ("models", "tiny"),
        ("models", [1]),
        ("pip", "pip/other.whl"),
        ("debs", {"foo": "debs/foo.deb"}),
        ("debs", {"--foo": "requirements.txt"}),
        ("files", {}),
        ("files", []),
    ],
)
def test_a_value_that_does_not_fit_is_refused(document: dict[str, Any], key: str, value: object) -> None:
    document[key] = value
    with pytest.raises(ManifestError):
        read(document)


@pytest.mark.parametrize(
    "member",
    [
        {"sha256": "0" * 63, "size": 1},
        {"sha256": "A" * 64, "size": 1},
        {"sha256": "0" * 64, "size": -1},
        {"sha256": "0" * 64, "size": manifest.SIZE_LIMIT + 1},
        {"sha256": "0" * 64, "size": "1"},
        {"sha256": "0" * 64},
        {"sha256": "0" * 64, "size": 1, "mode": 0o4755},
        "0" * 64,
    ],
)
def test_a_member_that_is_not_described_as_it_must_be_is_refused(document: dict[str, Any], member: object) -> None:
    document["files"]["wheels/x.whl"] = member
    with pytest.raises(ManifestError):
        read(document)


@pytest.mark.parametrize("key", ["format", "release", "requires", "debs", "files", "date"])
def test_a_key_that_is_missing_or_unknown_is_refused(document: dict[str, Any], key: str) -> None:
    del document[key]
    with pytest.raises(ManifestError, match=key):
        read(document)


def test_an_unknown_key_is_named(document: dict[str, Any]) -> None:
    with pytest.raises(ManifestError, match="'hooks'"):
        read({**document, "hooks": []})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff",
        b'{"format": 1, "format": 1}',
        b'{"format": NaN}',
        b"[" * 100_000,
        b" " * (manifest.MANIFEST_LIMIT + 1),
    ],
)
def test_bytes_that_are_no_manifest_are_refused(data: bytes) -> None:
    with pytest.raises(ManifestError):
        parse(data)


def test_a_key_that_stands_there_twice_is_refused(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    with pytest.raises(ManifestError, match="twice"):
        parse((text[:-1] + ', "release": "9.9"}').encode())


def test_a_file_that_lies_in_a_file_is_refused(document: dict[str, Any]) -> None:
    document["files"]["models/tiny/model.tflite/x"] = {"sha256": "0" * 64, "size": 1}
    with pytest.raises(ManifestError, match="lies in a file"):
        read(document)


def test_more_files_than_any_release_has_are_refused(document: dict[str, Any]) -> None:
    document["files"].update({f"wheels/{n}": {"sha256": "0" * 64, "size": 1} for n in range(manifest.FILES_LIMIT)})
    with pytest.raises(ManifestError, match="more than"):
        read(document)


def test_versions_are_ordered_as_pip_orders_them() -> None:
    ordered = ["0.9", "1.0.dev1", "1.0a1.dev3", "1.0a1", "1.0a2", "1.0b1", "1.0rc1", "1.0", "1.0.post1.dev1"]
    ordered += ["1.0.post1", "1.0.1", "1.2", "1.10", "2"]
    mixed = ordered[::2] + ordered[1::2]
    assert sorted(mixed, key=version_order) == ordered
    assert version_order("1.0") == version_order("1.0.0")


def test_of_one_version_the_later_date_is_the_newer(tmp_path: Path) -> None:
    older = Made("0.4.0+b", tmp_path).manifest()
    newer = Made("0.4.0+a", tmp_path, date="2026-11-24T00:00:00Z").manifest()
    assert older.age < newer.age < Made("0.4.1", tmp_path, date="2020-01-01T00:00:00Z").manifest().age


@pytest.mark.parametrize("name", ["0.4.0", "0.4.0rc1", "1.0.post2", "0.4.0+lab.3", "0.4.0+a-b"])
def test_names_of_releases(name: str) -> None:
    assert release_name(name) == name
