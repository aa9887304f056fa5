"""Bundles that are damaged, changed, signed by a stranger or made for something else: refused before any change."""

from __future__ import annotations

import dataclasses
import hashlib
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("deploy.release", reason="deploy/ is not beside these tests")

from deploy.release.manifest import MANIFEST, SIGNATURE, Member, Requires
from tests.release_device import Device, Ended
from tests.releases import Made, new_key, sign, write_tar

Members = list[tuple[str | tarfile.TarInfo, bytes]]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_key(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def device(tmp_path: Path, key: Path) -> Device:
    return Device(tmp_path / "a device", key)


def refused(device: Device, path: Path) -> str:
    """The reason, one line, after an install that must leave nothing behind."""
    ended = device.run("install", path)
    assert ended.code == 1, ended.said
    assert ended.told["ok"] is ended.told["changed"] is False
    _nothing_done(device)
    reason = str(ended.told["reason"])
    assert "\n" not in reason
    assert ": " in reason or "; " in reason  # what is wrong, then what to do
    return reason


def _nothing_done(device: Device) -> None:
    releases = device.home / "releases"
    assert not releases.exists() or not list(releases.iterdir())
    assert device.calls() == []


def changed(device: Device, change: Callable[[Members], object]) -> Path:
    """A good bundle whose members were changed after it was signed."""
    members: Members = list(Made("0.4.0", device.state).members(device.key))
    change(members)
    path = device.root.parent / "changed.bundle"
    write_tar(path, members)
    return path


def at(name: str, members: Members) -> int:
    return next(place for place, (member, _) in enumerate(members) if str(getattr(member, "name", member)) == name)


def special(kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo("requirements.txt")
    info.type, info.linkname = kind, target
    return info


def test_a_good_bundle_is_verified_by_anyone_and_nothing_is_done(device: Device) -> None:
    ended = device.run("verify", device.bundle("0.4.0"))
    assert ended.code == 0, ended.said
    assert ended.told["release"] == "0.4.0"
    assert not device.home.exists()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.99])
def test_a_bundle_that_ends_early(device: Device, share: float) -> None:
    path = device.bundle("0.4.0")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert "damaged" in refused(device, path)


def test_a_bundle_without_its_end(device: Device) -> None:
    path = device.bundle("0.4.0")
    path.write_bytes(path.read_bytes().rstrip(b"\0"))
    assert "damaged" in refused(device, path)


@pytest.mark.parametrize("name", [MANIFEST, SIGNATURE, "requirements.txt", "wheels/preact_edge-0.4.0-py3-none-any.whl"])
def test_a_flipped_bit(device: Device, name: str) -> None:
    def flip(members: Members) -> None:
        place = at(name, members)
        data = bytearray(members[place][1])
        data[len(data) // 2] ^= 1
        members[place] = (name, bytes(data))

    reason = refused(device, changed(device, flip))
    assert "signature" in reason if name in (MANIFEST, SIGNATURE) else name in reason


@pytest.mark.parametrize("offset", [0, 100, 124, 148, 156, 257, 345])
def test_a_flipped_bit_in_each_field_of_a_header(device: Device, offset: int) -> None:
    path = device.bundle("0.4.0")
    data = bytearray(path.read_bytes())
    with tarfile.open(path) as tar:
        data[tar.getmember("requirements.txt").offset + offset] ^= 1
    path.write_bytes(data)
    assert "damaged" in refused(device, path)


CHANGES: dict[str, Callable[[Members], object]] = {
    "one more at the end": lambda all_: all_.append(("zz", b"x")),
    "one more in the middle": lambda all_: all_.insert(4, ("models/x", b"x")),
    "one twice": lambda all_: all_.insert(4, all_[3]),
    "one missing": lambda all_: all_.pop(4),
    "two in each other's place": lambda all_: all_.insert(3, all_.pop(4)),
    "a way up": lambda all_: all_.insert(3, ("../../../etc/cron.d/x", b"x")),
    "a way up instead": lambda all_: all_.__setitem__(3, ("models/../../x", all_[3][1])),
    "an absolute path": lambda all_: all_.insert(3, ("/etc/cron.d/x", b"x")),
    "a link": lambda all_: all_.__setitem__(at("requirements.txt", all_), (special(tarfile.SYMTYPE, "/etc"), b"")),
    "a hard link": lambda all_: all_.__setitem__(at("requirements.txt", all_), (special(tarfile.LNKTYPE, "a"), b"")),
    "a device": lambda all_: all_.__setitem__(at("requirements.txt", all_), (special(tarfile.CHRTYPE), b"")),
    "a pipe": lambda all_: all_.__setitem__(at("requirements.txt", all_), (special(tarfile.FIFOTYPE), b"")),
    "a folder": lambda all_: all_.__setitem__(at("requirements.txt", all_), (special(tarfile.DIRTYPE), b"")),
    "shorter": lambda all_: all_.__setitem__(3, (str(all_[3][0]), all_[3][1][:-1])),
    "longer": lambda all_: all_.__setitem__(3, (str(all_[3][0]), all_[3][1] + b"x")),
    "empty": lambda all_: all_.clear(),
    "no signature": lambda all_: all_.pop(1),
    "an empty signature": lambda all_: all_.__setitem__(1, (SIGNATURE, b"")),
    "a huge manifest": lambda all_: all_.__setitem__(0, (MANIFEST, b" " * (2 << 20))),
    "the manifest last": lambda all_: all_.append(all_.pop(0)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_members_that_are_not_the_manifests(device: Device, change: str) -> None:
    assert "damaged or changed" in refused(device, changed(device, CHANGES[change]))
    assert not (device.root / "etc/cron.d").exists()


def test_a_size_that_lies(device: Device) -> None:
    """The header of a member claims 4 GiB: refused by its manifest, before anything of it is read or stored."""
    path = device.bundle("0.4.0")
    with tarfile.open(path) as tar:
        member = tar.getmember("wheels/preact_edge-0.4.0-py3-none-any.whl")
    member.size = 4 << 30
    data = bytearray(path.read_bytes())
    data[member.offset : member.offset + 512] = member.tobuf(tarfile.USTAR_FORMAT)
    path.write_bytes(data)
    assert "4294967296 bytes" in refused(device, path)


def test_something_after_the_end(device: Device) -> None:
    path = device.bundle("0.4.0")
    path.write_bytes(path.read_bytes() + b"x")
    assert "more than its manifest names" in refused(device, path)


def test_no_bundle_at_all(device: Device, tmp_path: Path) -> None:
    assert "cannot be read" in refused(device, tmp_path / "none.bundle")
    assert "cannot be read" in refused(device, tmp_path)
    (tmp_path / "noise").write_bytes(bytes(range(256)) * 64)
    assert "no member of a tar" in refused(device, tmp_path / "noise")


def test_a_signature_of_another_key(device: Device, tmp_path: Path) -> None:
    path = tmp_path / "strange.bundle"
    Made("0.4.0", device.state).write(path, new_key(tmp_path))
    assert "signature is none of a key in" in refused(device, path)


def test_a_signature_for_another_purpose(device: Device, tmp_path: Path) -> None:
    members = Made("0.4.0", device.state).members(device.key)
    members[1] = (SIGNATURE, sign(members[0][1], device.key, namespace="git"))
    write_tar(tmp_path / "b", [*members])
    assert "signature is none of a key in" in refused(device, tmp_path / "b")


def test_a_signature_of_another_release(device: Device, tmp_path: Path) -> None:
    members = Made("0.4.0", device.state).members(device.key)
    members[1] = Made("0.5.0", device.state).members(device.key)[1]
    write_tar(tmp_path / "b", [*members])
    assert "signature is none of a key in" in refused(device, tmp_path / "b")


def test_a_manifest_that_is_signed_and_not_understood(device: Device, tmp_path: Path) -> None:
    made = Made("0.4.0", device.state)
    manifest = made.manifest().dump().replace(b'"format": 1', b'"format": 2')
    write_tar(tmp_path / "b", [*made.members(device.key, manifest)])
    assert "its format is 2, this installer reads 1" in refused(device, tmp_path / "b")


def test_a_signed_manifest_with_a_way_up(device: Device, tmp_path: Path) -> None:
    """Even a trusted key cannot write outside the release's folder."""
    made = Made("0.4.0", device.state)
    manifest = made.manifest()
    files = {**manifest.files, "../../../../etc/x": Member(hashlib.sha256(b"x").hexdigest(), 1)}
    made.files["../../../../etc/x"] = b"x"
    write_tar(tmp_path / "b", [*made.members(device.key, dataclasses.replace(manifest, files=files).dump())])
    assert "etc/x" in refused(device, tmp_path / "b")


def test_no_key_is_trusted(device: Device) -> None:
    path = device.bundle("0.4.0")
    device.signers.write_text("# none yet\n\n")
    assert "names no key" in refused(device, path)
    device.signers.write_text("")
    assert "names no key" in refused(device, path)
    device.signers.unlink()
    assert "is missing, so no bundle can be trusted" in refused(device, path)
    device.signers.write_text("no key at all\n")
    assert "signature is none of a key in" in refused(device, path)


def test_keys_that_others_can_write(device: Device) -> None:
    path = device.bundle("0.4.0")
    device.signers.chmod(0o666)
    assert "can be written by others" in refused(device, path)


def unfit(device: Device, **requires: object) -> str:
    fields = {"machine": "x86_64", "os": {"debian": ("12",)}, "python": "3.11", **requires}
    made = Made("0.4.0", device.state).fields["requires"]
    needs = dataclasses.replace(made, **{name: fields[name] for name in requires})
    assert isinstance(needs, Requires)
    return refused(device, device.bundle("0.4.0", requires=needs))


def test_a_bundle_for_another_machine_system_or_python(device: Device) -> None:
    assert "(riscv64), this machine is" in unfit(device, machine="riscv64")
    assert "(debian 13), this is Debian GNU/Linux 12" in unfit(device, os={"debian": ("13",)})
    assert "(ubuntu 22.04), this is Debian GNU/Linux 12" in unfit(device, os={"ubuntu": ("22.04",)})
    assert "(Python 3.99), /usr/bin/python3 is" in unfit(device, python="3.99")


def test_a_device_without_python(device: Device) -> None:
    (device.root / "usr/bin/python3").unlink()
    assert "apt-get install python3" in refused(device, device.bundle("0.4.0"))


def test_a_power_supply_that_is_too_weak(device: Device) -> None:
    state = device.root / "sys/devices/platform/soc/soc:firmware/get_throttled"
    state.parent.mkdir(parents=True)
    state.write_text("50005\n")
    assert "voltage is too low now (throttled=0x50005)" in refused(device, device.bundle("0.4.0"))
    state.write_text("50000\n")
    ended: Ended = device.install("0.4.0")
    assert ended.code == 0, ended.said
    assert any("was too low since the start" in note for note in ended.told["notes"])
