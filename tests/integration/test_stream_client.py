"""The reference client against the real server, and against servers that misbehave."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest

from edge.config import Listener
from edge.errors import ProtocolError, StreamError
from edge.stream.address import split_address
from edge.stream.client import Client, Connected, Event, Lost, NoWelcome, Subscriber, Welcome, connect, engine, link
from edge.stream.client.link import RETRY_MAX_S, RETRY_MIN_S, Backoff
from edge.wire.framing import Message, encode
from tests.streaming import make_alert, make_result, make_video, own_port, serving
from tests.support import wait_until

WELCOME = encode(b'{"type":"welcome"}', "length", "big")


pytestmark = pytest.mark.usefixtures("leaves_nothing")


@contextlib.contextmanager
def scripted(*scripts: bytes | None) -> Iterator[tuple[str, int]]:
    """A server that gives its n-th connection the n-th bytes and closes it; None keeps it open and silent."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as kept:

        def serve() -> None:
            for script in scripts:
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    kept.enter_context(connection)
                    if script is not None:
                        connection.sendall(script)
                        connection.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


@pytest.mark.parametrize("byteorder", ["big", "little"])
@pytest.mark.parametrize("framing", ["length", "newline"])
def test_it_finds_the_framing_and_gives_every_message(framing: str, byteorder: str) -> None:
    """[EDGE-2-7]"""
    listener = Listener(host="127.0.0.1", port=0, framing=framing, byteorder=byteorder, video=True)  # type: ignore[arg-type]
    with serving(listener) as served, connect("127.0.0.1", served.port) as client:
        assert next(client).type == "welcome"
        assert client.framing == framing
        video = make_video(3, 300_000)
        served.hub.publish_result(make_result(3, make_alert(3)))
        served.hub.publish_video(video)
        alert, result, picture = itertools.islice(client, 3)
        assert (alert.type, result.type, picture.type) == ("alert", "detection_result", "video_frame")
        assert picture.jpeg == video.jpeg
        assert "jpeg" not in picture
        assert result.jpeg is None


def test_it_ends_when_the_device_closes() -> None:
    with serving() as served, connect("127.0.0.1", served.port) as client:
        next(client)
        served.server.stop()
        assert list(client) == []


def test_an_end_in_the_middle_of_a_message_is_an_error() -> None:
    with scripted(WELCOME + WELCOME[:-1]) as address, connect(*address) as client:
        assert next(client).type == "welcome"
        with pytest.raises(StreamError, match="in the middle of a message"):
            next(client)


def test_what_is_no_message_is_an_error_after_what_was() -> None:
    with scripted(WELCOME + b"\x00\x00\x00\x02no") as address, connect(*address) as client:
        assert next(client).type == "welcome"
        with pytest.raises(ProtocolError, match="not JSON"):
            next(client)


def test_another_kind_of_server_is_told_apart() -> None:
    banner = b"SSH-2.0-OpenSSH_9.2\r\n"
    with scripted(banner) as address, connect(*address) as client, pytest.raises(ProtocolError, match="not JSON"):
        next(client)


def test_silence_is_an_error() -> None:
    silence = r"nothing came for 0\.05 s"
    with scripted(None) as address, connect(*address, idle=0.05) as client, pytest.raises(StreamError, match=silence):
        next(client)


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_one_that_cannot_be_reached_is_named(host: str) -> None:
    with own_port() as port:
        with pytest.raises(StreamError, match=f"cannot connect to {host}:{port}: ") as caught:
            connect(host, port, timeout=5)
        assert "\n" not in str(caught.value)


def test_closing_from_another_thread_ends_a_client_that_waits() -> None:
    with serving() as served:
        client = connect("127.0.0.1", served.port)
        next(client)
        rest: list[list[Message]] = []
        thread = threading.Thread(target=lambda: rest.append(list(client)))
        thread.start()
        client.close()
        client.close()
        thread.join(5)
        assert rest == [[]]


def test_a_listener_connects_again_and_says_what_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "RETRY_MIN_S", 0.001)
    with scripted(WELCOME, b"junk!\n", WELCOME) as address, Subscriber(*address, hello="never") as client:
        events = list(itertools.islice(client, 8))
    assert [type(event) for event in events] == [Connected, Welcome, Lost, Connected, Lost, Connected, Welcome, Lost]
    reasons = [event.reason for event in events if isinstance(event, Lost)]
    assert reasons[0] == reasons[2] == "closed by the device"
    assert "not JSON" in reasons[1]


def test_the_waits_are_random_and_grow_to_the_longest() -> None:
    backoff = Backoff()
    waits = [backoff.next_wait() for _ in range(200)]
    assert all(RETRY_MIN_S <= wait <= RETRY_MAX_S for wait in waits)
    assert waits[0] <= 2 * RETRY_MIN_S
    assert max(waits[10:]) > RETRY_MAX_S / 2
    assert any(first > second for first, second in pairwise(waits[10:]))
    backoff.reset()
    assert backoff.next_wait() <= 2 * RETRY_MIN_S


def test_a_device_that_never_speaks_is_given_up() -> None:
    with scripted(None) as address, Subscriber(*address, hello="never", idle_s=0.1) as client:
        lost = next(event for event in client if isinstance(event, Lost))
    assert lost.reason == "connected, and no welcome came within 0.1 s"
    assert isinstance(lost.error, NoWelcome)


def test_closing_ends_an_iteration_that_waits_for_the_next_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "RETRY_MIN_S", 20.0)
    with own_port() as port:
        client = Subscriber("127.0.0.1", port)
        events: list[Event] = []

        def follow() -> None:
            for event in client:
                events.append(event)

        thread = threading.Thread(target=follow)
        thread.start()
        wait_until(lambda: events)
        client.close()
        client.close()
        thread.join(5)
        assert not thread.is_alive()
        assert [type(event) for event in events] == [Lost]


def test_one_that_was_never_started_can_be_closed() -> None:
    Subscriber("127.0.0.1", 1).close()


def test_the_next_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(WELCOME) as (host, port):
        nobody = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1))
        device = (socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port))
        monkeypatch.setattr(engine, "resolve", lambda *_: [nobody, device])
        with Subscriber("edge.example", port, hello="never") as client:
            assert next(client) == Connected(host, port)


def test_a_name_without_an_address_is_lost_and_tried_again() -> None:
    with Subscriber("no-such-host.invalid", 1) as client:
        lost = next(client)
    assert isinstance(lost, Lost)
    assert lost.reason.startswith("cannot connect to no-such-host.invalid:1: ")


def test_a_listener_outlives_a_restart_of_the_device() -> None:
    with own_port() as port:
        listener = Listener(host="127.0.0.1", port=port)
        with Subscriber("127.0.0.1", port, hello="never") as client:
            with serving(listener):
                assert any(isinstance(event, Welcome) for event in client)
            with serving(listener):
                assert any(isinstance(event, Welcome) for event in client)


def test_a_client_can_be_made_from_any_connected_socket() -> None:
    ours, theirs = socket.socketpair()
    with theirs, Client(ours) as client:
        theirs.sendall(WELCOME)
        assert next(client) == {"type": "welcome"}


@pytest.mark.parametrize(
    ("text", "address"),
    [("edge.local", ("edge.local", 8080)), ("10.0.0.5:90", ("10.0.0.5", 90)), ("::1", ("::1", 8080)),
     ("[::1]", ("::1", 8080)), ("[fe80::1%eth0]:1234", ("fe80::1%eth0", 1234))],
)  # fmt: skip
def test_addresses_are_read_as_people_write_them(text: str, address: tuple[str, int]) -> None:
    assert split_address(text, 8080) == address


@pytest.mark.parametrize("text", ["", ":80", "host:", "host:x", "host:65536", "[::1", "[::1]x", "[::1]:", "host:-1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        split_address(text, 8080)


@pytest.mark.parametrize("text", ["host", "::1", "[::1]"])
def test_without_a_default_the_port_is_needed(text: str) -> None:
    with pytest.raises(ValueError, match="write HOST:PORT"):
        split_address(text)
