"""``preact-edge certs`` as a user calls it."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.config import Security
from edge.errors import SecurityError
from edge.security.issue import AUTHORITY_DAYS, Fleet, Terms
from edge.security.keys import LoginKeys
from edge.security.tls import TlsContexts
from tests.certificates import handshake
from tests.support import ROOT

KEY_FITS = 300  # bytes: a key has fewer, a certificate and a request more


def certs(*arguments: str | Path, largest: int = -1, mask: int = 0o022) -> subprocess.CompletedProcess[str]:
    """``largest`` is the size beyond which no file can be written, as on a disk that is full."""
    command = [sys.executable, "-m", "edge", "certs", *map(str, arguments)]
    limit = largest if largest >= 0 else resource.RLIM_INFINITY
    return subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        umask=mask,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )


def done(*arguments: str | Path, mask: int = 0o022) -> str:
    found = certs(*arguments, mask=mask)
    assert (found.returncode, found.stderr) == (0, ""), found.stderr
    return found.stdout


def failed(*arguments: str | Path) -> str:
    found = certs(*arguments)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("preact-edge: ")
    assert found.stderr.count("\n") == 1, found.stderr
    return found.stderr.removeprefix("preact-edge: ")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "the fleet"
    done("ca", made)
    return made


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if not shutil.which("openssl"):
        pytest.skip("needs the openssl command")
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)


def settings(folder: Path, stem: str) -> Security:
    pem, key = str(folder / f"{stem}.pem"), str(folder / f"{stem}.key")
    return Security(certificate=pem, private_key=key, ca=str(folder / "ca.pem"))


def test_a_fleet_from_nothing_to_a_handshake_and_a_revocation(folder):
    told = done("device", folder, "door-3", "--host", "door.local", "--host", "192.0.2.7", "--host", "2001:db8::1")
    assert f"wrote {folder}/device-door-3.key   (secret)\nwrote {folder}/device-door-3.pem\n" in told
    for line in ('id = "door-3"', 'certificate = "/etc/preact-edge/device-door-3.pem"', 'auth = "mtls"', "tls = true"):
        assert line in told
    done("backend", folder, "main", "--role", "control")
    device, backend = TlsContexts(settings(folder, "device-door-3")), TlsContexts(settings(folder, "backend-main"))
    seen = handshake(device.server("mtls"), backend.client())
    assert device.peer(seen.by_server).role == "control"
    assert backend.peer(seen.by_client).device_id == "door-3"
    handshake(backend.server("mtls"), device.client())
    assert "It names 1 certificate and" in done("revoke", folder, folder / "backend-main.pem")
    assert "It names 1 certificate and" in done("revoke", folder, folder / "backend-main.pem")
    assert "It names 2 certificates and" in done("revoke", folder, folder / "device-door-3.pem", "--days", "9")
    assert "It names 2 certificates and is good for 825 days" in done("revoke", folder)


def test_what_openssl_says_of_it(folder):
    done("device", folder, "door-3", "--host", "door.local")
    done("backend", folder, "main", "--role", "viewer")
    ca, crl, device = folder / "ca.pem", folder / "crl.pem", folder / "device-door-3.pem"
    strict = ("verify", "-x509_strict", "-CAfile", ca, "-CRLfile", crl, "-crl_check")
    for purpose in ("sslserver", "sslclient"):
        for file in (device, folder / "backend-main.pem"):
            assert openssl(*strict, "-purpose", purpose, file).returncode == 0
    assert "revoked" not in openssl(*strict, device).stderr
    done("revoke", folder, device)
    assert "certificate revoked" in openssl(*strict, device).stderr
    assert openssl(*strict, folder / "backend-main.pem").returncode == 0
    text = openssl("x509", "-in", device, "-noout", "-text").stdout
    assert "URI:urn:preact-edge:device:door-3, DNS:door.local" in text
    assert "ASN1 OID: prime256v1" in text


def test_secrets_are_their_owners_alone(folder, tmp_path):
    done("device", folder, "door-3")
    done("request", "door-4", tmp_path / "on the device")
    done("self-signed", "door-5", tmp_path / "pinned")
    done("key", "a", "--role", "viewer", "--append", tmp_path / "keys.toml")
    secrets = [*tmp_path.rglob("*.key"), tmp_path / "keys.toml"]
    assert len(secrets) == 5
    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}


def test_a_device_whose_key_never_leaves_it(folder, tmp_path):
    own = tmp_path / "on the device"
    assert "certs device DIR door-4 --csr device.csr" in done("request", "door-4", own)
    told = done("device", folder, "door-4", "--csr", own / "device.csr")
    assert "(secret)" not in told
    assert not list(folder.glob("device-*.key"))
    shutil.copy(folder / "device-door-4.pem", own / "device.pem")
    shutil.copy(folder / "ca.pem", own / "ca.pem")
    contexts = TlsContexts(settings(own, "device"))
    assert contexts.warnings("door-4") == ()
    key = (own / "device.key").read_bytes()
    done("request", "door-4", own, "--renew")
    done("device", folder, "door-4", "--csr", own / "device.csr", "--renew")
    assert (own / "device.key").read_bytes() == key
    shutil.copy(folder / "device-door-4.pem", own / "device.pem")
    assert contexts.reload()


def test_a_client_whose_key_never_leaves_it(folder, tmp_path):
    own = tmp_path / "of a tool"
    told = done("request", "probe-door-4", own, "--role", "viewer")
    assert "certs backend DIR probe-door-4 --role viewer --csr device.csr" in told
    request = ("--csr", own / "device.csr")
    done("backend", folder, "probe-door-4", "--role", "viewer", *request)
    shown = done("show", folder / "backend-probe-door-4.pem")
    assert "role     viewer\n" in shown
    assert "\ndevice" not in shown
    assert not list(folder.glob("backend-*.key"))
    assert "asks for urn:preact-edge:role:viewer, not for urn:preact-edge:role:control" in failed(
        "backend", folder, "other", "--role", "control", *request
    )
    assert "not for urn:preact-edge:device:probe-door-4" in failed("device", folder, "probe-door-4", *request)


def test_a_request_for_another_name_or_none_at_all(folder, tmp_path):
    done("request", "door-4", tmp_path)
    assert "asks for urn:preact-edge:device:door-4, not for urn:preact-edge:device:door-5" in failed(
        "device", folder, "door-5", "--csr", tmp_path / "device.csr"
    )
    assert "it is no certificate request" in failed("device", folder, "door-5", "--csr", folder / "ca.pem")
    assert "cannot be read: No such file" in failed("device", folder, "door-5", "--csr", tmp_path / "none")


def test_a_request_asks_and_does_not_decide(folder, tmp_path):
    """A request that names a role gets a device's certificate, without it."""
    done("request", "door-4", tmp_path)
    altered = openssl(
        *("req", "-new", "-key", tmp_path / "device.key", "-subj", "/CN=door-4/OU=control", "-out"),
        *(tmp_path / "altered.csr", "-addext", "subjectAltName=DNS:elsewhere"),
    )
    assert altered.returncode == 0, altered.stderr
    done("device", folder, "door-4", "--csr", tmp_path / "altered.csr")
    shown = done("show", folder / "device-door-4.pem")
    assert "subject  CN=door-4\n" in shown
    assert "elsewhere" not in shown
    assert "role" not in shown


def test_a_pinned_device(tmp_path):
    told = done("self-signed", "door-5", tmp_path / "pinned", "--host", "door.local")
    fingerprint = next(line for line in told.splitlines() if line.startswith("SHA-256")).rsplit(" ", 1)[1]
    assert f"sha256   {fingerprint}" in done("show", tmp_path / "pinned" / "device.pem")
    pinned = openssl("x509", "-in", tmp_path / "pinned" / "device.pem", "-noout", "-fingerprint", "-sha256").stdout
    assert pinned.strip().split("=")[1] == fingerprint
    key = (tmp_path / "pinned" / "device.key").read_bytes()
    renewed = done("self-signed", "door-5", tmp_path / "pinned", "--renew")
    assert fingerprint not in renewed
    assert (tmp_path / "pinned" / "device.key").read_bytes() == key
    assert "hosts    door.local" in done("show", tmp_path / "pinned" / "device.pem")


def test_nothing_is_overwritten(folder, tmp_path):
    done("device", folder, "door-3", "--host", "door.local")
    done("self-signed", "door-5", tmp_path / "pinned")
    done("request", "door-4", tmp_path / "own")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again = (
        ("ca", folder),
        ("device", folder, "door-3"),
        ("self-signed", "door-5", tmp_path / "pinned"),
        ("request", "door-4", tmp_path / "own"),
    )
    for arguments in again:
        assert "exists already and is left as it is" in failed(*arguments)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_renewed_certificate_keeps_key_hosts_and_its_predecessor(folder):
    done("device", folder, "door-3", "--host", "door.local")
    old = (folder / "device-door-3.pem").read_bytes()
    done("device", folder, "door-3", "--renew", "--days", "10")
    assert "hosts    door.local" in done("show", folder / "device-door-3.pem")
    TlsContexts(settings(folder, "device-door-3"))
    (kept,) = folder.glob("device-door-3.*.pem")
    assert kept.read_bytes() == old
    done("revoke", folder, kept)
    assert "nothing.pem: cannot be read" in failed("revoke", folder, folder / "nothing.pem")
    assert "device-door-9.pem: is not there to be renewed; make a first one without --renew" in failed(
        "device", folder, "door-9", "--renew"
    )


@pytest.mark.parametrize(
    ("arguments", "key", "rest"),
    [
        (("ca", "{other}"), "ca.key", ["ca.pem", "crl.pem"]),
        (("device", "{fleet}", "door-3"), "device-door-3.key", ["device-door-3.pem"]),
        (("backend", "{fleet}", "main", "--role", "viewer"), "backend-main.key", ["backend-main.pem"]),
        (("request", "door-3", "{other}"), "device.key", ["device.csr"]),
        (("self-signed", "door-3", "{other}"), "device.key", ["device.pem"]),
    ],
)
def test_a_try_that_was_broken_off_is_taken_up(folder, tmp_path, arguments, key, rest):
    other = tmp_path / "another folder"
    words = [word.format(fleet=folder, other=other) for word in arguments]
    place = folder if str(folder) in words else other
    before = set(place.glob("*"))
    found = certs(*words, largest=KEY_FITS)
    assert (found.returncode, found.stdout) == (2, "")
    assert f"{place / rest[0]}: cannot be written: File too large" in found.stderr
    assert set(place.iterdir()) - before == {place / key}, "a key alone, and no piece of a file"
    secret = (place / key).read_bytes()
    done(*words)
    assert (place / key).read_bytes() == secret
    assert set(place.iterdir()) - before == {place / name for name in (key, *rest)}
    if rest[0].startswith(("device.pem", "device-", "backend-")):
        TlsContexts(settings(place, key.removesuffix(".key")) if place == folder else pinned(place))
    assert "exists already and is left as it is" in failed(*words)


def pinned(folder: Path) -> Security:
    return Security(certificate=str(folder / "device.pem"), private_key=str(folder / "device.key"))


def test_not_even_a_key_that_could_not_be_written_whole_is_left(folder):
    assert certs("device", folder, "door-3", largest=10).returncode == 2
    assert not [path for path in folder.iterdir() if path.name.startswith((".", "device"))]
    done("device", folder, "door-3")


def test_an_authority_whose_list_was_not_written(folder):
    certificate = (folder / "ca.pem").read_bytes()
    (folder / "crl.pem").unlink()
    assert done("ca", folder).startswith(f"wrote {folder}/crl.pem\nKeep")
    assert (folder / "ca.pem").read_bytes() == certificate
    done("device", folder, "door-3")
    done("revoke", folder, folder / "device-door-3.pem")


@pytest.mark.parametrize("issued", [("device", "door-3"), ("backend", "main", "--role", "viewer")])
def test_a_list_that_was_lost_is_not_made_anew_and_empty(folder, issued):
    """What it named would be good again."""
    action, *names = issued
    done(action, folder, *names)
    certificate = folder / f"{action}-{names[0]}.pem"
    done("revoke", folder, certificate)
    kept = (folder / "crl.pem").rename(folder / "a backup")
    told = failed("ca", folder)
    assert f"{folder}/crl.pem: is lost, for {certificate.name} was issued here" in told
    assert "bring crl.pem back from a backup; devices have a copy of crl.pem, too" in told
    assert not (folder / "crl.pem").exists()
    (folder / "ca.pem").unlink()
    assert "bring ca.pem, crl.pem back from a backup" in failed("ca", folder)
    assert not (folder / "ca.pem").exists()
    kept.rename(folder / "crl.pem")
    assert "exists already and is left as it is" in failed("ca", folder)


def test_a_renewed_certificate_has_the_mode_and_the_owner_of_the_old_one(folder, tmp_path):
    """A service that could read it still can."""
    done("device", folder, "door-3")
    done("self-signed", "door-5", tmp_path / "pinned")
    files = folder / "device-door-3.pem", tmp_path / "pinned" / "device.pem", folder / "crl.pem"
    owner = (65_534, 65_533) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    for file in files:
        os.chown(file, *owner)
        file.chmod(0o640)
    for mask in (0o022, 0o077):
        done("device", folder, "door-3", "--renew", mask=mask)
        done("self-signed", "door-5", tmp_path / "pinned", "--renew", mask=mask)
        done("revoke", folder, mask=mask)
    kept = [*folder.glob("device-door-3.*.pem"), *(tmp_path / "pinned").glob("device.*.pem")]
    assert len(kept) == 4
    for file in (*files, *kept):
        found = file.stat()
        assert (oct(found.st_mode & 0o777), found.st_uid, found.st_gid) == ("0o640", *owner), file
    assert (folder / "device-door-3.key").stat().st_mode & 0o777 == 0o600


def test_what_is_no_secret_can_be_read_whatever_the_umask(tmp_path):
    fleet, own = tmp_path / "fleet", tmp_path / "own"
    done("ca", fleet, mask=0o077)
    done("device", fleet, "door-3", mask=0o077)
    done("request", "door-4", own, mask=0o077)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (*fleet.iterdir(), *own.iterdir())}
    names = ("ca.pem", "crl.pem", "device-door-3.pem", "device.csr")
    secrets = ("ca.key", "device-door-3.key", "device.key")
    assert modes == dict.fromkeys(names, "0o644") | dict.fromkeys(secrets, "0o600")


def test_a_renewal_that_was_broken_off_changes_nothing_and_can_be_repeated(folder):
    done("device", folder, "door-3")
    file = folder / "device-door-3.pem"
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert certs("device", folder, "door-3", "--renew", largest=KEY_FITS).returncode == 2
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    serial = next(line for line in done("show", file).splitlines() if line.startswith("serial")).split()[1]
    kept = folder / f"device-door-3.{serial}.pem"
    kept.write_bytes(before[file][:100])  # as a power cut may leave it
    done("device", folder, "door-3", "--renew")
    assert kept.read_bytes() == before[file] != file.read_bytes()
    TlsContexts(settings(folder, "device-door-3"))


def test_no_certificate_is_made_beside_a_key_that_is_not_its_own(folder, tmp_path):
    """Whoever copies the two to a device would have one that cannot start."""
    own, other = tmp_path / "on the device", tmp_path / "another"
    done("request", "door-4", own)
    assert certs("device", folder, "door-4", largest=KEY_FITS).returncode == 2
    with_request = ("device", folder, "door-4", "--csr", own / "device.csr")
    assert "device-door-4.key: is not the key of the request; move it away first" in failed(*with_request)
    (folder / "device-door-4.key").unlink()
    done(*with_request)
    done("device", folder, "door-5")
    shutil.copy(folder / "device-door-5.key", folder / "device-door-4.key")
    assert "device-door-4.key: is not the key of" in failed("device", folder, "door-4", "--renew")
    shutil.copytree(own, other)
    shutil.copy(folder / "device-door-4.pem", other / "device.pem")
    assert "is no self-signed certificate of door-4" in failed("self-signed", "door-4", other, "--renew")
    done("self-signed", "door-6", tmp_path / "pinned")
    assert "is no self-signed certificate of door-7" in failed("self-signed", "door-7", tmp_path / "pinned", "--renew")


def test_places_and_keys_that_cannot_be_used_are_named(folder, tmp_path):
    (tmp_path / "a file").touch()
    for arguments in (("ca",), ("self-signed", "door-3"), ("request", "door-3")):
        told = failed(*arguments, tmp_path / "a file")
        assert f"{tmp_path / 'a file'} is no folder; take another one" in told
    locked = openssl("ec", "-aes256", "-passout", "pass:x", "-in", folder / "ca.key", "-out", tmp_path / "locked")
    assert locked.returncode == 0, locked.stderr
    shutil.copy(tmp_path / "locked", folder / "ca.key")
    assert "ca.key: it is locked with a passphrase" in failed("device", folder, "door-3")


def test_an_authority_that_has_expired_says_when_and_what_to_do(tmp_path):
    Fleet(tmp_path, lambda: time.time() - (AUTHORITY_DAYS + 2) * 86400.0).create()
    with pytest.raises(
        SecurityError, match=r"expired on \d+-\d\d-\d\d and signs no more; make a new one in a new folder"
    ):
        Fleet(tmp_path).device("door-3", Terms())


def test_a_login_key(tmp_path):
    block = done("key", "backend-1", "--role", "viewer")
    assert block.startswith('[keys.backend-1]\nrole = "viewer"\nsecret = "')
    file = tmp_path / "keys.toml"
    told = done("key", "desk.2", "--role", "control", "--append", file)
    key = LoginKeys(str(file)).get("desk.2")
    assert key is not None
    assert key.role == "control"
    assert key.secret.hex() not in told
    assert "has a key desk.2 already" in failed("key", "desk.2", "--role", "viewer", "--append", file)
    assert "a name may have" in failed("key", "two words", "--role", "viewer")


def test_wrong_uses_are_one_clear_line(folder, tmp_path):
    empty = tmp_path / "an empty folder"
    assert f"holds no authority (ca.key); make one with: preact-edge certs ca '{empty}'" in failed("device", empty, "d")
    assert "is neither an address nor a host name" in failed("device", folder, "door-3", "--host", "two words")
    assert "is no name for a certificate" in failed("device", folder, "")
    assert "is no name for a certificate" in failed("request", "a\nb", tmp_path / "own")
    assert "36525 at most" in failed("device", folder, "door-3", "--days", "9999999999")
    assert "36525 at most" in failed("revoke", folder, "--days", "9999999999")
    assert "it holds no certificate" in failed("show", folder / "ca.key")
    assert [path.name for path in folder.iterdir() if path.name.startswith("device")] == []
    other = tmp_path / "other"
    done("ca", other)
    done("device", other, "door-3")
    assert "is not of the authority" in failed("revoke", folder, other / "device-door-3.pem")
    (folder / "ca.key").chmod(0o644)
    assert "every user of this machine may open it" in failed("device", folder, "door-3")
    (folder / "ca.key").write_bytes((other / "ca.key").read_bytes())
    (folder / "ca.key").chmod(0o600)
    assert "ca.key: is not the key of" in failed("device", folder, "door-3")


@pytest.mark.parametrize("name", ["../up", "a/b", "..", "Tür 3", "x" * 80])
def test_a_name_is_no_path(folder, name):
    before = set(folder.parent.iterdir())
    done("device", folder, name)
    assert set(folder.parent.iterdir()) == before
    (made,) = folder.glob("device-*.pem")
    assert f"device   {name}\n" in done("show", made)
    contexts = TlsContexts(settings(folder, made.stem))
    assert contexts.warnings(name) == ()
