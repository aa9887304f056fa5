"""The files behind the TLS contexts: what is wrong with them, and files that change while the program runs."""

from __future__ import annotations

import os
import ssl
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from edge.config import Security
from edge.errors import ConfigError, SecurityError
from edge.security.issue import Fleet, Terms
from edge.security.tls import TlsContexts
from tests.certificates import DAY, DEVICE_ID, FleetFiles, handshake, make_fleet


@pytest.fixture
def fleet(tmp_path: Path) -> FleetFiles:
    return make_fleet(tmp_path / "the fleet")


def key_of(fleet: FleetFiles) -> Path:
    return Path(fleet.device.private_key)


def test_a_certificate_that_takes_the_place_of_the_old_one(fleet):
    device, viewer = TlsContexts(fleet.device), TlsContexts(fleet.viewer)
    assert not device.reload()
    before = handshake(device.server("mtls"), viewer.client()).by_client
    fleet.fleet.device(DEVICE_ID, Terms(renew=True))
    assert device.reload()
    after = handshake(device.server("mtls"), viewer.client()).by_client
    assert before is not None
    assert after is not None
    assert before["serialNumber"] != after["serialNumber"]
    assert not device.reload()


def test_a_new_authority_is_taken_beside_the_old_one(fleet, tmp_path):
    new = make_fleet(tmp_path / "new")
    device = TlsContexts(fleet.device)
    fleet.ca.write_bytes(fleet.ca.read_bytes() + new.ca.read_bytes())
    assert device.reload()
    trusting = Security(certificate=new.viewer.certificate, private_key=new.viewer.private_key, ca=str(fleet.ca))
    seen = handshake(device.server("mtls"), TlsContexts(trusting).client())
    assert device.peer(seen.by_server).role == "viewer"


def test_two_authorities_need_a_list_each(fleet, tmp_path):
    new = make_fleet(tmp_path / "new")
    new.fleet.revoke([new.pem("backend-control")])
    fleet.ca.write_bytes(fleet.ca.read_bytes() + new.ca.read_bytes())
    device = TlsContexts(fleet.security(f"device-{DEVICE_ID}", revocation=True))
    trusting = {**_as_dict(new.viewer), "ca": str(fleet.ca)}
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get certificate CRL"):
        handshake(device.server("mtls"), TlsContexts(Security(**trusting)).client())
    fleet.revoked.write_bytes(fleet.revoked.read_bytes() + new.revoked.read_bytes())
    assert device.reload()
    assert [text for text in device.warnings(DEVICE_ID) if "revocation_list" in text] == []
    handshake(device.server("mtls"), TlsContexts(Security(**trusting)).client())
    handshake(device.server("mtls"), TlsContexts(fleet.viewer).client())
    revoked = {**_as_dict(new.control), "ca": str(fleet.ca)}
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate revoked"):
        handshake(device.server("mtls"), TlsContexts(Security(**revoked)).client())


@pytest.mark.parametrize("change", ["damage", "remove", "other key", "open"])
def test_a_file_that_cannot_be_used_keeps_the_old_ones_and_is_told_once(fleet, change):
    device, viewer = TlsContexts(fleet.device), TlsContexts(fleet.viewer)
    file, good = key_of(fleet), key_of(fleet).read_bytes()
    if change == "damage":
        file.write_bytes(b"-----BEGIN PRIVATE KEY-----\nnothing\n-----END PRIVATE KEY-----\n")
    elif change == "remove":
        file.unlink()
    elif change == "other key":
        file.write_bytes(Path(fleet.viewer.private_key).read_bytes() + b"\n")
    else:
        file.chmod(0o644)
        file.write_bytes(good + b"\n")
    with pytest.raises(SecurityError, match=r"device-edge-01\.key"):
        device.reload()
    assert not device.reload()
    handshake(device.server("mtls"), viewer.client())
    file.unlink(missing_ok=True)
    file.touch(0o600)
    file.write_bytes(good)
    assert device.reload()


def test_a_damaged_list_keeps_the_old_one(fleet):
    fleet.fleet.revoke([fleet.pem("backend-viewer")])
    device = TlsContexts(fleet.security(f"device-{DEVICE_ID}", revocation=True))
    fleet.revoked.write_bytes(fleet.revoked.read_bytes()[:100])
    with pytest.raises(SecurityError, match=r"security\.revocation_list: .*crl\.pem: holds no list in PEM form"):
        device.reload()
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        handshake(device.server("mtls"), TlsContexts(fleet.viewer).client())


def test_a_missing_file_names_its_setting(fleet, tmp_path):
    for key in ("certificate", "ca", "private_key"):
        settings = {**_as_dict(fleet.device), key: str(tmp_path / "none.pem")}
        with pytest.raises(SecurityError, match=rf"^security\.{key}: .*none\.pem: cannot be read: No such file"):
            TlsContexts(Security(**settings))
    settings = {**_as_dict(fleet.device), "revocation_list": str(tmp_path)}
    with pytest.raises(SecurityError, match=r"^security\.revocation_list: .*: cannot be read: Is a directory"):
        TlsContexts(Security(**settings))


def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SecurityError, match=r"^security\.ca: .*pipe: is no file"):
        TlsContexts(Security(ca=str(tmp_path / "pipe")))


def test_a_key_that_everybody_may_read_is_refused(fleet):
    key_of(fleet).chmod(0o604)
    with pytest.raises(SecurityError, match=r"every user of this machine may open it; run: chmod o= '.*key'"):
        TlsContexts(fleet.device)
    key_of(fleet).chmod(0o640)  # a group is how a service reads what root owns
    TlsContexts(fleet.device)


def test_a_key_of_another_certificate(fleet):
    mixed = {**_as_dict(fleet.device), "private_key": fleet.viewer.private_key}
    with pytest.raises(SecurityError, match=r"^security\.private_key: .*viewer\.key: is not the key of .*edge-01\.pem"):
        TlsContexts(Security(**mixed))


def test_an_encrypted_key_is_refused_without_asking_for_a_password(fleet):
    key = serialization.load_pem_private_key(key_of(fleet).read_bytes(), None)
    encrypted = serialization.BestAvailableEncryption(b"secret")
    pkcs8 = serialization.PrivateFormat.PKCS8
    key_of(fleet).write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, encrypted))
    with pytest.raises(SecurityError, match="is encrypted; give it without password"):
        TlsContexts(fleet.device)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "holds no certificate in PEM form"),
        (b"\x30\x82\x01\x00", "holds no certificate in PEM form"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be used"),
        (b"-----BEGIN CERTIFICATE-----\n" + b"A" * (1 << 20), "has more than 1048576 bytes"),
    ],
)
def test_what_is_no_certificate(fleet, content, fault):
    Path(fleet.device.certificate).write_bytes(content)
    with pytest.raises(SecurityError, match=rf"^security\.certificate: .*{fault}"):
        TlsContexts(fleet.device)
    fleet.ca.write_bytes(content)
    with pytest.raises(SecurityError, match=rf"^security\.ca: .*{fault}"):
        TlsContexts(Security(ca=str(fleet.ca)))


def test_settings_that_need_each_other(fleet):
    with pytest.raises(SecurityError, match=r"^security\.private_key: is not set; security\.certificate needs it"):
        TlsContexts(Security(certificate=fleet.device.certificate))
    with pytest.raises(SecurityError, match=r"^security\.certificate: is not set; security\.private_key needs it"):
        TlsContexts(Security(private_key=fleet.device.private_key))
    with pytest.raises(SecurityError, match=r"^security\.ca: is not set; security\.revocation_list needs it"):
        TlsContexts(Security(revocation_list=str(fleet.revoked)))
    with pytest.raises(SecurityError, match=r"^security\.certificate: must be set; a listener with tls = true"):
        TlsContexts(Security()).server("none")


def test_paths_with_variables(fleet):
    folder = str(fleet.fleet.folder)
    security = Security(
        certificate=f"${{CREDENTIALS_DIRECTORY}}/device-{DEVICE_ID}.pem",
        private_key=f"${{CREDENTIALS_DIRECTORY}}/device-{DEVICE_ID}.key",
    )
    TlsContexts(security, environ={"CREDENTIALS_DIRECTORY": folder}).server("none")
    with pytest.raises(ConfigError, match=r"^security\.certificate: .*there is no variable CREDENTIALS_DIRECTORY here"):
        TlsContexts(security, environ={})


def test_a_certificate_that_cannot_serve_is_found_before_a_client_finds_it(fleet):
    key = str(fleet.ca.with_suffix(".key"))
    with pytest.raises(SecurityError, match=r"ca\.pem: cannot serve TLS: unsuitable certificate purpose"):
        TlsContexts(Security(certificate=str(fleet.ca), private_key=key))


def test_what_is_told_before_it_hurts(tmp_path):
    near = make_fleet(tmp_path / "near", lambda: time.time(), days=20)
    device = TlsContexts(near.security(f"device-{DEVICE_ID}", revocation=True))
    (warning,) = device.warnings(DEVICE_ID)
    assert warning.startswith("security.certificate: the device's certificate expires on ")
    assert "does not name this device (urn:preact-edge:device:edge-02)" in device.warnings("edge-02")[1]
    Fleet(near.fleet.folder).revoke([], days=3)
    assert device.reload()
    assert "security.revocation_list: the list expires on" in device.warnings(DEVICE_ID)[1]
    later = TlsContexts(near.device, clock=lambda: time.time() + 4000 * DAY)
    expired = [warning for warning in later.warnings(DEVICE_ID) if " expired on " in warning]
    assert [warning.split(":")[0] for warning in expired] == ["security.certificate", "security.ca"]


def _as_dict(security: Security) -> dict[str, str]:
    return {key: getattr(security, key) for key in ("certificate", "private_key", "ca", "revocation_list")}
