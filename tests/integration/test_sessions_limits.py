"""What clients send, limits, ends, and many at once, over real sockets. The ids are of docs/protocol.md."""

from __future__ import annotations

import json
import logging
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edge.config import Listener
from edge.stream import session as sessions
from edge.stream.mailbox import MAX_CONTROL
from edge.wire.framing import Framing
from tests.streaming import Pair, in_thread, keeping, make_alert, make_result, make_video, serving, stages
from tests.support import wait_until
from tests.talking import HELLO, Talker

LOCAL = Listener(host="127.0.0.1", port=0)
LINES = Listener(host="127.0.0.1", port=0, framing="newline")
WITH_VIDEO = Listener(host="127.0.0.1", port=0, video=True)


pytestmark = pytest.mark.usefixtures("leaves_nothing")


# --- what a client sends


def test_after_a_mild_error_the_session_goes_on() -> None:
    """[EDGE-7-2] [EDGE-8-2] [EDGE-8-4] [EDGE-8-13]"""
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"type": "unheard of"}, "unknown_type"),
        ({"type": "ack", "stream": "s"}, "bad_message"),
        ({"type": "ack", "stream": "s", "seq": 1}, "bad_message"),
        ({"type": "ping", "t": "soon"}, "bad_message"),
        ({"type": "subscribe", "subscribe": "alerts"}, "bad_message"),
        ({"type": "subscribe", "subscribe": ["frames"], "frames": {"quality": 101}}, "bad_message"),
        ({"type": "command", "id": "", "cmd": "x"}, "bad_message"),
    ]
    with serving(WITH_VIDEO) as served, served.session(subscribe=["alerts"]) as client:
        for message, code in wrong:
            client.send(message)
            (error,) = client.round_trip()
            assert (error["type"], error["code"], error["fatal"]) == ("error", code, False)
        served.hub.publish_video(make_video())
        served.hub.publish_result(make_result(1, make_alert(1)))
        assert [message["type"] for message in client.round_trip()] == ["alert"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\0\0\0\0", "bad_frame"),
        (b"\0\0\0\2[]", "bad_json"),
        (b"\0\0\0\3NaN", "bad_json"),
        (b"\0\0\0\x11" + b'{"type":"\xff\xff\xff\xff\xff\xff"}', "bad_json"),
        ((65537).to_bytes(4, "big"), "too_large"),
        (b"\xff\xff\xff\xff", "too_large"),
    ],
)
def test_a_fatal_error_is_told_and_is_the_last_word(data: bytes, code: str) -> None:
    """[EDGE-4-13] [EDGE-6-2] [EDGE-8-1]"""
    with serving() as served, served.talker() as witness, served.session(subscribe=["detections"]) as client:
        client.socket.sendall(data + client.frame({"type": "ping", "t": 1}) * 3)
        served.hub.publish_result(make_result(1))
        messages = [message for message in client.end() if message["type"] != "detection_result"]
        assert [(message["type"], message["code"], message["fatal"]) for message in messages] == [("error", code, True)]
        served.hub.publish_result(make_result(2))
        assert {witness.read()["frame_id"], witness.read()["frame_id"]} == {1, 2}


@pytest.mark.parametrize("listener", [LOCAL, LINES])
def test_the_longest_message_is_read_and_one_byte_more_is_not(listener: Listener) -> None:
    """[EDGE-6-2]"""
    with serving(listener) as served:
        with served.talker(framing=listener.framing) as client:
            client.send(padded(HELLO, 4096))
            assert client.until("hello_ok")["max_inbound"] == 65536
            client.until("health")
            client.send(padded({"type": "ping", "t": 5}, 65536))
            assert client.read() == {"type": "pong", "t": 5}
            client.send(padded({"type": "ping", "t": 6}, 65537))
            assert [message["code"] for message in client.end()] == ["too_large"]
        with served.talker(framing=listener.framing) as client:
            client.send(padded(HELLO, 4097))
            client.send(HELLO)
            served.hub.publish_result(make_result(1))
            assert client.read()["type"] == "detection_result", "it stays a plain client"


def padded(message: dict[str, Any], size: int) -> bytes:
    """The message with an unknown field that makes it so long."""
    text = json.dumps(message | {"padding": ""}).encode()
    return text.replace(b'"padding": ""', b'"padding": "%s"' % (b"x" * (size - len(text))))


def test_one_that_sends_too_fast_is_read_slower_and_stays() -> None:
    """[EDGE-6-3]"""
    with Pair() as pair:
        pair.say(HELLO | {"subscribe": []})
        pair.read()
        ping = pair.framed({"type": "ping", "t": 1, "padding": "x" * 4000})
        pongs = 0
        for _ in range(20):  # 80 kB in no time
            if not pair.session.resting:
                pair.feed(ping)
                pongs += 1
        assert pair.session.resting
        assert 15 <= pongs < 20
        assert pair.session.events == 0
        assert [pair.read()["type"] for _ in range(pongs)] == ["pong"] * pongs
        pair.pass_by(1)
        assert not pair.session.resting
        pair.feed(ping)
        assert pair.read()["type"] == "pong"
        assert not pair.session.ended


def test_a_flood_of_pings_that_is_read_is_answered_in_full() -> None:
    """[EDGE-6-3] [EDGE-3-12]"""
    with serving() as served, served.session(subscribe=[]) as client:
        flood = b"".join(client.frame({"type": "ping", "t": number}) for number in range(1000))
        sender = threading.Thread(target=client.socket.sendall, args=(flood,))
        sender.start()
        assert [client.read()["t"] for _ in range(1000)] == list(range(1000))
        sender.join(10)


def pour(pair: Pair, seconds: int, piece: bytes) -> int:
    """Send as many of these as are read; how many that were."""
    sent = 0
    for _ in range(seconds):
        while not pair.session.resting:
            pair.feed(piece)
            sent += 1
        pair.pass_by(1)
        assert not pair.session.finishing
    return sent


@pytest.mark.parametrize("framing", ["length", "newline"])
def test_short_messages_count_as_200_bytes(framing: Framing) -> None:
    """[EDGE-6-5] [EDGE-6-3] Whether they come one by one or many at once."""
    for at_once in (1, 100):
        with Pair(framing) as pair:
            pair.say(HELLO | {"subscribe": []})
            pair.read()
            pong = pair.framed({"type": "pong", "t": 1})
            messages = pour(pair, 10, pong * at_once) * at_once
            assert 10 * 327 < messages < 11 * 328 + 10 * at_once


def test_three_hundred_acks_a_second_pass(tmp_path: Path) -> None:
    """[EDGE-6-5] For twenty seconds."""
    with keeping(tmp_path) as served:
        served.stored(1)
        bounds = served.outbox.bounds
        assert bounds is not None
        with Pair(outbox=served.outbox) as pair:
            pair.say(HELLO | {"subscribe": [], "consumer": "fast", "resume": {"stream": bounds.stream, "after": 0}})
            pair.read()
            ack = pair.framed({"type": "ack", "stream": bounds.stream, "seq": 1})
            for _ in range(20 * 300):
                pair.feed(ack, 1 / 300)
                assert not pair.session.resting
            assert not pair.waiting(), "nothing to complain of"


def test_one_that_rests_is_not_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """[EDGE-6-3] [EDGE-3-11] It is not listened to for longer than its heartbeats."""
    monkeypatch.setattr(sessions, "LEAST_CHARGE", 2000)
    with Pair() as pair:
        pair.say(HELLO | {"subscribe": [], "heartbeat_s": 1})
        pair.read()
        pair.feed(pair.framed({"type": "pong", "t": 1}) * 300)
        assert pair.session.resting
        pair.pass_by(8)
        assert pair.session.resting
        pair.pass_by(2)
        assert not pair.session.resting
        assert not pair.session.finishing
        pair.pass_by(4)
        assert pair.session.finishing, "now its silence counts"


def test_one_that_asks_and_does_not_read_is_disconnected(caplog: pytest.LogCaptureFixture) -> None:
    """[EDGE-5-9] [EDGE-5-8]"""
    with serving() as served, served.session(subscribe=["detections"]) as other:
        with served.talker(receive_buffer=4096) as client:
            client.hello(subscribe=[])
            ping = client.frame({"type": "ping", "t": 1})
            client.socket.settimeout(0.2)
            deadline = time.monotonic() + 30
            while served.hub.clients() == 2 and time.monotonic() < deadline:
                try:
                    client.socket.send(ping * 500)
                except (TimeoutError, ConnectionError):
                    served.hub.clients()
            wait_until(lambda: served.hub.clients() == 1)
        served.hub.publish_result(make_result(1))
        assert other.read()["frame_id"] == 1
        assert "slow_consumer" in caplog.text
        assert f"{MAX_CONTROL} answers" in caplog.text
        assert served.hub.counters().slow_consumers == 1


# --- ends


def test_a_goodbye_is_the_last_word_when_the_device_stops() -> None:
    """[EDGE-3-13] [EDGE-3-5]"""
    with serving(WITH_VIDEO) as served, served.talker() as plain:
        clients = [served.session(subscribe=["alerts", "detections", "frames"]) for _ in range(5)]
        for number in range(100):
            served.hub.publish_result(make_result(number, make_alert(number)))
            served.hub.publish_video(make_video(number, 50_000))
        served.server.stop()
        for client in clients:
            with client:
                messages = client.end()
                assert [m["frame_id"] for m in messages if m["type"] == "alert"] == list(range(100))
                assert messages[-1] == {"type": "goodbye", "reason": "shutdown", "retry_after_ms": 1000}
                assert sum(message["type"] == "goodbye" for message in messages) == 1
        assert {message["type"] for message in plain.end()} <= {"alert", "detection_result", "video_frame"}
        plain.close()
        assert served.server.join(2.0)


def test_a_slow_session_is_told_so_between_two_messages() -> None:
    """[EDGE-5-5] [EDGE-4-13]"""
    with serving() as served, served.talker(receive_buffer=4096) as client:
        client.hello(subscribe=["alerts"])
        number = 0
        while "ending" not in stages(served):
            number += 1
            served.hub.publish_result(make_result(number, make_alert(number)))
            assert number < 50_000
        messages = client.end()
        received = [m["frame_id"] for m in messages if m["type"] == "alert"]
        assert received == list(range(1, len(received) + 1))
        assert (messages[-1]["code"], messages[-1]["fatal"]) == ("slow_consumer", True)


def test_one_that_never_closes_is_not_waited_for() -> None:
    """[EDGE-4-13]"""
    with Pair() as pair:
        pair.say(HELLO)
        pair.feed(b"\0\0\0\0")
        assert pair.session.finishing
        for _ in range(round(sessions.FAREWELL_S)):
            pair.pass_by(1)
            pair.session.expire(pair.now)
        assert not pair.session.ended
        pair.pass_by(1)
        assert pair.session.ended.startswith("bad_frame")


# --- many


def test_one_stalled_and_one_that_reads_a_byte_a_second_cost_the_others_nothing() -> None:
    """[EDGE-5-8] One client of nine stalled, and one that reads 1 byte a second."""
    alerts = 2000
    with serving(WITH_VIDEO) as served:
        readers = [served.session(subscribe=["alerts", "detections", "frames"]) for _ in range(7)]
        stalled, trickle = (served.talker(receive_buffer=4096) for _ in range(2))
        for client in (stalled, trickle):
            client.send(HELLO | {"subscribe": ["alerts", "detections", "frames"]})
        received: list[list[int]] = [[] for _ in readers]
        threads = [
            threading.Thread(target=collect, args=(client, alerts, numbers))
            for client, numbers in zip(readers, received, strict=True)
        ]
        for thread in threads:
            thread.start()
        byte_at = time.monotonic()
        for number in range(1, alerts + 1):
            served.hub.publish_result(make_result(number, make_alert(number)))
            if number % 20 == 0:
                served.hub.publish_video(make_video(number, 60_000))
            if time.monotonic() - byte_at >= 1.0:
                byte_at = time.monotonic()
                trickle.socket.recv(1)
            # As fast as the slowest of the seven reads: none of them is to be a slow one itself.
            wait_until(lambda sent=number: min(map(len, received)) > sent - 100)  # type: ignore[misc]
        for thread in threads:
            thread.join(30)
        assert received == [list(range(1, alerts + 1))] * len(readers)
        for client in (*readers, stalled, trickle):
            client.close()


def collect(client: Talker, count: int, numbers: list[int]) -> None:
    while len(numbers) < count:
        numbers.append(client.until("alert")["frame_id"])


def test_thirty_two_that_come_back_at_once_all_stream() -> None:
    """[EDGE-6-1] How long it takes is printed and not asserted."""
    with serving(max_clients_per_address=32) as served:
        for _ in range(2):
            began = time.monotonic()
            arrivals = [in_thread(partial(served.session, subscribe=["detections"])) for _ in range(32)]
            clients = [arrived() for arrived in arrivals]
            served.hub.publish_result(make_result(1))
            assert {client.read()["frame_id"] for client in clients} == {1}
            print(f"32 clients stream after {time.monotonic() - began:.3f} s")
            for client in clients:
                client.close()
            wait_until(lambda: served.hub.clients() == 0)


def test_fifty_hellos_come_and_go_while_results_flow(caplog: pytest.LogCaptureFixture) -> None:
    """[EDGE-5-8]"""
    caplog.set_level(logging.INFO)
    stop = threading.Event()
    with serving(max_clients=64, max_clients_per_address=64) as served, served.session(subscribe=["alerts"]) as witness:

        def publish() -> None:
            for number in range(1, 100_000):
                served.hub.publish_result(make_result(number, make_alert(number)))
                if stop.wait(0.002):
                    return

        thread = threading.Thread(target=publish)
        thread.start()
        for number in range(50):
            with served.talker() as client:
                client.send(HELLO)
                if number % 2:
                    client.until("hello_ok")
        wait_until(lambda: served.hub.clients() == 1)
        stop.set()
        thread.join(10)
        count = served.hub.counters().alerts
        assert [alert["frame_id"] for alert in witness.alerts(count)] == list(range(1, count + 1))
    assert "Traceback" not in caplog.text
