"""The server over real sockets. The ids in brackets are statements of docs/protocol.md."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from edge.config import Listener, Stream
from edge.errors import ConfigError, StreamError
from edge.stream.hub import Hub
from edge.stream.mailbox import MAX_ALERTS
from edge.stream.server import StreamServer
from edge.stream.session import STALL_S
from edge.stream.transport import prepare
from edge.workers import Worker
from tests.streaming import IDENTITY, make_alert, make_result, make_session, make_video, own_port, serving
from tests.support import wait_until
from tests.talking import PlainClient

LOCAL = Listener(host="127.0.0.1", port=0)
WITH_VIDEO = Listener(host="127.0.0.1", port=0, video=True)


pytestmark = pytest.mark.usefixtures("leaves_nothing")


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback address")


def start_and_close(*listeners: Listener) -> None:
    """For servers that must not start; one that does is closed."""
    server = StreamServer(listeners, Stream(), Hub(IDENTITY))
    try:
        server.start()
    finally:
        server.close()


# --- what a client gets


@pytest.mark.parametrize("byteorder", ["big", "little"])
@pytest.mark.parametrize("framing", ["length", "newline"])
def test_a_silent_client_gets_welcome_alert_result_and_picture(framing: str, byteorder: str) -> None:
    """[EDGE-2-1] [EDGE-2-2] [EDGE-2-3] [EDGE-2-4] [EDGE-3-1] [EDGE-3-2] [EDGE-5-1]"""
    listener = Listener(host="127.0.0.1", port=0, framing=framing, byteorder=byteorder, video=True)  # type: ignore[arg-type]
    with serving(listener) as served, served.client(framing=framing, byteorder=byteorder) as client:
        assert client.read()["type"] == "welcome"
        video = make_video(7, 3000)
        served.hub.publish_result(make_result(7, make_alert(7)))
        served.hub.publish_video(video)
        messages = [client.read() for _ in range(3)]
        assert [message["type"] for message in messages] == ["alert", "detection_result", "video_frame"]
        assert {message["frame_id"] for message in messages} == {7}
        assert messages[2]["jpeg"] == video.jpeg
        assert messages[2]["size"] == len(video.jpeg)


def test_the_welcome_comes_at_once_and_what_was_before_does_not() -> None:
    """[EDGE-3-1] [EDGE-3-3]"""
    with serving() as served:
        served.hub.publish_result(make_result(1, make_alert(1)))
        with served.client() as client:
            assert client.read()["type"] == "welcome"
            served.hub.publish_result(make_result(2))
            assert client.read()["frame_id"] == 2


@pytest.mark.parametrize(
    ("mode", "types", "inside"),
    [("separate", ["alert", "detection_result"], None), ("batch", ["detection_result"], 1),
     ("both", ["alert", "detection_result"], 1)],
)  # fmt: skip
def test_alerts_come_in_the_way_that_was_chosen(mode: str, types: list[str], inside: int | None) -> None:
    """[EDGE-4-4]"""
    with serving(alerts=mode) as served, served.client() as client:  # type: ignore[arg-type]
        client.read()
        served.hub.publish_result(make_result(1, make_alert(1)))
        messages = [client.read() for _ in types]
        assert [message["type"] for message in messages] == types
        assert len(messages[-1].get("alerts", [])) == (inside or 0)
        assert ("alerts" in messages[-1]) == (inside is not None)


def test_pictures_go_only_where_the_listener_has_them() -> None:
    """[EDGE-4-7]"""
    with serving(LOCAL, WITH_VIDEO) as served, served.client(0) as without:
        assert not served.hub.looks()
        with served.client(1) as with_video:
            assert served.hub.looks()
            served.hub.publish_video(make_video())
            served.hub.publish_result(make_result(2))
            assert [without.read()["type"] for _ in range(2)] == ["welcome", "detection_result"]
            assert with_video.read()["type"] == "welcome"
            assert {with_video.read()["type"] for _ in range(2)} == {"video_frame", "detection_result"}
        wait_until(lambda: not served.hub.looks())


def test_clients_of_different_framings_share_one_hub() -> None:
    listeners = [LOCAL, Listener(host="127.0.0.1", port=0, framing="newline")]
    with serving(*listeners) as served, served.client(0) as sized, served.client(1, framing="newline") as lines:
        served.hub.publish_result(make_result(5))
        assert [sized.read()["type"], lines.read()["type"]] == ["welcome", "welcome"]
        assert sized.read() == lines.read()


def test_the_counters_count() -> None:
    with serving(WITH_VIDEO) as served:
        served.hub.publish_result(make_result(1, make_alert(1), make_alert(2)))
        with served.client():
            served.hub.publish_video(make_video())
            counters = served.hub.counters()
            assert (counters.clients, counters.results, counters.alerts, counters.videos) == (1, 1, 2, 1)


def test_a_picture_beyond_the_protocol_is_not_sent_and_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """[EDGE-2-5]"""
    with serving(WITH_VIDEO) as served, served.client() as client:
        served.hub.publish_video(make_video(1, (8 << 20) + 1))
        served.hub.publish_result(make_result(2))
        assert [client.read()["type"] for _ in range(2)] == ["welcome", "detection_result"]
    assert "was not sent" in caplog.text


def test_a_result_beyond_the_protocol_is_not_sent_and_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """[EDGE-2-5]"""
    with serving() as served, served.client() as client:
        served.hub.publish_result(make_result(1, padding=1 << 20))
        served.hub.publish_result(make_result(2))
        assert [client.read().get("frame_id") for _ in range(2)] == [None, 2]
    assert "was not sent" in caplog.text


# --- clients that behave badly


def test_one_that_never_reads_is_closed_and_the_others_get_every_alert(caplog: pytest.LogCaptureFixture) -> None:
    """[EDGE-5-5] [EDGE-5-8]"""
    with serving() as served, served.client() as reader, served.client(receive_buffer=4096) as stalled:
        received: list[str] = []
        thread = threading.Thread(target=lambda: received.extend(str(m["alert_id"]) for m in alerts_of(reader)))
        thread.start()
        for sent in range(1, 20_000):
            served.hub.publish_result(make_result(sent, make_alert(sent)))
            wait_until(lambda least=sent - MAX_ALERTS // 2: len(received) > least)  # type: ignore[misc]
            if served.hub.clients() == 1:
                break
        assert served.hub.clients() == 1
        wait_until(lambda: len(received) == sent)
        assert received == [make_alert(number).alert_id for number in range(1, sent + 1)]
        assert "left: slow_consumer: 256 alerts" in caplog.text
        assert served.hub.counters().slow_consumers == 1
        assert stalled.read()["type"] == "welcome"
        served.server.stop()
        thread.join(5)
        assert not thread.is_alive()


def alerts_of(client: PlainClient) -> Iterator[dict[str, object]]:
    with contextlib.suppress(EOFError):
        while True:
            message = client.read()
            if message["type"] == "alert":
                yield message


def test_a_slow_client_misses_old_results_and_pictures_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """[EDGE-5-2] [EDGE-5-3] [EDGE-5-4] It then reads on: every message is whole, and the newest are there."""
    caplog.set_level(logging.INFO)
    with serving(WITH_VIDEO) as served, served.client(receive_buffer=4096) as slow:
        number = 0
        while served.hub.counters().results_dropped < 10 or served.hub.counters().videos_dropped < 10:
            number += 1
            served.hub.publish_result(make_result(number))
            served.hub.publish_video(make_video(number, 100_000))
        last = number
        messages = [slow.read()]
        while {m["type"] for m in messages if m.get("frame_id") == last} != {"detection_result", "video_frame"}:
            messages.append(slow.read())
        results = [m["frame_id"] for m in messages if m["type"] == "detection_result"]
        pictures = [m for m in messages if m["type"] == "video_frame"]
        counters = served.hub.counters()
        assert results == sorted(results)
        assert len(results) == last - counters.results_dropped
        assert results[-64:] == list(range(last - 63, last + 1))
        assert pictures[-1]["dropped"] == counters.videos_dropped == last - len(pictures)
        assert all(m["jpeg"] == make_video(m["frame_id"], 100_000).jpeg for m in pictures)


def test_one_that_vanishes_in_the_middle_of_a_picture_leaves_the_others_alone() -> None:
    """[EDGE-5-8]"""
    with serving(WITH_VIDEO) as served, served.client() as other, served.client(receive_buffer=4096) as gone:
        served.hub.publish_video(make_video(1, 2_000_000))
        gone.socket.recv(1000)
        gone.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.close()  # with a reset
        wait_until(lambda: served.hub.clients() == 1)
        served.hub.publish_result(make_result(2))
        assert {other.read()["type"] for _ in range(3)} == {"welcome", "video_frame", "detection_result"}


def test_one_that_takes_nothing_for_too_long_is_closed() -> None:
    """[EDGE-5-7] The session itself over a real pair of sockets, with the time as an argument."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        hub = Hub(IDENTITY)
        session = make_session(ours, hub, video=True, now=100.0)
        session.pump(100.0)
        hub.publish_video(make_video(1, 3_000_000))
        session.pump(100.0)
        assert session.transport.blocked
        session.check(100.0 + STALL_S)
        assert not session.ended
        theirs.recv(1 << 20)
        session.pump(100.0 + STALL_S)  # progress
        session.check(101.0 + STALL_S)
        assert not session.ended
        session.check(101.0 + 2 * STALL_S)
        assert "slow_consumer" in session.ended
        assert session.at_fault


def test_one_with_nothing_to_take_is_not_slow() -> None:
    """[EDGE-5-7]"""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        session = make_session(ours, Hub(IDENTITY))
        session.pump(0.0)
        session.check(1000.0)
        assert not session.ended
        assert b"welcome" in theirs.recv(100)


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 16, b'{"type":"hello"}\n'])
def test_what_a_client_sends_is_thrown_away(garbage: bytes) -> None:
    """[EDGE-3-6]"""
    with serving() as served, served.client() as client:
        client.socket.sendall(garbage)
        served.hub.publish_result(make_result(2))
        assert [client.read()["type"] for _ in range(2)] == ["welcome", "detection_result"]
        assert served.hub.clients() == 1


def test_a_flood_is_cut_off_and_the_others_do_not_notice(caplog: pytest.LogCaptureFixture) -> None:
    """[EDGE-3-6]"""
    with serving() as served, served.client() as other, served.client() as flooder:
        with contextlib.suppress(ConnectionError):  # the rest of the 10 MB has nobody to read it
            flooder.socket.sendall(bytes(10_000_000))
        wait_until(lambda: served.hub.clients() == 1)
        served.hub.publish_result(make_result(2))
        assert [other.read()["type"] for _ in range(2)] == ["welcome", "detection_result"]
    assert "flood" in caplog.text


def test_fifty_join_and_leave_while_results_flow() -> None:
    with serving(WITH_VIDEO, max_clients=64, max_clients_per_address=64) as served, served.client() as witness:
        for number in range(50):
            with PlainClient(served.server.addresses[0]) as client:
                assert client.read()["type"] == "welcome"
                served.hub.publish_result(make_result(number, make_alert(number)))
                served.hub.publish_video(make_video(number, 50_000))
                if number % 2:
                    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_until(lambda: served.hub.clients() == 1)
        assert [m["frame_id"] for _, m in zip(range(50), alerts_of(witness), strict=False)] == list(range(50))


def test_a_client_that_closes_its_sending_side_is_closed_in_answer() -> None:
    """[EDGE-3-4]"""
    with serving() as served, served.client() as client:
        client.socket.shutdown(socket.SHUT_WR)
        assert [message["type"] for message in client.read_all()] == ["welcome"]
        wait_until(lambda: served.hub.clients() == 0)


def test_a_connection_is_set_up_to_be_prompt_and_to_notice_a_peer_that_is_gone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            prepare(connection)
            assert connection.getblocking() is False
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000


# --- limits


@pytest.mark.parametrize("limit", ["max_clients", "max_clients_per_address"])
def test_beyond_a_limit_a_client_is_closed_at_once(limit: str, caplog: pytest.LogCaptureFixture) -> None:
    """[EDGE-6-1]"""
    limits: dict[str, Any] = {limit: 2}
    with serving(**limits) as served, served.client() as first:
        with served.client(), PlainClient(served.server.addresses[0]) as refused:
            with contextlib.suppress(ConnectionError):
                assert refused.read_all() == []
            wait_until(lambda: f"refused: stream.{limit} is reached" in caplog.text)
        wait_until(lambda: served.hub.clients() == 1)
        with served.client() as next_one:
            assert next_one.read()["type"] == "welcome"
        assert first.read()["type"] == "welcome"


def fill_up(files: list[int]) -> None:
    """Open files until the process may have no more."""
    with contextlib.suppress(OSError):
        while True:
            files.append(os.open(os.devnull, os.O_RDONLY))


def test_without_descriptors_the_server_waits_and_then_takes_clients_again(caplog: pytest.LogCaptureFixture) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving() as served, served.client() as inside:
        address = served.server.addresses[0]
        waiting = socket.socket()
        waiting.settimeout(10)
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        fillers: list[int] = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 20, hard))
            fill_up(fillers)
            waiting.connect(address)
            wait_until(lambda: "cannot take new clients" in caplog.text)
            served.hub.publish_result(make_result(2))
            assert [inside.read()["type"] for _ in range(2)] == ["welcome", "detection_result"]
        finally:
            for filler in fillers:
                os.close(filler)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        wait_until(lambda: served.hub.clients() == 2)
        assert waiting.recv(4)
        waiting.close()


# --- addresses


@needs_ipv6
def test_a_name_binds_all_its_addresses_with_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """[EDGE-1-1]"""

    def both(_host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        kind = socket.SOCK_STREAM
        return [(socket.AF_INET6, kind, 6, "", ("::1", port, 0, 0)), (socket.AF_INET, kind, 6, "", ("127.0.0.1", port))]

    # Not every machine's localhost has both addresses.
    monkeypatch.setattr(socket, "getaddrinfo", both)
    with serving(Listener(host="localhost", port=0)) as served:
        assert [host for host, _ in served.server.addresses] == ["::1", "127.0.0.1"]
        assert len({port for _, port in served.server.addresses}) == 1
        for number in (0, 1):
            with served.client(number) as client:
                assert client.read()["type"] == "welcome"


def test_localhost_binds_at_least_one_address_and_logs_it(caplog: pytest.LogCaptureFixture) -> None:
    """[EDGE-1-1]"""
    caplog.set_level(logging.INFO)
    with serving(Listener(port=0)) as served, served.client() as client:
        assert client.read()["type"] == "welcome"
        assert f":{served.port}, length framing" in caplog.text


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_an_open_listener_must_be_allowed(host: str, caplog: pytest.LogCaptureFixture) -> None:
    """[EDGE-1-2]"""
    if ":" in host and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    with pytest.raises(ConfigError, match="allow_insecure = true") as caught:
        start_and_close(Listener(host=host, port=0))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    with serving(Listener(host=host, port=0, allow_insecure=True)):
        assert "open to everybody who can reach it" in caplog.text


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StreamError, match=f"port {port} on 127.0.0.1 is in use.*ss -ltnp.*choose another"):
            start_and_close(LOCAL, Listener(host="127.0.0.1", port=port))


@pytest.mark.parametrize(
    ("one", "other"), [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("0.0.0.0", "localhost")]
)
def test_two_listeners_of_ours_on_one_port_are_named(one: str, other: str) -> None:
    with own_port() as port:
        listeners = [Listener(name="door", host=one, port=port, allow_insecure=True), Listener(host=other, port=port)]
        with pytest.raises(
            ConfigError, match=f"door and listener-2 both want 127.0.0.1:{port}; give each a port of its own"
        ):
            start_and_close(*listeners)


def test_one_port_on_two_addresses_is_no_conflict() -> None:
    with serving(Listener(host="127.0.0.2", port=0)) as served:
        listeners = [Listener(host=host, port=served.port) for host in ("127.0.0.3", "127.0.0.4")]
        with serving(*listeners) as more:
            assert len(more.server.addresses) == 2


@pytest.mark.parametrize(
    ("host", "match"),
    [("no-such-host.invalid", "'no-such-host.invalid' is not known"), ("192.0.2.1", "no such address on this machine")],
)
def test_a_host_that_is_not_ours_is_named(host: str, match: str) -> None:
    with pytest.raises(StreamError, match=match):
        start_and_close(Listener(host=host, port=0, allow_insecure=True))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may bind any port")
def test_a_privileged_port_is_explained() -> None:
    with pytest.raises(StreamError, match="choose a port from 1024 on"):
        start_and_close(Listener(host="127.0.0.1", port=1))


def test_a_restart_on_the_same_port_works_at_once() -> None:
    """[EDGE-1-3]"""
    with own_port() as port, serving(Listener(host="127.0.0.1", port=port)) as served, served.client() as client:
        assert client.read()["type"] == "welcome"
        served.server.close()
        with serving(Listener(host="127.0.0.1", port=port)) as again, again.client() as second:
            assert second.read()["type"] == "welcome"


# --- the end


def test_what_waits_is_sent_and_the_stream_ends_between_two_messages() -> None:
    """[EDGE-3-5]"""
    with serving(WITH_VIDEO) as served, served.client() as client:
        client.socket.sendall(b"unread input must not make it a reset")
        for number in range(50):
            served.hub.publish_result(make_result(number, make_alert(number), padding=20_000))
        served.server.stop()
        messages = client.read_all()
        client.close()
        assert served.server.join(2.0)
        alerts = [message["frame_id"] for message in messages if message["type"] == "alert"]
        assert alerts == list(range(50))
        assert messages[-1]["type"] == "detection_result"


def test_a_client_that_does_not_read_is_not_waited_for() -> None:
    """[EDGE-3-5]"""
    with serving(WITH_VIDEO) as served, served.client(receive_buffer=4096):
        served.hub.publish_video(make_video(1, 3_000_000))
        served.server.close()
        assert served.hub.clients() == 0


def test_connecting_while_it_shuts_down_ends_in_a_refusal_or_a_close() -> None:
    with own_port() as port, serving(Listener(host="127.0.0.1", port=port)) as served:
        stalled = served.client(receive_buffer=4096)
        for number in range(60):
            served.hub.publish_result(make_result(number, padding=30_000))
        served.server.stop()
        for _ in range(20):
            with contextlib.suppress(ConnectionError), PlainClient(served.server.addresses[0]) as late:
                late.read_all()
        served.server.close()
        stalled.close()


def test_closing_twice_and_without_a_start_is_harmless() -> None:
    hub = Hub(IDENTITY)
    server = StreamServer([LOCAL], Stream(), hub)
    server.start()
    for _ in range(2):
        server.stop()
        server.close()
    hub.publish_result(make_result())
    never_started = StreamServer([LOCAL], Stream(), hub)
    never_started.close()
    never_started.close()


def test_a_thread_that_dies_says_so_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    died: list[Worker] = []
    monkeypatch.setattr(StreamServer, "_attend", lambda *_: 1 / 0)
    server = StreamServer([LOCAL], Stream(), Hub(IDENTITY), on_death=died.append)
    server.start()
    with contextlib.suppress(ConnectionError), PlainClient(server.addresses[0]) as client:
        client.read_all()
    wait_until(lambda: died)
    assert isinstance(died[0].error, ZeroDivisionError)
    server.close()
