"""The subscriber and trust: TLS by authority and by pin, client certificates, logins and their proofs."""

from __future__ import annotations

import hashlib
import re
import secrets
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from edge.config import Listener, Security
from edge.errors import ConfigError, ProtocolError, SecurityError
from edge.security.keys import append_key
from edge.stream.client import Alert, Connected, Login, Lost, NoWelcome, Subscriber, Tls, Untrusted
from edge.wire.login import Challenge, is_proof, prove
from tests.certificates import DEVICE_ID, FleetFiles, make_fleet
from tests.scripted import Caller, alert, scripted
from tests.streaming import serving

SECRET = bytes(range(32))


pytestmark = pytest.mark.usefixtures("leaves_nothing")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> FleetFiles:
    return make_fleet(tmp_path_factory.mktemp("a fleet"))


def device_context(fleet: FleetFiles, *, mutual: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(fleet.device.certificate, fleet.device.private_key)
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(fleet.ca)
    return context


def pin_of(security: Security) -> str:
    der = ssl.PEM_cert_to_DER_cert(
        Path(security.certificate).read_text().split("-----END")[0] + "-----END CERTIFICATE-----"
    )
    return hashlib.sha256(der).hexdigest()


def first_alert(caller: Caller) -> None:
    caller.accept()
    caller.send(alert(1, message="x" * 100_000))
    caller.wait_for_end()


def lost_at_first(client: Subscriber) -> Lost:
    return next(event for event in client if isinstance(event, Lost))


def test_a_device_of_the_authority_is_followed_over_tls(fleet: FleetFiles) -> None:
    tls = Tls(ca=fleet.ca, device=DEVICE_ID)
    with scripted(first_alert, tls=device_context(fleet)) as peer, Subscriber(*peer.address, tls=tls) as client:
        connected = next(client)
        assert isinstance(connected, Connected)
        assert connected.encryption == "TLSv1.3"
        found = next(event for event in client if isinstance(event, Alert))
    assert len(found.message) == 100_000


def test_a_pinned_device_needs_no_authority(fleet: FleetFiles) -> None:
    digits = pin_of(fleet.device).upper()
    tls = Tls(pin=":".join(digits[i : i + 2] for i in range(0, 64, 2)))
    with scripted(first_alert, tls=device_context(fleet)) as peer, Subscriber(*peer.address, tls=tls) as client:
        assert any(isinstance(event, Alert) for event in client)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"pin": "ab" * 32}, "not the pinned one"),
        ({"device": "edge-02"}, f"is of {DEVICE_ID}, not of the device edge-02"),
        ({}, "is not accepted: .*127.0.0.1"),  # without a device's id the host's name must be in it
    ],
)
def test_another_device_is_told_nothing(fleet: FleetFiles, options: dict[str, Any], reason: str) -> None:
    """[EDGE-11-6]"""
    heard: list[dict[str, Any]] = []

    def device(caller: Caller) -> None:
        caller.welcome()
        heard.append(caller.hear())

    tls = Tls(**options) if "pin" in options else Tls(ca=fleet.ca, **options)
    with scripted(device, tls=device_context(fleet)) as peer, Subscriber(*peer.address, tls=tls) as client:
        lost = lost_at_first(client)
    assert isinstance(lost.error, Untrusted)
    with pytest.raises(Untrusted, match=reason):
        raise lost.error
    assert heard == []


@pytest.mark.parametrize("device_id", ["Tür 3/a:b", "100%", "%41"])
def test_an_id_that_a_uri_cannot_hold_is_found_in_the_certificate(tmp_path: Path, device_id: str) -> None:
    """[EDGE-11-6]"""
    fleet = make_fleet(tmp_path, device_id=device_id)
    device = fleet.security(f"device-{quote(device_id, safe='')}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(device.certificate, device.private_key)
    with scripted(first_alert, first_alert, tls=context) as peer:
        with Subscriber(*peer.address, tls=Tls(ca=fleet.ca, device=device_id)) as client:
            assert isinstance(next(client), Connected)
        with Subscriber(*peer.address, tls=Tls(ca=fleet.ca, device=quote(device_id, safe=""))) as client:
            reason = lost_at_first(client).reason
    assert f"the certificate is of {device_id}, not of the device {quote(device_id, safe='')}" in reason


def test_another_authority_is_not_accepted(fleet: FleetFiles, tmp_path: Path) -> None:
    """[EDGE-11-6]"""
    tls = Tls(ca=make_fleet(tmp_path).ca, device=DEVICE_ID)
    with scripted(first_alert, tls=device_context(fleet)) as peer, Subscriber(*peer.address, tls=tls) as client:
        lost = lost_at_first(client)
    assert isinstance(lost.error, Untrusted)


def test_a_plain_port_is_no_tls(fleet: FleetFiles) -> None:
    tls = Tls(ca=fleet.ca, device=DEVICE_ID)
    with scripted(first_alert) as peer, Subscriber(*peer.address, tls=tls) as client:
        lost = lost_at_first(client)
    assert re.fullmatch(r"no TLS with 127.0.0.1:\d+: what answers there speaks none; .*", lost.reason)
    assert isinstance(lost.error, Untrusted)
    assert lost.error.code == "no_tls"


@pytest.mark.parametrize("framing", ["length", "newline"])
def test_a_plain_port_is_no_tls_in_either_framing(fleet: FleetFiles, framing: Any) -> None:
    tls, listener = Tls(ca=fleet.ca, device=DEVICE_ID), Listener(host="127.0.0.1", port=0, framing=framing)
    with serving(listener) as served, Subscriber("127.0.0.1", served.port, tls=tls) as client:
        lost = lost_at_first(client)
    assert isinstance(lost.error, Untrusted)
    assert lost.error.code == "no_tls"


def test_who_closes_before_its_welcome_is_told_apart() -> None:
    with scripted(lambda _: None) as peer, Subscriber(*peer.address) as client:
        lost = lost_at_first(client)
    assert isinstance(lost.error, NoWelcome)
    assert lost.reason == "the device closed the connection before its welcome"


@pytest.mark.parametrize("shared", ["key", "both in one"])
def test_a_private_key_that_everybody_may_open_is_refused(fleet: FleetFiles, tmp_path: Path, shared: str) -> None:
    certificate, key = tmp_path / "backend.pem", tmp_path / "backend.key"
    certificate.write_bytes(Path(fleet.viewer.certificate).read_bytes())
    key.write_bytes(Path(fleet.viewer.private_key).read_bytes())
    tls = Tls(ca=fleet.ca, device=DEVICE_ID, certificate=certificate, private_key=key)
    if shared != "key":
        certificate.write_bytes(certificate.read_bytes() + key.read_bytes())
        tls = Tls(ca=fleet.ca, device=DEVICE_ID, certificate=certificate)
    secret = Path(tls.private_key or tls.certificate)
    secret.chmod(0o644)
    with pytest.raises(ConfigError, match="every user of this machine may open it; run: chmod"):
        Subscriber("127.0.0.1", 1, tls=tls)
    secret.chmod(0o640)
    Subscriber("127.0.0.1", 1, tls=tls).close()


def test_a_client_certificate_is_shown_and_its_lack_is_named(fleet: FleetFiles) -> None:
    own = fleet.viewer
    with scripted(first_alert, tls=device_context(fleet, mutual=True)) as peer:
        tls = Tls(ca=fleet.ca, device=DEVICE_ID, certificate=own.certificate, private_key=own.private_key)
        with Subscriber(*peer.address, tls=tls) as client:
            assert any(isinstance(event, Alert) for event in client)
        with Subscriber(*peer.address, tls=Tls(ca=fleet.ca, device=DEVICE_ID)) as client:
            lost = lost_at_first(client)
        assert isinstance(lost.error, Untrusted)
        assert "does not accept this client's certificate, or its lack" in lost.reason


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "give either its pin or"),
        ({"pin": "ab" * 32, "ca": "x"}, "give either its pin or"),
        ({"pin": "xy" * 32}, "is no SHA-256"),
        ({"pin": "abcd"}, "is no SHA-256"),
        ({"pin": "ab" * 32, "private_key": "x"}, "without its certificate"),
    ],
)
def test_what_cannot_be_trusted_is_refused_at_once(options: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        Tls(**options)


def test_files_that_cannot_be_used_are_named(tmp_path: Path, fleet: FleetFiles) -> None:
    with pytest.raises(ConfigError, match="nowhere: cannot be used for TLS"):
        Subscriber("127.0.0.1", 1, tls=Tls(ca=tmp_path / "nowhere", device="d"))
    with pytest.raises(ConfigError, match="cannot be used for TLS"):
        Subscriber("127.0.0.1", 1, tls=Tls(ca=fleet.ca, device="d", certificate=fleet.ca))


class Guarded:
    """A device with a login; keeps what it was told."""

    def __init__(self, prefix: str = "tcp", secret: bytes = SECRET, proof: str | None = None) -> None:
        self.right: bool | None = None
        self._prefix, self._secret, self._proof = prefix, secret, proof

    def __call__(self, caller: Caller) -> None:
        nonce = secrets.token_hex(32)
        terms = {"version": 1, "features": ["resume"], "auth": "hmac", "listener": "main", "nonce": nonce}
        caller.send({"type": "welcome", "device_id": DEVICE_ID, "protocol": terms})
        auth = caller.hear()["auth"]
        challenge = Challenge(auth["key_id"], DEVICE_ID, f"{self._prefix}:main", nonce, auth["nonce"])
        self.right = is_proof(auth["mac"], self._secret, "client", challenge)
        if self._proof is None:
            caller.hello_ok(proof=prove(self._secret, "server", challenge))
        else:
            caller.hello_ok(proof=self._proof)
        caller.send(alert(1))
        caller.wait_for_end()


@pytest.mark.parametrize("encrypted", [True, False])
def test_both_sides_prove_that_they_know_the_key(fleet: FleetFiles, encrypted: bool) -> None:
    device = Guarded("tls" if encrypted else "tcp")
    context = device_context(fleet) if encrypted else None
    tls = Tls(pin=pin_of(fleet.device)) if encrypted else None
    login = Login("backend-1", SECRET, allow_plain=not encrypted)
    with scripted(device, tls=context) as peer, Subscriber(*peer.address, tls=tls, login=login) as client:
        assert any(isinstance(event, Alert) for event in client)
    assert device.right


@pytest.mark.parametrize("proof", ["", "0" * 64, "é", None])
def test_a_device_without_the_proof_is_left_before_its_first_alert(proof: str | None) -> None:
    device = Guarded(secret=bytes(32) if proof is None else SECRET, proof=proof)
    login = Login("backend-1", SECRET, allow_plain=True)
    with scripted(device) as peer, Subscriber(*peer.address, login=login) as client:
        events = []
        for event in client:
            events.append(event)
            if isinstance(event, Lost):
                break
    assert [type(event).__name__ for event in events] == ["Connected", "Welcome", "Lost"]
    assert isinstance(events[-1], Lost)
    assert isinstance(events[-1].error, Untrusted)
    assert "does not know the login key" in events[-1].reason


def test_no_login_goes_over_plain_tcp_unasked() -> None:
    heard: list[dict[str, Any]] = []

    def device(caller: Caller) -> None:
        caller.welcome(auth="hmac", nonce="0" * 64)
        heard.append(caller.hear())

    with scripted(device) as peer, Subscriber(*peer.address, login=Login("k", SECRET)) as client:
        assert "no login without TLS" in lost_at_first(client).reason
    assert heard == []


def test_a_device_that_wants_no_login_proves_nothing() -> None:
    login = Login("k", SECRET, allow_plain=True)
    with scripted(first_alert) as peer, Subscriber(*peer.address, login=login) as client:
        lost = lost_at_first(client)
    assert isinstance(lost.error, Untrusted)
    assert "asks for none" in lost.reason


def test_a_device_that_wants_a_login_says_so() -> None:
    def device(caller: Caller) -> None:
        caller.welcome(auth="hmac", nonce="0" * 64)
        caller.wait_for_end()

    with scripted(device) as peer, Subscriber(*peer.address) as client:
        assert "the device wants a login" in lost_at_first(client).reason


@pytest.mark.parametrize("nonce", ["", "0" * 63, "0" * 63 + "\0", "A" * 64])
def test_a_nonce_is_64_digits(nonce: str) -> None:
    def device(caller: Caller) -> None:
        caller.welcome(auth="hmac", nonce=nonce)
        caller.wait_for_end()

    login = Login("k", SECRET, allow_plain=True)
    with scripted(device) as peer, Subscriber(*peer.address, login=login) as client:
        assert isinstance(lost_at_first(client).error, ProtocolError)


def test_secrets_are_long_and_never_shown() -> None:
    assert SECRET.hex() not in repr(Login("k", SECRET))
    assert repr(SECRET) not in repr(Login("k", SECRET))
    with pytest.raises(ConfigError, match="less than 32 bytes"):
        Login("k", bytes(31))


@pytest.mark.parametrize(
    ("key_id", "secret", "reason"),
    [
        ("k", SECRET.hex(), r"login key k: the secret is a text; .*bytes.fromhex\(\), or take Login.from_file"),
        ("k", None, "login key k: the secret must be bytes"),
        ("", SECRET, "a login key's name"),
        (None, SECRET, "a login key's name"),
    ],
)
def test_what_can_be_no_login_is_refused_where_it_is_made(key_id: Any, secret: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        Login(key_id, secret)
    assert SECRET.hex() not in str(caught.value)


def key_file(folder: Path, *names: str) -> Path:
    """As `preact-edge certs key NAME --append` makes it."""
    file = folder / "login keys.toml"
    for name in names:
        append_key(name, "viewer", file)
    return file


def test_a_login_is_read_from_the_file_that_certs_makes(tmp_path: Path) -> None:
    file = key_file(tmp_path, "backend-1")
    only = Login.from_file(file, allow_plain=True)
    assert (only.key_id, only.allow_plain) == ("backend-1", True)
    assert only.secret.hex() in file.read_text()
    assert Login.from_file(str(file), "backend-1") == Login("backend-1", only.secret)
    key_file(tmp_path, "desk")
    assert Login.from_file(file, "desk").secret != only.secret


def test_a_key_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(SecurityError, match="nowhere: cannot be read"):
        Login.from_file(tmp_path / "nowhere")
    file = key_file(tmp_path, "backend-1", "desk")
    with pytest.raises(SecurityError, match=r"login keys: .*: holds several; say which of: backend-1, desk"):
        Login.from_file(file)
    with pytest.raises(SecurityError, match="has no key of the name backend, only: backend-1, desk"):
        Login.from_file(file, "backend")
    file.chmod(0o604)
    with pytest.raises(SecurityError, match="every user of this machine may open it"):
        Login.from_file(file, "desk")
