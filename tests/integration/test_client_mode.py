"""Devices that connect to their backends. The ids in brackets are statements of docs/protocol.md."""

from __future__ import annotations

import contextlib
import logging
import random
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.config import Backend, Listener, Security, Stream
from edge.errors import ConfigError, SecurityError, StreamError
from edge.stream import dialler as diallers
from edge.stream import server as servers
from edge.stream.dialler import RETRY_MAX_S, RETRY_MIN_S, SETTLED_S, Dialler
from edge.stream.hub import Hub
from edge.stream.reception import Trust
from edge.stream.server import StreamServer
from tests.certificates import FleetFiles, make_fleet
from tests.streaming import IDENTITY, Keeping, Served, keeping, make_result, make_video, own_port, serving
from tests.support import wait_until
from tests.talking import HELLO, Talker

LOCAL = Listener(host="127.0.0.1", port=0)


pytestmark = pytest.mark.usefixtures("leaves_nothing")


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "CHECK_S", 0.02)
    monkeypatch.setattr(diallers, "RETRY_MIN_S", 0.01)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> FleetFiles:
    return make_fleet(tmp_path_factory.mktemp("a fleet"))


class Called(Talker):
    """A device's connection, at the backend."""

    def __init__(self, sock: socket.socket, framing: str) -> None:
        self.framing, self.byteorder = framing, "big"
        self.tls = isinstance(sock, ssl.SSLSocket)
        self.socket = sock
        self.file = sock.makefile("rb")
        self.passed: list[dict[str, Any]] = []
        try:
            self.welcome = self.read()
        except BaseException:
            self.close()
            raise


class Office:
    """A backend that listens; ``own`` is its certificate, without which it speaks no TLS."""

    def __init__(self, fleet: FleetFiles, own: Security | None = None) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(20)
        self.port: int = self.socket.getsockname()[1]
        self.context: ssl.SSLContext | None = None
        if own is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(own.certificate, own.private_key)
            self.context.load_verify_locations(fleet.ca)
            self.context.verify_mode = ssl.CERT_REQUIRED

    def accept(self) -> socket.socket:
        sock, _ = self.socket.accept()
        sock.settimeout(20)
        return sock

    def meet(self, framing: str = "length") -> Called:
        """Take a device's call, up to its welcome."""
        sock = self.accept()
        try:
            return Called(self.context.wrap_socket(sock, server_side=True) if self.context else sock, framing)
        except BaseException:
            sock.close()
            raise

    def __enter__(self) -> Office:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


@contextlib.contextmanager
def calling(fleet: FleetFiles, *backends: Backend, **limits: Any) -> Iterator[Served]:
    trust = Trust.open(fleet.device, (), backends)
    with serving(parts={"backends": backends, "trust": trust}, **limits) as served:
        yield served


def backend(office: Office, **changes: Any) -> Backend:
    values: dict[str, Any] = {"host": "127.0.0.1", "port": office.port, "tls": office.context is not None}
    return Backend(**values | changes)


@pytest.mark.parametrize("role", ["viewer", "control"])
def test_a_backend_that_shows_a_role_gets_the_stream(fleet: FleetFiles, role: str) -> None:
    """[EDGE-1-4] [EDGE-11-9] [EDGE-11-5] [EDGE-4-8] [EDGE-3-7]"""
    with (
        Office(fleet, getattr(fleet, role)) as office,
        calling(fleet, backend(office, video=True)) as served,
        office.meet() as device,
    ):
        assert device.welcome["protocol"]["listener"] == f"backend-127.0.0.1:{office.port}"
        assert device.welcome["protocol"]["auth"] == "mtls"
        assert "camera_id" not in device.welcome
        certificate = device.socket.getpeercert()  # type: ignore[attr-defined]
        assert ("URI", "urn:preact-edge:device:edge-01") in certificate["subjectAltName"]
        served.hub.publish_result(make_result(1))
        hello_ok = device.hello(subscribe=["detections", "frames"])
        assert (device.passed, hello_ok["role"]) == ([], role)
        served.hub.publish_result(make_result(2))
        served.hub.publish_video(make_video(2))
        assert {device.read()["type"] for _ in range(2)} == {"detection_result", "video_frame"}


def test_each_backend_is_dialled_with_its_own_settings(fleet: FleetFiles) -> None:
    """[EDGE-1-4] Without TLS to this machine, no hello is needed."""
    with Office(fleet) as first, Office(fleet, fleet.viewer) as second:
        backends = backend(first, framing="newline"), backend(second)
        with calling(fleet, *backends) as served, served.talker() as listening:
            lines, sized = first.meet("newline"), second.meet()
            with lines, sized:
                sized.hello(subscribe=["detections"])
                served.hub.publish_result(make_result(7))
                assert [client.read()["frame_id"] for client in (lines, sized, listening)] == [7, 7, 7]
                assert served.hub.clients() == 3


@pytest.mark.parametrize("who", ["a device", "a stranger"])
def test_what_is_no_backend_gets_no_byte_of_the_stream(
    fleet: FleetFiles, tmp_path: Path, who: str, caplog: pytest.LogCaptureFixture
) -> None:
    """[EDGE-11-9] [EDGE-11-4] [EDGE-11-3] A stolen device's key; a certificate of another authority."""
    own = fleet.device if who == "a device" else make_fleet(tmp_path / "strangers").control
    with Office(fleet, own) as office, calling(fleet, backend(office)):
        for _ in range(2):
            with pytest.raises((OSError, EOFError)):
                office.meet()
        said = "gives no role: it is no backend's" if who == "a device" else "certificate is refused"
        wait_until(lambda: said in caplog.text)


def test_one_without_tls_where_it_is_wanted_gets_nothing(fleet: FleetFiles) -> None:
    """[EDGE-11-1]"""
    with Office(fleet) as office, calling(fleet, backend(office, tls=True)), office.accept() as sock:
        assert sock.recv(3) == b"\x16\x03\x01", "a handshake, no welcome"
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        while data := sock.recv(4096):
            assert b"welcome" not in data


def test_a_backend_elsewhere_without_tls_is_refused() -> None:
    """[EDGE-1-5]"""
    elsewhere = Backend(host="192.0.2.1", port=9, tls=False)
    server = StreamServer([LOCAL], Stream(), Hub(IDENTITY), backends=[elsewhere])
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1:9: without TLS anybody could answer there; set tls = true"):
        server.start()
    server.close()


def test_a_name_that_turns_out_to_be_elsewhere_is_not_dialled_without_tls(
    fleet: FleetFiles, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """[EDGE-1-5]"""
    lookup = socket.getaddrinfo

    def elsewhere(host: str, port: int, **options: Any) -> list[Any]:
        return lookup("192.0.2.1" if host == "backend.test" and not options["flags"] else host, port, **options)

    monkeypatch.setattr(socket, "getaddrinfo", elsewhere)
    monkeypatch.setattr(Dialler, "connect", lambda *_: pytest.fail("it was dialled"))
    with calling(fleet, Backend(host="backend.test", port=9, tls=False)):
        wait_until(lambda: "without TLS anybody could answer there" in caplog.text)


def test_where_it_is_allowed_the_device_warns(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """[EDGE-1-5]"""

    def refuse(*_: object) -> None:
        raise StreamError("not in this test")

    monkeypatch.setattr(Dialler, "connect", refuse)
    for _ in range(2):
        caplog.clear()
        with serving(parts={"backends": [Backend(host="192.0.2.1", port=9, tls=False, allow_insecure=True)]}):
            wait_until(lambda: "not in this test" in caplog.text)
        assert caplog.text.count("192.0.2.1:9 is dialled without TLS") == 1, "at every start, once"


def test_a_backend_with_tls_needs_certificates() -> None:
    server = StreamServer([LOCAL], Stream(), Hub(IDENTITY), backends=[Backend(host="127.0.0.1", port=9)])
    with pytest.raises(SecurityError, match=r"security\.certificate: must be set"):
        server.start()
    server.close()


# --- again and again


def test_the_waits_grow_and_begin_anew_after_a_hello(monkeypatch: pytest.MonkeyPatch) -> None:
    """[EDGE-1-6]"""
    monkeypatch.setattr(diallers, "RETRY_MIN_S", RETRY_MIN_S)
    drawn: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        drawn.append((low, high))
        return high

    monkeypatch.setattr(random, "uniform", draw)
    dialler = Dialler(Backend(host="127.0.0.1", port=9), 4.0, 100.0)
    assert dialler.due == 100.0
    for _ in range(10):
        dialler.failed("no answer", 100.0)
    assert drawn == [(0.25, bound) for bound in (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0)]
    assert dialler.due == 130.0 == 100.0 + RETRY_MAX_S


@pytest.mark.parametrize(("greeted", "tls", "lasted", "bound"), [
    (True, True, 0.0, 0.5), (False, True, 99.0, 16.0), (False, False, SETTLED_S + 1, 0.5), (False, False, 1.0, 16.0),
])  # fmt: skip
def test_a_good_connection_brings_the_first_wait_back(
    monkeypatch: pytest.MonkeyPatch, greeted: bool, tls: bool, lasted: float, bound: float
) -> None:
    """[EDGE-1-6]"""
    over = SimpleNamespace(began_at=100.0, ended="closed", losses="", dialogue=SimpleNamespace(greeted=greeted))
    monkeypatch.setattr(diallers, "RETRY_MIN_S", RETRY_MIN_S)
    bounds: list[float] = []

    def draw(_: float, high: float) -> float:
        bounds.append(high)
        return high

    monkeypatch.setattr(random, "uniform", draw)
    dialler = Dialler(Backend(host="127.0.0.1", port=9, tls=tls), 4.0, 100.0)
    for _ in range(5):
        dialler.failed("no answer", 100.0)
    dialler.leave(over, 100.0 + lasted)  # type: ignore[arg-type]
    assert bounds[5] == bound


def test_a_connection_that_ends_is_made_again(fleet: FleetFiles) -> None:
    """[EDGE-1-6]"""
    with Office(fleet, fleet.viewer) as office, calling(fleet, backend(office)) as served:
        for number in range(4):
            with office.meet() as device:
                device.hello(subscribe=["detections"])
                served.hub.publish_result(make_result(number))
                assert device.read()["frame_id"] == number
                if number % 2:
                    device.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def test_a_backend_that_comes_later_is_found(fleet: FleetFiles, caplog: pytest.LogCaptureFixture) -> None:
    """[EDGE-1-6]"""
    with own_port() as port, calling(fleet, Backend(host="127.0.0.1", port=port, tls=False)):
        wait_until(lambda: "Connection refused; trying again, next in 0." in caplog.text)
        with socket.create_server(("127.0.0.1", port)) as late:
            late.settimeout(20)
            sock, _ = late.accept()
            with Called(sock, "length") as device:
                assert device.welcome["type"] == "welcome"


@pytest.mark.parametrize("handshake", [True, False])
def test_a_backend_that_says_nothing_is_left_and_tried_again(fleet: FleetFiles, handshake: bool) -> None:
    """[EDGE-3-7] [EDGE-1-6]"""
    with Office(fleet, fleet.viewer) as office, calling(fleet, backend(office), login_s=0.5):
        for _ in range(2):
            if handshake:
                with office.meet() as device:
                    assert [message["code"] for message in device.end()] == ["auth_timeout"]
            else:
                with office.accept() as sock, contextlib.suppress(ConnectionError):
                    while sock.recv(4096):
                        pass


def test_a_name_that_nobody_knows_is_asked_for_again(
    fleet: FleetFiles, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """[EDGE-1-6]"""
    resolve, asked = Dialler.resolve, list[int]()

    def counted(dialler: Dialler, flags: int = 0) -> Any:
        asked.append(flags)
        return resolve(dialler, flags)

    monkeypatch.setattr(Dialler, "resolve", counted)
    with calling(fleet, Backend(host="no-such-host.invalid", port=9)):
        wait_until(lambda: asked.count(0) >= 3)
    assert caplog.text.count("the name is not known") == 1


def test_what_a_backend_missed_is_sent_when_it_is_there_again(fleet: FleetFiles, tmp_path: Path) -> None:
    """[EDGE-1-4] [EDGE-9-6] [EDGE-8-12] The cursor of client mode is that of every session."""
    hello: dict[str, Any] = {"consumer": "office", "resume": "last_ack", "subscribe": ["alerts"]}
    with Office(fleet, fleet.viewer) as office:
        there = (backend(office),)
        parts = {"backends": there, "trust": Trust.open(fleet.device, (), there)}
        with keeping(tmp_path, parts=parts) as served:
            seen: list[int] = []
            for start in (1, 11, 21):
                with office.meet() as device:
                    device.hello(**hello)
                    served.stored(*range(start, start + 5))
                    seen += device.seqs(start + 4 - len(seen))
                    device.send({"type": "ack", "stream": stream_of(served), "seq": seen[-1]})
                    device.round_trip()
                served.stored(*range(start + 5, start + 10))
            assert seen == list(range(1, 26))


def stream_of(served: Keeping) -> str:
    assert served.outbox.bounds is not None
    return served.outbox.bounds.stream


def test_a_device_that_stops_says_goodbye_to_its_backends(fleet: FleetFiles) -> None:
    """[EDGE-3-13]"""
    with Office(fleet, fleet.viewer) as office, calling(fleet, backend(office)) as served, office.meet() as device:
        device.hello(subscribe=[])
        served.server.stop()
        assert [message["type"] for message in device.end()] == ["goodbye"]


def test_stopping_while_calls_are_being_made_leaves_nothing(
    fleet: FleetFiles, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with Office(fleet, fleet.viewer) as office:
        for _ in range(5):
            with calling(fleet, backend(office), backend(office, tls=False)):
                sock = office.accept()
            sock.close()
    assert "Traceback" not in caplog.text


def test_a_backend_may_not_log_in_twice(fleet: FleetFiles) -> None:
    """[EDGE-3-14]"""
    with Office(fleet, fleet.viewer) as office, calling(fleet, backend(office)), office.meet() as device:
        device.hello(subscribe=[])
        device.send(HELLO)
        assert device.read()["code"] == "bad_message"
