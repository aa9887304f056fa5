"""Sessions over real sockets: hello, topics, heartbeats, limits, ends. The ids are statements of docs/protocol.md."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from edge.config import Listener
from edge.wire import replies
from edge.wire.framing import Framing
from tests.streaming import Pair, make_alert, make_result, make_video, serving, stages
from tests.support import wait_until
from tests.talking import HELLO

LOCAL = Listener(host="127.0.0.1", port=0)
LINES = Listener(host="127.0.0.1", port=0, framing="newline")
WITH_VIDEO = Listener(host="127.0.0.1", port=0, video=True)
COMPONENTS = {"camera": {"state": "ok", "reason": ""}}


pytestmark = pytest.mark.usefixtures("leaves_nothing")


# --- hello


@pytest.mark.parametrize("framing", ["length", "newline"])
def test_a_hello_may_come_in_any_two_pieces(framing: Framing) -> None:
    """[EDGE-2-8] [EDGE-3-9]"""
    with Pair(framing) as pair:
        size = len(pair.framed(HELLO))
    for split in range(1, size):
        with Pair(framing) as pair:
            hello = pair.framed(HELLO)
            pair.feed(hello[:split])
            assert not pair.waiting()
            pair.feed(hello[split:])
            assert pair.read()["type"] == "hello_ok"


def test_a_hello_byte_by_byte_and_what_follows_it_in_one_piece() -> None:
    """[EDGE-3-9]"""
    with Pair() as pair:
        for byte in pair.framed(HELLO | {"subscribe": []}):
            pair.feed(bytes([byte]))
        assert pair.read()["type"] == "hello_ok"
        pair.feed(pair.framed({"type": "ping", "t": 1}) + pair.framed({"type": "ping", "t": 2}))
        assert [pair.read()["t"] for _ in range(2)] == [1, 2]


def test_a_hello_in_the_middle_of_a_picture_waits_for_its_end() -> None:
    """[EDGE-3-9] [EDGE-5-2]"""
    with serving(WITH_VIDEO) as served, served.talker(receive_buffer=4096) as client:
        video = make_video(1, 2_000_000)
        served.hub.publish_video(video)
        assert client.socket.recv(100, socket.MSG_PEEK)  # it is on its way
        for number in range(2, 12):
            served.hub.publish_result(make_result(number))
        client.send(HELLO | {"subscribe": ["frames"]})
        wait_until(lambda: served.hub.looks() and "session" in stages(served))
        served.hub.publish_result(make_result(12))
        picture = client.read()
        assert picture["jpeg"] == video.jpeg
        assert client.read()["type"] == "hello_ok"
        served.hub.publish_video(make_video(13))
        assert (client.read()["frame_id"], client.round_trip()) == (13, [])


def test_after_hello_only_what_was_subscribed_to_comes() -> None:
    """[EDGE-3-9] [EDGE-5-10] [EDGE-8-7]"""
    topics = {"alerts": "alert", "detections": "detection_result", "frames": "video_frame", "health": "health"}
    with serving(WITH_VIDEO, parts={"health": lambda: COMPONENTS}) as served:
        for topic, kind in topics.items():
            with served.talker() as client:
                assert client.hello(subscribe=[topic, "weather"])["subscribed"] == [topic]
                served.hub.publish_result(make_result(1, make_alert(1)))
                served.hub.publish_video(make_video())
                served.hub.publish_health(replies.health(COMPONENTS, 1.0))
                assert {message["type"] for message in client.round_trip()} == {kind}


def test_without_subscribe_there_are_alerts_detections_and_health_and_no_picture_without_video() -> None:
    """[EDGE-8-7] [EDGE-5-10]"""
    with serving(LOCAL, WITH_VIDEO) as served:
        for listener, offered in ((0, ["alerts"]), (1, ["alerts", "frames"])):
            with served.talker(listener) as client:
                assert client.hello()["subscribed"] == ["alerts", "detections", "health"]
            with served.talker(listener) as client:
                assert client.hello(subscribe=["frames", "alerts"])["subscribed"] == offered
                served.hub.publish_video(make_video())
                assert [m["type"] for m in client.round_trip()] == ["video_frame"] * (len(offered) - 1)


@pytest.mark.parametrize(("asked", "given"), [(None, 10.0), (0.2, 1.0), (3, 3.0), (1e300, 10.0)])
def test_the_heartbeat_is_brought_between_1_and_10(asked: float | None, given: float) -> None:
    """[EDGE-8-8]"""
    with serving() as served, served.talker() as client:
        assert client.hello(heartbeat_s=asked)["heartbeat_s"] == given


@pytest.mark.parametrize("listener", [LOCAL, LINES])
@pytest.mark.parametrize("hello", [{"type": "hello"}, {"type": "hello", "protocol": 2}, HELLO | {"protocol": "1"}])
def test_another_version_ends_the_connection(listener: Listener, hello: dict[str, Any]) -> None:
    """[EDGE-8-6] [EDGE-4-13]"""
    with serving(listener) as served, served.talker(framing=listener.framing) as client:
        for number in range(3):
            served.hub.publish_result(make_result(number, make_alert(number)))
        client.send(hello, HELLO)
        (error,) = [message for message in client.end() if message["type"] not in ("alert", "detection_result")]
        assert (error["code"], error["fatal"]) == ("unsupported_version", True)


def test_a_wrong_hello_is_told_and_may_be_said_again() -> None:
    """[EDGE-3-10] [EDGE-8-2]"""
    with serving() as served, served.talker() as client:
        client.send(HELLO | {"consumer": "no spaces please"})
        error = client.read()
        assert (error["type"], error["code"], error["fatal"]) == ("error", "bad_message", False)
        served.hub.publish_result(make_result(7))
        assert client.read()["frame_id"] == 7
        assert client.hello()["role"] == "viewer"


def test_what_is_no_hello_changes_nothing_and_a_later_hello_counts() -> None:
    """[EDGE-3-10] [EDGE-3-2]"""
    with serving() as served, served.talker() as client:
        client.send({"type": "ping", "t": 1}, {"type": "unheard of"}, {"type": "ack"}, {"type": "subscribe"})
        client.hello()
        assert client.passed == []


def test_bytes_that_cannot_be_framed_leave_a_plain_client() -> None:
    """[EDGE-3-10]"""
    with serving() as served, served.talker() as client:
        client.socket.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        client.send(HELLO)
        served.hub.publish_result(make_result(1, make_alert(1)))
        assert [client.read()["type"] for _ in range(2)] == ["alert", "detection_result"]
        served.server.stop()
        assert client.end() == []


def test_a_second_hello_is_refused_and_changes_nothing() -> None:
    """[EDGE-3-14] [EDGE-7-2]"""
    with serving() as served, served.session(subscribe=["alerts"]) as client:
        client.send(HELLO | {"subscribe": ["detections"], "heartbeat_s": 1})
        error = client.read()
        assert (error["code"], error["fatal"]) == ("bad_message", False)
        served.hub.publish_result(make_result(1, make_alert(1)))
        assert [message["type"] for message in client.round_trip()] == ["alert"]


# --- topics


def test_topics_are_added_and_removed() -> None:
    """[EDGE-8-14] [EDGE-5-10]"""
    with serving(WITH_VIDEO, parts={"health": lambda: COMPONENTS}) as served, served.session(subscribe=[]) as client:

        def kinds() -> list[str]:
            served.hub.publish_result(make_result(1, make_alert(1)))
            served.hub.publish_video(make_video())
            return sorted(message["type"] for message in client.round_trip())

        assert kinds() == []
        client.send({"type": "subscribe", "subscribe": ["detections", "weather"]})
        assert client.round_trip() == []
        assert kinds() == ["detection_result"]
        client.send({"type": "subscribe", "subscribe": ["frames", "alerts"]})
        client.round_trip()
        assert kinds() == ["alert", "detection_result", "video_frame"]
        client.send({"type": "unsubscribe", "subscribe": ["detections", "health"]})
        client.round_trip()
        assert kinds() == ["alert", "video_frame"]
        client.send({"type": "subscribe", "subscribe": ["health"]})
        assert [message["type"] for message in client.round_trip()] == ["health"]
        client.send({"type": "subscribe", "subscribe": ["health"]})
        assert client.round_trip() == []


def test_health_comes_after_hello_ok_and_on_a_change() -> None:
    """[EDGE-4-12]"""
    lost = {"camera": {"state": "failed", "reason": "gone"}}
    with serving(parts={"health": lambda: COMPONENTS}) as served, served.talker() as plain:
        with served.session(subscribe=["health"]) as client:
            assert client.read()["components"] == COMPONENTS
            served.hub.publish_health(replies.health(lost, 7.0))
            assert client.read() == {"type": "health", "timestamp": 7.0, "components": lost}
        served.hub.publish_result(make_result(1))
        assert plain.read()["type"] == "detection_result"


def test_one_health_waits_at_most() -> None:
    """[EDGE-4-12]"""
    with Pair() as pair:
        pair.say(HELLO | {"subscribe": ["health"]})
        assert [pair.read()["type"] for _ in range(2)] == ["hello_ok", "health"]
        for number in range(500):
            pair.hub.publish_health(replies.health(COMPONENTS, float(number)))
        pair.session.pump(pair.now)
        assert pair.read()["timestamp"] == 499.0
        assert not pair.waiting()


@pytest.mark.parametrize("mode", ["separate", "batch", "both"])
def test_sessions_get_alerts_as_messages_in_every_mode(mode: str) -> None:
    """[EDGE-4-9]"""
    with serving(alerts=mode) as served, served.session() as client:  # type: ignore[arg-type]
        client.until("health")
        served.hub.publish_result(make_result(1, make_alert(1), make_alert(2)))
        messages = client.round_trip()
        assert [message["type"] for message in messages] == ["alert", "alert", "detection_result"]
        assert "alerts" not in messages[-1]


def test_pictures_come_at_the_rate_that_was_asked_for() -> None:
    """[EDGE-5-11]"""
    with serving(WITH_VIDEO) as served:
        slow = served.session(subscribe=["frames"], frames={"max_fps": 0.1})
        with slow, served.session(subscribe=["frames"]) as fast:
            for number in range(1, 6):
                served.hub.publish_video(make_video(number))
                assert fast.read()["frame_id"] == number
            assert [message["frame_id"] for message in slow.round_trip()] == [1]
            slow.send({"type": "subscribe", "subscribe": [], "frames": {"max_fps": 240}})
            slow.round_trip()
            served.hub.publish_video(make_video(6))
            assert [message["frame_id"] for message in slow.round_trip()] == [6]


# --- heartbeats


def test_a_quiet_client_is_pinged_and_then_given_up() -> None:
    """[EDGE-3-11] [EDGE-4-13]"""
    with Pair() as pair:
        pair.say(HELLO | {"subscribe": []})
        assert pair.read()["heartbeat_s"] == 10.0
        pair.pass_by(9)
        assert not pair.waiting()
        pair.pass_by(1)
        assert pair.read()["type"] == "ping"
        pair.pass_by(9)
        assert not pair.waiting()
        pair.pass_by(6)
        assert pair.read()["type"] == "ping"
        assert not pair.session.finishing
        pair.pass_by(1)
        error = pair.read()
        assert (error["code"], error["fatal"]) == ("idle_timeout", True)
        assert pair.theirs.recv(1) == b""
        pair.pass_by(3)
        assert pair.session.ended.startswith("idle_timeout")


@pytest.mark.parametrize("sign", [{"type": "pong", "t": 1}, {"type": "subscribe", "subscribe": []}, {"type": "?"}])
def test_any_message_is_a_sign_of_life(sign: dict[str, Any]) -> None:
    """[EDGE-3-11]"""
    with Pair() as pair:
        pair.say(HELLO | {"subscribe": [], "heartbeat_s": 2})
        for _ in range(20):
            pair.pass_by(4)
            pair.say(sign)
        assert not pair.session.finishing


def test_a_plain_client_is_never_pinged_and_never_idle() -> None:
    """[EDGE-3-2] [EDGE-3-11]"""
    with Pair() as pair:
        pair.pass_by(100)
        assert not pair.waiting()
        assert not pair.session.ended


def test_every_ping_gets_its_pong() -> None:
    """[EDGE-3-12]"""
    with serving() as served, served.session(subscribe=[]) as client:
        sent = [0, -1.5, 2**53, 0.001, 7]
        client.send(*({"type": "ping", "t": t} for t in sent))
        assert [client.read() for _ in sent] == [{"type": "pong", "t": t} for t in sent]
