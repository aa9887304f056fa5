"""Logins with keys and certificates, and strangers at the door. The ids are statements of docs/protocol.md."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.config import Backend, Listener, Security
from edge.errors import StreamError
from edge.security.issue import Fleet, Terms
from edge.security.keys import LoginKeys
from edge.security.tls import TlsContexts
from edge.stream import server as servers
from edge.stream import session as sessions
from edge.stream.dialler import Dialler
from edge.stream.reception import Trust
from tests.certificates import DAY, DEVICE_ID, FleetFiles, make_fleet
from tests.streaming import Served, in_thread, make_alert, make_result, serving
from tests.support import wait_until
from tests.talking import HELLO, KEYS, OTHER, SECRET, Talker, client_tls

HMAC = Listener(name="plain-door", host="127.0.0.1", port=0, auth="hmac")
TLS_HMAC = Listener(name="tls-door", host="127.0.0.1", port=0, auth="hmac", tls=True)
TLS_OPEN = Listener(host="127.0.0.1", port=0, tls=True)
MTLS = Listener(host="127.0.0.1", port=0, auth="mtls", tls=True)
WITHHELD = {"camera_id", "stream", "oldest_seq", "next_seq"}


pytestmark = pytest.mark.usefixtures("leaves_nothing")


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "CHECK_S", 0.05)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> FleetFiles:
    return make_fleet(tmp_path_factory.mktemp("a fleet"))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    made = tmp_path / "keys.toml"
    made.touch(0o600)
    made.write_text(KEYS)
    return made


@pytest.fixture
def security(fleet: FleetFiles, keys: Path) -> Security:
    return msgspec.structs.replace(fleet.device, login_keys=str(keys))


@contextlib.contextmanager
def guarded(security: Security, *listeners: Listener, **limits: Any) -> Iterator[Served]:
    with serving(*listeners, parts={"trust": Trust.open(security, listeners, ())}, **limits) as served:
        yield served


def received(sock: socket.socket) -> bytes:
    """All up to the end."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := sock.recv(65536):
            data += piece
    return data


def connect(served: Served, listener: int = 0) -> socket.socket:
    sock = socket.create_connection(served.server.addresses[listener])
    sock.settimeout(20)
    return sock


def error_of(client: Talker) -> str:
    (error,) = client.end()
    assert error["type"] == "error"
    assert error["fatal"] is True
    return str(error["code"])


# --- keys


@pytest.mark.parametrize(
    ("listener", "key_id", "role"),
    [(HMAC, "backend-1", "viewer"), (HMAC, "desk", "viewer"), (TLS_HMAC, "backend-1", "viewer"),
     (TLS_HMAC, "desk", "control")],
)  # fmt: skip
def test_a_right_key_gets_in_and_sees_that_the_device_knows_it_too(
    security: Security, fleet: FleetFiles, listener: Listener, key_id: str, role: str
) -> None:
    """[EDGE-11-15] [EDGE-11-10] [EDGE-3-7] [EDGE-4-8] [EDGE-11-3]"""
    tls = client_tls(fleet) if listener.tls else None
    with guarded(security, listener) as served, served.talker(tls=tls) as client:
        assert not WITHHELD & {*client.welcome, *client.welcome["protocol"]}
        served.hub.publish_result(make_result(1, make_alert(1)))
        assert served.hub.clients() == 0
        hello_ok = client.hello(auth=client.log_in(SECRET, key_id), subscribe=["detections"])
        assert client.passed == [], "nothing of the stream before"
        assert (hello_ok["role"], hello_ok["proof"]) == (role, client.proof)
        served.hub.publish_result(make_result(2))
        assert client.read()["frame_id"] == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"device_id": "edge-02"},
        {"listener": "tls:plain-door"},
        {"listener": "tcp:another-door"},
        {"label": "preact-edge-v1 server"},
        {"server_nonce": "0" * 64},
        {"key_id": "desk"},
        {"secret": OTHER},
        {"name": "nobody"},
    ],
)
def test_whatever_is_wrong_in_a_login_the_answer_is_the_same(security: Security, changes: dict[str, str]) -> None:
    """[EDGE-11-11] [EDGE-11-16] [EDGE-11-10]"""
    with guarded(security, HMAC) as served, served.talker() as client:
        secret, name = changes.pop("secret", SECRET), changes.pop("name", "backend-1")
        began = time.monotonic()
        client.send(HELLO | {"auth": client.log_in(secret, **changes) | {"key_id": name}})
        (error,) = client.end()
        assert error == {
            "type": "error",
            "code": "auth_failed",
            "message": "the login is wrong: check key_id, secret, device_id and listener",
            "fatal": True,
        }
        assert time.monotonic() - began >= 1.0


def test_a_login_for_plain_tcp_is_wrong_inside_tls(security: Security, fleet: FleetFiles) -> None:
    """[EDGE-11-16]"""
    with guarded(security, TLS_HMAC) as served, served.talker(tls=client_tls(fleet)) as client:
        client.send(HELLO | {"auth": client.log_in(SECRET, listener="tcp:tls-door")})
        assert error_of(client) == "auth_failed"


def test_a_login_holds_for_one_connection(security: Security) -> None:
    """[EDGE-11-13]"""
    with guarded(security, HMAC) as served, served.talker() as client, served.talker() as thief:
        assert client.welcome["protocol"]["nonce"] != thief.welcome["protocol"]["nonce"]
        auth = client.log_in(SECRET)
        client.hello(auth=auth)
        thief.send(HELLO | {"auth": auth})
        assert error_of(thief) == "auth_failed"


@pytest.mark.parametrize(
    "first",
    [HELLO, HELLO | {"auth": None}, {"type": "ack", "stream": "s", "seq": 1}, {"type": "ping", "t": 1},
     {"type": "command", "id": "1", "cmd": "get_status"}],
)  # fmt: skip
def test_nothing_is_done_for_one_that_has_not_logged_in(security: Security, first: dict[str, Any]) -> None:
    """[EDGE-11-12] [EDGE-11-3] [EDGE-4-13]"""
    with guarded(security, HMAC) as served, served.talker() as client:
        client.send(first, first)
        assert error_of(client) == "auth_required"


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"\0\0\0\0", "bad_frame"), (b"GET / HTTP/1.1\r\n\r\n", "too_large"), (b"\0\0\x10\x01", "too_large"),
     (b"\0\0\0\4null", "bad_json"), (b'\0\0\0\x10{"type":"hello"}', "unsupported_version")],
)  # fmt: skip
def test_what_is_wrong_before_a_login_is_told(security: Security, data: bytes, code: str) -> None:
    """[EDGE-6-2] [EDGE-8-1] [EDGE-8-6]"""
    with guarded(security, HMAC) as served, served.talker() as client:
        client.socket.sendall(data)
        assert error_of(client) == code


def test_a_wrong_login_holds_up_nobody(security: Security, monkeypatch: pytest.MonkeyPatch) -> None:
    """[EDGE-11-11] 12 of them, never answered, and one that knows its key."""
    monkeypatch.setattr(sessions, "DENIAL_S", 3600.0)
    with guarded(security, HMAC) as served:
        wrong = [served.talker() for _ in range(12)]
        for client in wrong:
            client.send(HELLO | {"auth": client.log_in(OTHER)})
        with served.talker() as client:
            client.hello(auth=client.log_in(SECRET))
        for client in wrong:
            client.close()


def test_who_logged_in_and_has_no_place_is_told(security: Security) -> None:
    """[EDGE-6-1]"""
    with guarded(security, HMAC, max_clients=1) as served, served.talker() as first, served.talker() as second:
        first.hello(auth=first.log_in(SECRET), subscribe=["detections"])
        second.send(HELLO | {"auth": second.log_in(SECRET)})
        assert error_of(second) == "too_many_clients"
        served.hub.publish_result(make_result(5))
        assert first.read()["frame_id"] == 5


def test_with_tls_and_no_login_one_too_many_gets_no_welcome(security: Security, fleet: FleetFiles) -> None:
    """[EDGE-6-1]"""
    with guarded(security, TLS_OPEN, max_clients=1) as served, served.talker(tls=client_tls(fleet)) as first:
        refuses(served, client_tls(fleet))
        served.hub.publish_result(make_result(5))
        assert first.read()["frame_id"] == 5


def test_keys_and_macs_are_in_no_log_and_no_answer(security: Security, caplog: pytest.LogCaptureFixture) -> None:
    """[EDGE-11-17]"""
    caplog.set_level(logging.DEBUG)
    said = []
    with guarded(security, HMAC, TLS_HMAC) as served:
        for secret in (SECRET, OTHER):
            with served.talker() as client:
                auth = client.log_in(secret)
                client.send(HELLO | {"auth": auth}, HELLO | {"auth": {"key_id": SECRET, "mac": SECRET}})
                client.send({"type": SECRET[:30]})
                client.socket.shutdown(socket.SHUT_WR)
                said += client.end()
            for private in (SECRET, secret, auth["mac"], "PRIVATE KEY"):
                assert private.lower() not in caplog.text.lower()
                assert private.lower() not in str(said).lower()


# --- time and place


def test_one_that_does_not_log_in_in_time_is_told(security: Security, caplog: pytest.LogCaptureFixture) -> None:
    """[EDGE-3-7] [EDGE-11-3]"""
    with guarded(security, HMAC, login_s=0.5) as served, served.talker() as client:
        served.hub.publish_result(make_result(1, make_alert(1)))
        assert error_of(client) == "auth_timeout"
        wait_until(lambda: "left: auth_timeout" in caplog.text)


@pytest.mark.parametrize("listener", [TLS_OPEN, TLS_HMAC, MTLS])
@pytest.mark.parametrize("start", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01"])
def test_one_that_does_not_shake_hands_in_time_is_closed(security: Security, listener: Listener, start: bytes) -> None:
    """[EDGE-3-7]"""
    with guarded(security, listener, login_s=0.5) as served, connect(served) as sock:
        sock.sendall(start)
        assert received(sock) == b""


def test_one_that_shakes_hands_and_says_nothing_is_told(security: Security, fleet: FleetFiles) -> None:
    """[EDGE-3-7]"""
    with guarded(security, TLS_HMAC, login_s=0.5) as served, served.talker(tls=client_tls(fleet)) as client:
        assert error_of(client) == "auth_timeout"


def test_one_that_sends_a_byte_now_and_then_gains_no_time(security: Security) -> None:
    """[EDGE-3-7]"""
    with guarded(security, HMAC, login_s=0.5) as served, served.talker() as client:
        hello = client.frame(HELLO)

        def drip() -> None:
            with contextlib.suppress(OSError):
                for byte in hello:
                    client.socket.send(bytes([byte]))
                    time.sleep(0.2)

        dripping = in_thread(drip)
        assert error_of(client) == "auth_timeout"
        client.close()
        dripping()


@pytest.mark.parametrize("encrypted", [False, True])
def test_among_two_hundred_silent_ones_a_login_gets_in(
    security: Security, fleet: FleetFiles, encrypted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """[EDGE-3-8] [EDGE-5-8]"""
    with guarded(security, TLS_HMAC if encrypted else HMAC, max_pending=4) as served:
        tls = client_tls(fleet) if encrypted else None
        silent: list[socket.socket] = []
        inside: list[Talker] = []
        try:
            for number in range(200):
                silent.append(connect(served))
                if number % 40 == 20:
                    inside.append(served.talker(tls=tls))
                    inside[-1].hello(auth=inside[-1].log_in(SECRET), subscribe=["detections"])
            wait_until(lambda: len(served.server._sessions) == 4 + len(inside))
            served.hub.publish_result(make_result(9))
            assert [client.read()["frame_id"] for client in inside] == [9] * 5
            assert received(silent[0]).count(b"detection_result") == 0
            assert "crowded out" in caplog.text
        finally:
            for sock in silent:
                sock.close()
            for client in inside:
                client.close()


def test_of_too_many_some_go_and_those_that_stay_get_in(security: Security, caplog: pytest.LogCaptureFixture) -> None:
    """[EDGE-3-8]"""
    with guarded(security, HMAC, max_pending=3) as served:
        clients = [served.talker() for _ in range(5)]
        wait_until(lambda: caplog.text.count("left: crowded out") == 2)
        logged_in = 0
        for client in clients:
            with contextlib.suppress(EOFError, ConnectionError):
                client.hello(auth=client.log_in(SECRET))
                logged_in += 1
            client.close()
        assert logged_in == 3


# --- TLS


def test_only_tls_1_3_is_spoken(security: Security, fleet: FleetFiles) -> None:
    """[EDGE-11-1]"""
    with guarded(security, TLS_OPEN) as served:
        with served.talker(tls=client_tls(fleet)) as client:
            assert isinstance(client.socket, ssl.SSLSocket)
            assert client.socket.version() == "TLSv1.3"
        with pytest.raises(OSError, match=r"."):
            served.talker(tls=client_tls(fleet, maximum_version=ssl.TLSVersion.TLSv1_2))


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(range(256)) * 40, b"\x16\x03\x01" * 9000])
@pytest.mark.parametrize("listener", [TLS_OPEN, TLS_HMAC, MTLS])
def test_who_speaks_no_tls_to_a_tls_port_gets_no_byte_of_the_stream(
    security: Security, listener: Listener, data: bytes
) -> None:
    """[EDGE-11-1]"""
    with guarded(security, listener) as served, connect(served) as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(data)
        answer = received(sock)
        assert b"welcome" not in answer
        assert len(answer) <= 7, "at most an alert of TLS"


def test_tls_to_a_plain_port_fails_and_hurts_nobody(security: Security, fleet: FleetFiles) -> None:
    """[EDGE-3-10]"""
    with guarded(security, Listener(host="127.0.0.1", port=0)) as served, served.talker() as client:
        with pytest.raises(ssl.SSLError):
            served.talker(tls=client_tls(fleet))
        served.hub.publish_result(make_result(3))
        assert client.read()["frame_id"] == 3


@pytest.mark.parametrize("after", [1, 50, 200, 400, 600])
def test_a_handshake_cut_off_anywhere_hurts_nobody(security: Security, fleet: FleetFiles, after: int) -> None:
    """[EDGE-5-8] With a reset after so many bytes of the client's."""
    with guarded(security, MTLS, TLS_OPEN) as served, served.talker(1, tls=client_tls(fleet)) as witness:
        outgoing, incoming = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_tls(fleet, fleet.viewer).wrap_bio(incoming, outgoing)
        with connect(served) as sock:
            sent = 0
            while sent < after:
                with contextlib.suppress(ssl.SSLWantReadError):
                    tls.do_handshake()
                data = outgoing.read()[: after - sent]
                sock.sendall(data)
                sent += len(data)
                if sent < after:
                    incoming.write(sock.recv(65536))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wait_until(lambda: len(served.server._sessions) == 1)
        served.hub.publish_result(make_result(4))
        assert witness.read()["frame_id"] == 4


def test_a_handshake_byte_by_byte(security: Security, fleet: FleetFiles) -> None:
    with guarded(security, TLS_OPEN) as served, connect(served) as sock:
        outgoing, incoming = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_tls(fleet).wrap_bio(incoming, outgoing)
        text = b""
        while b"welcome" not in text:
            try:
                text += tls.read(4096)
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    sock.sendall(bytes([byte]))
                incoming.write(sock.recv(64))


def test_a_last_word_that_comes_with_the_goodbye_of_tls_is_heard_and_the_connection_closed(
    security: Security, fleet: FleetFiles
) -> None:
    """[EDGE-3-4]"""
    with guarded(security, TLS_OPEN) as served, connect(served) as sock:
        outgoing, incoming = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_tls(fleet).wrap_bio(incoming, outgoing)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        sock.sendall(outgoing.read())
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()
                break
            incoming.write(sock.recv(65536))
        tls.write(len(b'{"type":"x"}').to_bytes(4, "big") + b'{"type":"x"}')
        with contextlib.suppress(ssl.SSLError):
            tls.unwrap()
        sock.sendall(outgoing.read())  # data and close_notify in one piece; TCP itself stays open
        received(sock)
        wait_until(lambda: served.hub.clients() == 0)


# --- certificates


def refuses(served: Served, context: ssl.SSLContext) -> None:
    """No byte of the stream comes. A client of TLS 1.3 is done before it is refused."""
    try:
        client = served.talker(tls=context)
    except (OSError, EOFError):
        return
    client.close()
    raise AssertionError("it was let in")


def test_without_a_certificate_of_the_authority_there_is_nothing(
    security: Security, fleet: FleetFiles, tmp_path: Path
) -> None:
    """[EDGE-11-4] [EDGE-11-3]"""
    strangers = make_fleet(tmp_path / "strangers")
    with guarded(security, MTLS) as served:
        refuses(served, client_tls(fleet))
        refuses(served, client_tls(fleet, strangers.viewer))
        with served.talker(tls=client_tls(fleet, fleet.viewer)) as client:
            assert client.hello()["role"] == "viewer"


def test_a_certificate_out_of_date_or_revoked_gets_nothing(tmp_path: Path) -> None:
    """[EDGE-11-4]"""
    then = time.time() - 10 * DAY
    files = make_fleet(tmp_path / "fleet", lambda: then, days=2)
    fleet = Fleet(files.fleet.folder)
    fleet.device(DEVICE_ID, Terms(days=30, renew=True))
    for name in ("lost", "good"):
        fleet.backend(name, "control", Terms(days=30))
    fleet.revoke([files.pem("backend-lost")])
    with guarded(files.security("device-edge-01", revocation=True), MTLS) as served:
        refuses(served, client_tls(files, files.viewer))
        refuses(served, client_tls(files, files.security("backend-lost")))
        with served.talker(tls=client_tls(files, files.security("backend-good"))) as client:
            assert client.hello()["role"] == "control"


def test_the_role_is_the_certificates(security: Security, fleet: FleetFiles) -> None:
    """[EDGE-11-5]"""
    roles = {
        "viewer": fleet.viewer,
        "control": fleet.control,
        "ou": fleet.with_unit("ou-control", "control"),
    }
    with guarded(security, MTLS) as served:
        for name, own in roles.items():
            with served.talker(tls=client_tls(fleet, own)) as client:
                assert client.hello()["role"] == name.replace("ou", "control")
        for own in (fleet.with_unit("ou-kitchen", "kitchen"), fleet.device):
            with served.talker(tls=client_tls(fleet, own)) as client:
                client.send(HELLO)
                assert error_of(client) == "auth_failed"


def test_a_board_whose_clock_says_1970_still_serves(security: Security, fleet: FleetFiles) -> None:
    """[EDGE-11-7]"""
    trust = Trust(TlsContexts(security, lambda: 0.0), LoginKeys(security.login_keys))
    tls = client_tls(fleet, fleet.viewer)
    with serving(MTLS, parts={"trust": trust}) as served, served.talker(tls=tls) as client:
        assert client.hello()["role"] == "viewer"


# --- new files


def test_new_keys_hold_without_a_restart_and_who_is_in_logs_in_again(
    security: Security, keys: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """[EDGE-11-8]"""
    monkeypatch.setattr(servers, "RELOAD_S", 0.0)
    open_to_all = Listener(host="127.0.0.1", port=0)
    with guarded(security, HMAC, open_to_all) as served, served.talker(1) as plain:
        with served.talker() as client:
            client.hello(auth=client.log_in(SECRET), subscribe=[])
            keys.write_text("this is no key file")
            wait_until(lambda: "going on with what was there before" in caplog.text)
            assert client.round_trip() == []
            with served.talker() as second:
                second.hello(auth=second.log_in(SECRET))
            keys.write_text(KEYS.replace(SECRET, OTHER))
            assert [(m["type"], m["reason"]) for m in client.end()] == [("goodbye", "login")]
        with served.talker() as client:
            client.hello(auth=client.log_in(OTHER))
        with served.talker() as client:
            client.send(HELLO | {"auth": client.log_in(SECRET)})
            assert error_of(client) == "auth_failed"
        served.hub.publish_result(make_result(8))
        assert plain.read()["frame_id"] == 8, "who needs no login is left alone"


def test_a_revocation_waits_for_no_resolver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[EDGE-11-8] Without a way to the internet a resolver takes half a minute for each name."""
    monkeypatch.setattr(servers, "RELOAD_S", 0.0)
    asked, found = threading.Event(), threading.Event()

    def resolve(_: Dialler, flags: int = 0) -> list[Any]:
        if flags:
            raise StreamError("it is a name")
        asked.set()
        found.wait(60)
        raise StreamError("the name is not known")

    monkeypatch.setattr(Dialler, "resolve", resolve)
    files, backends = make_fleet(tmp_path / "fleet"), [Backend(host="backend.test", port=9)]
    trust = Trust.open(files.security("device-edge-01", revocation=True), (MTLS,), backends)
    try:
        with serving(MTLS, parts={"trust": trust, "backends": backends}) as served:
            with served.talker(tls=client_tls(files, files.viewer)) as viewer:
                viewer.hello(subscribe=[])
                assert asked.wait(10)
                files.fleet.revoke([files.pem("backend-viewer")])
                assert [(m["type"], m["reason"]) for m in viewer.end()] == [("goodbye", "login")]
            found.set()
    finally:
        found.set()


def test_a_certificate_that_is_revoked_is_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[EDGE-11-8] [EDGE-11-4]"""
    monkeypatch.setattr(servers, "RELOAD_S", 0.0)
    files = make_fleet(tmp_path / "fleet")
    with guarded(files.security("device-edge-01", revocation=True), MTLS) as served:
        with served.talker(tls=client_tls(files, files.viewer)) as viewer:
            viewer.hello(subscribe=[])
            files.fleet.revoke([files.pem("backend-viewer")])
            assert [(m["type"], m["reason"]) for m in viewer.end()] == [("goodbye", "login")]
        refuses(served, client_tls(files, files.viewer))
        with served.talker(tls=client_tls(files, files.control)) as control:
            assert control.hello()["role"] == "control"
