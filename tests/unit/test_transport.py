"""The bytes of one connection, plain and encrypted, over real sockets. The ids are statements of docs/protocol.md."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest

from edge.errors import StreamError
from edge.security.tls import TlsContexts
from edge.stream.transport import RECORD, Encrypted, Plain, Transport, prepare
from tests.certificates import FleetFiles, make_fleet
from tests.streaming import in_thread


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> FleetFiles:
    return make_fleet(tmp_path_factory.mktemp("a fleet"))


@contextlib.contextmanager
def tcp() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection; the first never waits."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
        prepare(ours)
        theirs.settimeout(20)
        with ours, theirs:
            yield ours, theirs


def encrypted(fleet: FleetFiles, ours: socket.socket, theirs: socket.socket) -> tuple[Encrypted, ssl.SSLSocket]:
    """Both ends after the handshake."""
    transport = Encrypted(ours, TlsContexts(fleet.device).server("mtls"), server_side=True)
    context = TlsContexts(fleet.viewer).client()
    shaken = in_thread(lambda: context.wrap_socket(theirs))
    while not transport.handshake():
        wait_readable(ours)
    return transport, shaken()


def wait_readable(sock: socket.socket) -> None:
    sock.settimeout(20)
    sock.recv(1, socket.MSG_PEEK)
    sock.settimeout(0)


def shake(transport: Transport) -> None:
    while not transport.handshake():
        pass


def send_all(transport: Transport, data: bytes) -> None:
    view = memoryview(data)
    while view or transport.blocked:
        sent = transport.send([view] if view else [])
        view = view[sent:]


def test_what_does_not_fit_into_the_kernel_is_said_to_be_blocked() -> None:
    with tcp() as (ours, theirs):
        transport = Plain(ours)
        data = bytes(range(256)) * 80_000
        sent = transport.send([memoryview(data[:100]), memoryview(data[100:])])
        assert 0 < sent == transport.passed < len(data)
        assert transport.blocked
        receive = in_thread(lambda: theirs.makefile("rb").read(len(data)))
        send_all(transport, data[sent:])
        assert receive() == data
        assert transport.passed == len(data)
        assert not transport.blocked


def test_an_end_is_seen_and_a_loss_is_an_error() -> None:
    """[EDGE-3-4]"""
    with tcp() as (ours, theirs):
        transport = Plain(ours)
        assert transport.receive() is None
        theirs.sendall(b"last")
        theirs.shutdown(socket.SHUT_WR)
        wait_readable(ours)
        assert (transport.receive(), transport.ended) == (b"last", False)
        assert (transport.receive(), transport.ended) == (b"", True)
        assert transport.shut()
        assert theirs.recv(1) == b""
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        theirs.close()
        with pytest.raises(StreamError, match="connection lost"):
            send_all(transport, bytes(1 << 20))


def test_tls_both_ways_at_once_keeps_every_byte(fleet: FleetFiles) -> None:
    """8 MB each way, in pieces of every size."""
    data = random.Random(1).randbytes(8 << 20)
    with tcp() as (ours, theirs):
        transport, peer = encrypted(fleet, ours, theirs)
        with peer:
            incoming, outgoing = bytearray(), bytearray()
            # One thread alone owns a TLS socket of Python's: the peer takes turns between reading and writing.
            exchange = in_thread(lambda: _exchange(peer, data, outgoing))
            chance, view = random.Random(2), memoryview(data)
            while len(incoming) < len(data) or view or transport.blocked:
                if view or transport.blocked:
                    size = chance.choice((1, 100, RECORD - 1, RECORD, RECORD + 1, 300_000))
                    view = view[transport.send([view[: size // 2], view[size // 2 : size]] if view else []) :]
                incoming += transport.receive() or b""
            exchange()
            assert bytes(incoming) == bytes(outgoing) == data


def _exchange(peer: ssl.SSLSocket, data: bytes, received: bytearray) -> None:
    peer.setblocking(False)
    view = memoryview(data)
    pause = threading.Event()
    while view or len(received) < len(data):
        busy = False
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if view:
                view = view[peer.send(view[:50_000]) :]
                busy = True
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            received += peer.recv(70_000)
            busy = True
        if not busy:
            pause.wait(0.001)
    peer.setblocking(True)


def test_at_most_a_record_waits_so_that_more_can_be_overtaken(fleet: FleetFiles) -> None:
    """[EDGE-5-2]"""
    with tcp() as (ours, theirs):
        transport, peer = encrypted(fleet, ours, theirs)
        with peer:
            taken = transport.send([memoryview(bytes(20 << 20))])
            assert transport.blocked
            assert taken < 20 << 20
            assert len(transport._unsent) + transport._outgoing.pending <= RECORD + 512
            assert transport.send([memoryview(b"more")]) == 0
            assert not transport.shut(), "what was taken goes first"


def test_the_peers_certificate_is_there_after_the_handshake(fleet: FleetFiles) -> None:
    """[EDGE-11-5]"""
    with tcp() as (ours, theirs):
        transport, peer = encrypted(fleet, ours, theirs)
        with peer:
            assert ("URI", "urn:preact-edge:role:viewer") in transport.certificate()["subjectAltName"]
            assert peer.version() == "TLSv1.3"


def test_tls_s_own_goodbye_is_an_end_without_that_of_tcp(fleet: FleetFiles) -> None:
    """[EDGE-3-4]"""
    with tcp() as (ours, theirs):
        transport, peer = encrypted(fleet, ours, theirs)
        with peer:
            peer.sendall(b"bye")
            unwrapped = in_thread(peer.unwrap)
            received = b""
            while not transport.ended:
                received += transport.receive() or b""
            assert received == b"bye"
            assert transport.shut()
            unwrapped().close()


def test_damaged_records_are_an_error(fleet: FleetFiles) -> None:
    with tcp() as (ours, theirs):
        transport, peer = encrypted(fleet, ours, theirs)
        with peer:
            socket.socket.send(peer, b"\x17\x03\x03\x00\x20" + bytes(32))
            wait_readable(ours)
            with pytest.raises(StreamError, match="TLS"):
                transport.receive()


def test_one_that_leaves_during_the_handshake_is_an_error(fleet: FleetFiles) -> None:
    with tcp() as (ours, theirs):
        transport = Encrypted(ours, TlsContexts(fleet.device).server("none"), server_side=True)
        theirs.sendall(b"\x16\x03\x01\x02\x00")
        wait_readable(ours)
        assert not transport.handshake()
        theirs.close()
        with pytest.raises(StreamError, match="left during the TLS handshake"):
            shake(transport)
