"""The TLS contexts in real handshakes."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path

import pytest

from edge.config import Security
from edge.errors import SecurityError
from edge.security.issue import Fleet, Terms, self_signed
from edge.security.peers import RELEASED_AT, Peer, identify
from edge.security.tls import TlsContexts, handshake_fault
from tests.certificates import DAY, DEVICE_ID, FleetFiles, handshake, make_fleet


@pytest.fixture
def fleet(tmp_path: Path) -> FleetFiles:
    return make_fleet(tmp_path / "the fleet")


def refused(server: ssl.SSLContext, client: ssl.SSLContext, *, as_client: bool = False) -> str:
    """Why the handshake failed, in the words for the log."""
    with pytest.raises(ssl.SSLError) as caught:
        handshake(server, client, as_client=as_client)
    return handshake_fault(caught.value)


def test_both_sides_know_each_other(fleet):
    device, viewer = TlsContexts(fleet.device), TlsContexts(fleet.viewer)
    seen = handshake(device.server("mtls"), viewer.client())
    assert seen.version == "TLSv1.3"
    assert device.peer(seen.by_server) == Peer("viewer", "viewer", None)
    assert viewer.peer(seen.by_client) == Peer(DEVICE_ID, None, DEVICE_ID)


def test_the_device_dials_a_backend_with_the_same_certificate(fleet):
    device, backend = TlsContexts(fleet.device), TlsContexts(fleet.control)
    seen = handshake(backend.server("mtls"), device.client())
    assert device.peer(seen.by_client).role == "control"
    assert backend.peer(seen.by_server).device_id == DEVICE_ID


def test_a_stolen_device_key_is_no_backend(fleet):
    fleet.fleet.device("edge-02", Terms())
    device, thief = TlsContexts(fleet.device), TlsContexts(fleet.security("device-edge-02"))
    assert device.peer(handshake(thief.server("mtls"), device.client()).by_client).role is None
    assert device.peer(handshake(device.server("mtls"), thief.client()).by_server).role is None


@pytest.mark.parametrize(("unit", "role"), [("viewer", "viewer"), ("control", "control"), ("accounting", None)])
def test_a_role_in_the_subject(fleet, unit, role):
    device, client = TlsContexts(fleet.device), TlsContexts(fleet.with_unit("other", unit))
    assert device.peer(handshake(device.server("mtls"), client.client()).by_server) == Peer("other", role, None)


def test_a_client_without_certificate(fleet):
    device, client = TlsContexts(fleet.device), TlsContexts(Security(ca=str(fleet.ca)))
    anonymous = client.client(anonymous=True)
    assert refused(device.server("mtls"), anonymous) == "it has shown no certificate"
    seen = handshake(device.server("hmac"), anonymous)
    assert client.peer(seen.by_client).device_id == DEVICE_ID
    with pytest.raises(SecurityError, match="the other side has shown none"):
        device.peer(seen.by_server)
    with pytest.raises(SecurityError, match=r"^security\.certificate: must be set; dialling out over TLS needs it"):
        client.client()


def test_a_certificate_of_another_authority(fleet, tmp_path):
    other = make_fleet(tmp_path / "other").viewer
    device = TlsContexts(fleet.device)
    assert "certificate is refused" in refused(device.server("none"), TlsContexts(other).client())
    trusting = Security(certificate=other.certificate, private_key=other.private_key, ca=str(fleet.ca))
    fault = refused(device.server("mtls"), TlsContexts(trusting).client())
    assert fault.startswith("its certificate is refused: unable to get local issuer certificate")


def test_a_revoked_certificate_and_one_that_is_not(fleet):
    device = TlsContexts(fleet.security(f"device-{DEVICE_ID}", revocation=True))
    viewer, control = TlsContexts(fleet.viewer).client(), TlsContexts(fleet.control).client()
    handshake(device.server("mtls"), viewer)
    assert fleet.fleet.revoke([fleet.pem("backend-viewer")]) == 1
    assert device.reload()
    assert refused(device.server("mtls"), viewer) == "its certificate is refused: certificate revoked"
    handshake(device.server("mtls"), control)


def test_a_revoked_backend_is_not_dialled(fleet):
    fleet.fleet.revoke([fleet.pem("backend-control")])
    device = TlsContexts(fleet.security(f"device-{DEVICE_ID}", revocation=True))
    backend = TlsContexts(fleet.control)
    assert refused(backend.server("mtls"), device.client()) == "its certificate is refused: certificate revoked"


def test_a_list_that_is_out_of_date_refuses_everybody_and_says_so(fleet):
    Fleet(fleet.fleet.folder, lambda: time.time() - 3 * DAY).revoke([], days=1)
    device = TlsContexts(fleet.security(f"device-{DEVICE_ID}", revocation=True))
    fault = refused(device.server("mtls"), TlsContexts(fleet.viewer).client())
    assert fault == ("CRL has expired: put a fresh list at security.revocation_list (preact-edge certs revoke)")
    (warning,) = device.warnings(DEVICE_ID)[-1:]
    assert "the list expired on" in warning
    assert "every certificate is refused" in warning


def test_a_list_of_another_authority_is_told(fleet, tmp_path):
    other = make_fleet(tmp_path / "other")
    fleet.revoked.write_bytes(other.revoked.read_bytes())
    device = TlsContexts(fleet.security(f"device-{DEVICE_ID}", revocation=True))
    assert "CRL" in refused(device.server("mtls"), TlsContexts(fleet.viewer).client())
    assert any("is of no authority in security.ca" in warning for warning in device.warnings(DEVICE_ID))


def test_an_expired_certificate(fleet):
    past = make_fleet(fleet.fleet.folder / "past", lambda: time.time() - 3 * DAY, days=1)
    device = TlsContexts(past.device)  # starts all the same
    viewer = TlsContexts(Security(ca=str(past.ca)))
    fault = refused(device.server("none"), viewer.client(anonymous=True))
    assert fault == "its certificate is refused: certificate has expired"
    assert any("the device's certificate expired on" in warning for warning in device.warnings(DEVICE_ID))


def test_what_a_dialling_device_hears_of_its_own_certificate(fleet, tmp_path):
    backend = TlsContexts(fleet.security("backend-control", revocation=True))
    anonymous = TlsContexts(Security(ca=str(fleet.ca))).client(anonymous=True)
    assert refused(backend.server("mtls"), anonymous, as_client=True) == "it wants a certificate of ours"
    other = make_fleet(tmp_path / "other").device
    stranger = Security(certificate=other.certificate, private_key=other.private_key, ca=str(fleet.ca))
    fault = refused(backend.server("mtls"), TlsContexts(stranger).client(), as_client=True)
    assert fault == "it does not know the authority of our certificate"
    fleet.fleet.revoke([fleet.pem(f"device-{DEVICE_ID}")])
    backend.reload()
    device = TlsContexts(fleet.device).client()
    assert refused(backend.server("mtls"), device, as_client=True) == "our certificate is revoked"
    past = make_fleet(tmp_path / "past", lambda: time.time() - 3 * DAY, days=1)
    expired = TlsContexts(past.device, clock=lambda: 0.0).client()
    fleet.fleet.folder.joinpath("both.pem").write_bytes(fleet.ca.read_bytes() + past.ca.read_bytes())
    trusting = Security(
        certificate=fleet.control.certificate,
        private_key=fleet.control.private_key,
        ca=str(fleet.fleet.folder / "both.pem"),
    )
    expired.load_verify_locations(fleet.ca)
    fault = refused(TlsContexts(trusting).server("mtls"), expired, as_client=True)
    assert fault == "our certificate has expired"


def test_a_peer_that_speaks_no_tls_or_leaves(fleet):
    for said, fault in ((b"GET / HTTP/1.1\r\n\r\n", "it does not speak TLS"), (b"", "it hung up during the handshake")):
        near, far = socket.socketpair()
        with near, far:
            near.sendall(said)
            near.shutdown(socket.SHUT_WR)
            with pytest.raises(ssl.SSLError) as caught:
                TlsContexts(fleet.device).server("mtls").wrap_socket(far, server_side=True)
            assert handshake_fault(caught.value) == fault


def test_each_side_is_seen_as_what_its_certificate_says(fleet):
    seen = handshake(TlsContexts(fleet.device).server("mtls"), TlsContexts(fleet.viewer).client())
    assert seen.by_client is not None
    assert identify(seen.by_client).device_id == DEVICE_ID
    assert seen.by_server is not None
    assert identify(seen.by_server) == Peer("viewer", "viewer", None)


def test_tls_1_2_is_refused_both_ways(fleet):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.load_verify_locations(fleet.ca)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert refused(TlsContexts(fleet.device).server("none"), old) == "it offers no TLS 1.3"
    older = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    older.load_cert_chain(fleet.viewer.certificate, fleet.viewer.private_key)
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    assert refused(older, TlsContexts(fleet.device).client()) == "it offers no TLS 1.3"


def test_no_session_can_be_resumed_past_a_revocation(fleet):
    assert not handshake(TlsContexts(fleet.device).server("mtls"), TlsContexts(fleet.viewer).client()).has_ticket
    usual = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    usual.load_cert_chain(fleet.device.certificate, fleet.device.private_key)
    assert handshake(usual, TlsContexts(fleet.viewer).client()).has_ticket  # what the line above would see


def test_a_pinned_device_without_authority(tmp_path):
    self_signed(DEVICE_ID, tmp_path, Terms())
    pem, key = str(tmp_path / "device.pem"), str(tmp_path / "device.key")
    device = TlsContexts(Security(certificate=pem, private_key=key))
    client = TlsContexts(Security(ca=pem))
    seen = handshake(device.server("hmac"), client.client(anonymous=True))
    assert client.peer(seen.by_client).device_id == DEVICE_ID
    assert device.warnings(DEVICE_ID) == ()
    with pytest.raises(SecurityError, match=r'security\.ca: must be set; a listener with auth = "mtls" needs it'):
        device.server("mtls")
    self_signed(DEVICE_ID, tmp_path / "twin", Terms())
    twin = str(tmp_path / "twin" / "device")
    impostor = TlsContexts(Security(certificate=f"{twin}.pem", private_key=f"{twin}.key"))
    assert "certificate is refused" in refused(impostor.server("hmac"), client.client(anonymous=True))


# The clock rule


def test_a_board_that_boots_in_1970_still_talks_both_ways(fleet):
    board, viewer = TlsContexts(fleet.device, clock=lambda: 0.0), TlsContexts(fleet.viewer)
    seen = handshake(board.server("mtls"), viewer.client())
    assert board.peer(seen.by_server).role == "viewer"
    seen = handshake(viewer.server("mtls"), board.client())
    assert board.peer(seen.by_client).role == "viewer"
    assert "clock: says 1970-01-01" in board.warnings(DEVICE_ID)[0]


def test_a_wrong_clock_revives_no_expired_certificate(fleet):
    past = make_fleet(fleet.fleet.folder / "past", lambda: RELEASED_AT - 3 * DAY, days=1)
    clock = [0.0]
    board, viewer = TlsContexts(past.device, clock=lambda: clock[0]), TlsContexts(past.viewer, clock=lambda: 0.0)
    seen = handshake(board.server("mtls"), viewer.client())  # OpenSSL looks at no date
    with pytest.raises(SecurityError, match=r"certificate of viewer: expired on .*; renew it"):
        board.peer(seen.by_server)
    clock[0] = time.time()  # the network has set it
    fault = refused(board.server("mtls"), viewer.client())
    assert fault == "its certificate is refused: certificate has expired"


def test_a_wrong_clock_takes_no_other_authority_and_no_revoked_certificate(fleet, tmp_path):
    fleet.fleet.revoke([fleet.pem("backend-viewer")])
    board = TlsContexts(fleet.security(f"device-{DEVICE_ID}", revocation=True), clock=lambda: 0.0)
    assert "revoked" in refused(board.server("mtls"), TlsContexts(fleet.viewer).client())
    other = make_fleet(tmp_path / "other").viewer
    stranger = Security(certificate=other.certificate, private_key=other.private_key, ca=str(fleet.ca))
    assert "certificate is refused" in refused(board.server("mtls"), TlsContexts(stranger).client())


def test_the_files_themselves_tell_that_time_has_passed_since_the_release(fleet):
    """A fleet made a year after the release, on a board in 1970: its own certificate is later than the release."""
    later = RELEASED_AT + 365 * DAY
    new = make_fleet(fleet.fleet.folder / "new", lambda: later)
    board = TlsContexts(new.device, clock=lambda: 0.0)
    seen = handshake(board.server("mtls"), TlsContexts(new.viewer, clock=lambda: 0.0).client())
    assert board.peer(seen.by_server).role == "viewer"


def test_not_before_counts_against_the_release_while_the_clock_is_wrong(fleet, tmp_path):
    future = make_fleet(tmp_path / "future", lambda: RELEASED_AT + 365 * DAY)
    trusting = Security(certificate=fleet.device.certificate, private_key=fleet.device.private_key, ca=str(future.ca))
    board = TlsContexts(trusting, clock=lambda: 0.0)
    client = Security(certificate=future.viewer.certificate, private_key=future.viewer.private_key, ca=str(fleet.ca))
    seen = handshake(board.server("mtls"), TlsContexts(client, clock=lambda: 0.0).client())
    with pytest.raises(SecurityError, match=r"certificate of viewer: is valid only from .*; is the clock right\?"):
        board.peer(seen.by_server)
