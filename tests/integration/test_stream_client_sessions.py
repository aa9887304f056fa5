"""The subscriber in sessions with a device that follows a script: hello, resume, acks, heartbeats, commands."""

from __future__ import annotations

import itertools
import json
import random
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from edge.errors import ConfigError, ProtocolError, StateError, StreamError
from edge.stream.client import (
    Alert,
    CommandFailed,
    Connected,
    Cursor,
    DetectionResult,
    ErrorMessage,
    Event,
    FileCursor,
    Frames,
    FramesLost,
    Gap,
    Goodbye,
    Health,
    HelloOk,
    Lost,
    Message,
    Refused,
    Reset,
    Subscriber,
    VideoFrame,
    Welcome,
    engine,
)
from edge.stream.client.inbox import MAX_FRAMES, MAX_KEPT, MAX_RESULTS
from tests.scripted import STREAM, Caller, alert, scripted
from tests.support import wait_until

pytestmark = pytest.mark.usefixtures("leaves_nothing", "tries_again_soon")


class Kept:
    """A cursor store that keeps all it was given."""

    def __init__(self, cursor: Cursor | None = None) -> None:
        self.cursors = [cursor] if cursor is not None else []

    def load(self) -> Cursor | None:
        return self.cursors[-1] if self.cursors else None

    def save(self, cursor: Cursor) -> None:
        self.cursors.append(cursor)

    @property
    def numbers(self) -> list[int]:
        return [cursor.seq for cursor in self.cursors]


def of(kind: type[Any], events: Iterator[Event], count: int) -> list[Any]:
    """The next ``count`` events of one kind."""
    return list(itertools.islice((event for event in events if isinstance(event, kind)), count))


def until(kind: type[Any], events: Iterator[Event]) -> list[Event]:
    """The events up to the first of a kind, that one too."""
    seen: list[Event] = []
    for event in events:
        seen.append(event)
        if isinstance(event, kind):
            break
    return seen


def kinds(events: Sequence[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_session_gives_typed_messages_in_order_and_as_they_came() -> None:
    def device(caller: Caller) -> None:
        hello = caller.accept(7)
        assert hello["consumer"] == "backend"
        assert hello["resume"] == "last_ack"
        assert hello["subscribe"] == ["alerts", "detections", "health"]
        caller.send({"type": "health", "components": {"camera": {"state": "ok", "reason": ""}}, "new": 1})
        caller.send(alert(7), {"type": "detection_result", "frame_id": 1, "latency_ms": {"total": 3}, "x": 1})
        caller.send({"type": "of_tomorrow", "x": 1})
        caller.wait_for_end()

    with scripted(device) as peer, Subscriber(*peer.address, consumer="backend") as client:
        events = list(itertools.islice(client, 7))
    assert kinds(events) == [
        "Connected", "Welcome", "HelloOk", "Health", "Alert", "DetectionResult", "Message",
    ]  # fmt: skip
    connected, welcome, hello_ok, health, first, result, unknown = events
    assert isinstance(connected, Connected)
    assert connected.encryption == ""
    assert isinstance(welcome, Welcome)
    assert welcome.protocol.stream == STREAM
    assert isinstance(hello_ok, HelloOk)
    assert hello_ok.resume is not None
    assert hello_ok.resume.start == 7
    assert isinstance(health, Health)
    assert health.components["camera"].state == "ok"
    assert health.raw["new"] == 1
    assert isinstance(first, Alert)
    assert first.raw == alert(7)
    assert isinstance(result, DetectionResult)
    assert result.latency_ms is not None
    assert result.latency_ms.total == 3
    assert unknown == {"type": "of_tomorrow", "x": 1}


@pytest.mark.parametrize(("framing", "byteorder"), [("length", "little"), ("newline", "big")])
def test_it_answers_in_the_framing_that_it_is_spoken_to_in(framing: Any, byteorder: Any) -> None:
    def device(caller: Caller) -> None:
        caller.accept()
        caller.send(alert(1, message="Gefahr: Messer, наж, 刀"))
        caller.wait_for_end()

    with scripted(device, framing=framing, byteorder=byteorder) as peer, Subscriber(*peer.address) as client:
        (found,) = of(Alert, client, 1)
    assert found.message == "Gefahr: Messer, наж, 刀"


@pytest.mark.parametrize("framing", ["length", "newline"])
def test_chopped_bytes_change_nothing(framing: Any) -> None:
    def device(caller: Caller) -> None:
        caller.accept()
        for byte in caller.framed(alert(1)) + caller.framed(alert(2)):
            caller.send(bytes([byte]))
        caller.wait_for_end()

    with scripted(device, framing=framing) as peer, Subscriber(*peer.address) as client:
        assert [found.seq for found in of(Alert, client, 2)] == [1, 2]


def test_after_a_cut_it_resumes_where_it_was_and_acks_what_was_dealt_with() -> None:
    acks: list[dict[str, Any]] = []

    def first(caller: Caller) -> None:
        caller.accept(4)
        caller.send(alert(4), alert(5))
        acks.append(caller.hear())
        caller.reset()

    def second(caller: Caller) -> None:
        hello = caller.accept(6)
        assert hello["resume"] == {"stream": STREAM, "after": 5}
        caller.send(alert(6, replay=True))
        while not acks or acks[-1]["seq"] < 6:
            acks.append(caller.hear())

    store = Kept()
    with scripted(first, second) as peer, Subscriber(*peer.address, consumer="c", cursor=store) as client:
        assert [found.seq for found in of(Alert, client, 3)] == [4, 5, 6]
        until(Lost, client)
    assert store.numbers == [3, 4, 5, 6]
    assert all(ack["type"] == "ack" and ack["stream"] == STREAM for ack in acks)
    numbers = [ack["seq"] for ack in acks]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 6


def test_what_the_loop_did_not_finish_is_given_again_to_the_next_run() -> None:
    def device(caller: Caller) -> None:
        start = caller_start(caller)
        caller.send(*[alert(seq) for seq in range(start, 4)])
        caller.wait_for_end()

    def caller_start(caller: Caller) -> int:
        caller.welcome(next_seq=1)
        start = caller.hear()["resume"]["after"] + 1
        caller.hello_ok(start)
        return int(start)

    store = Kept()
    with scripted(device) as peer:
        with Subscriber(*peer.address, cursor=store) as client:
            of(Alert, client, 2)
        assert store.numbers == [0, 1]
        with Subscriber(*peer.address, cursor=store) as client:
            again = of(Alert, client, 1)
            client.ack(again[0])
            client.ack(again[0])
        assert store.numbers == [0, 1, 2]


def test_acks_by_hand_are_cumulative_and_never_go_back() -> None:
    def device(caller: Caller) -> None:
        caller.accept()
        caller.send(*[alert(seq) for seq in (1, 2, 3)])
        assert caller.hear() == {"type": "ack", "stream": STREAM, "seq": 2}
        done.set()
        caller.wait_for_end()

    done = threading.Event()
    store = Kept()
    with scripted(device) as peer, Subscriber(*peer.address, consumer="c", cursor=store, auto_ack=False) as client:
        one, two, _ = of(Alert, client, 3)
        client.ack(two)
        client.ack(one)
        wait_until(done.is_set)
        assert client.take(0.01) is None
    assert store.numbers == [0, 2]


def test_a_copy_without_a_number_is_given_and_the_numbered_one_only_counts() -> None:
    def device(caller: Caller) -> None:
        caller.accept()
        caller.send(alert(None, event_uid="a"), alert(None, event_uid="a"), alert(1, event_uid="b"))
        caller.send(alert(2, event_uid="a"), alert(3, event_uid="a", state="resolved"), alert(None, event_uid="b"))
        caller.send(alert(4, event_uid="b"), alert(5, event_uid="z"))
        caller.wait_for_end()

    store = Kept()
    with scripted(device) as peer, Subscriber(*peer.address, cursor=store) as client:
        found = of(Alert, client, 5)
    given = [(item.seq, item.event_uid, item.state) for item in found]
    assert given == [
        (None, "a", "firing"), (1, "b", "firing"), (3, "a", "resolved"), (4, "b", "firing"), (5, "z", "firing"),
    ]  # fmt: skip
    assert store.numbers == [0, 1, 2, 3, 4]


def test_an_alert_that_was_had_is_not_given_again() -> None:
    def device(caller: Caller) -> None:
        caller.accept()
        caller.send(alert(1), alert(1), alert(2), alert(1), alert(3))
        caller.wait_for_end()

    with scripted(device) as peer, Subscriber(*peer.address) as client:
        assert [found.seq for found in of(Alert, client, 3)] == [1, 2, 3]


@pytest.mark.parametrize("wrong", [alert(3), alert(2, stream="another")])
def test_a_jump_ends_the_connection_and_is_made_good(wrong: dict[str, Any]) -> None:
    def jumps(caller: Caller) -> None:
        caller.accept()
        caller.send(alert(1), wrong, alert(9))
        caller.wait_for_end()

    def honest(caller: Caller) -> None:
        assert caller.accept(2)["resume"]["after"] == 1
        caller.send(alert(2), alert(3))
        caller.wait_for_end()

    with scripted(jumps, honest) as peer, Subscriber(*peer.address) as client:
        events = until(Lost, client)
        assert [found.seq for found in of(Alert, client, 2)] == [2, 3]
    lost = events[-1]
    assert isinstance(lost, Lost)
    assert isinstance(lost.error, ProtocolError)
    assert "alert" in lost.reason


def test_a_hello_ok_that_leaves_alerts_out_is_not_believed() -> None:
    def skips(caller: Caller) -> None:
        caller.accept(9)
        caller.wait_for_end()

    store = Kept(Cursor(STREAM, 4))
    with scripted(skips) as peer, Subscriber(*peer.address, cursor=store) as client:
        assert isinstance(until(Lost, client)[-1], Lost)
    assert store.numbers == [4]


def test_an_alert_with_wrong_fields_is_given_raw_and_stops_none() -> None:
    broken = alert(1, confidence="high")

    def device(caller: Caller) -> None:
        caller.accept()
        caller.send(broken, alert(2))
        caller.wait_for_end()

    store = Kept()
    with scripted(device) as peer, Subscriber(*peer.address, cursor=store) as client:
        raw = next(event for event in client if isinstance(event, Message))
        assert raw == broken
        assert of(Alert, client, 1)[0].seq == 2
    assert store.numbers == [0, 1]


def test_a_gap_is_told_and_counted() -> None:
    def device(caller: Caller) -> None:
        assert caller.accept(10, "gap", 5)["resume"] == {"stream": STREAM, "after": 4}
        caller.send(alert(10))
        caller.wait_for_end()

    store = Kept(Cursor(STREAM, 4))
    with scripted(device) as peer, Subscriber(*peer.address, cursor=store) as client:
        events = until(Alert, client)
        assert kinds(events) == ["Connected", "Welcome", "HelloOk", "Gap", "Alert"]
        assert events[3] == Gap(5)
        assert client.missed == 5
        client.take(0)
    assert store.numbers == [4, 9, 10]


def test_a_new_numbering_is_told_and_followed() -> None:
    def device(caller: Caller) -> None:
        caller.accept(3, "reset", stream="new")
        caller.send(alert(3, stream="new"))
        caller.wait_for_end()

    store = Kept(Cursor(STREAM, 40))
    with scripted(device) as peer, Subscriber(*peer.address, cursor=store) as client:
        events = until(Alert, client)
        assert events[3] == Reset("new")
        client.take(0)
    assert store.cursors[1:] == [Cursor("new", 2), Cursor("new", 3)]


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, {"stream": STREAM, "after": 11}),
        ({"start": "oldest"}, {"stream": "", "after": 0}),
        ({"consumer": "c"}, "last_ack"),
        ({"consumer": "c", "start": "oldest"}, {"stream": "", "after": 0}),
        ({"consumer": "c", "cursor": Kept(Cursor("s", 3))}, {"stream": "s", "after": 3}),
    ],
)
def test_where_it_begins(options: dict[str, Any], asked: Any) -> None:
    def device(caller: Caller) -> None:
        caller.welcome(next_seq=12)
        hellos.append(caller.hear())

    hellos: list[dict[str, Any]] = []
    with scripted(device) as peer, Subscriber(*peer.address, **options) as client:
        until(Lost, client)
    assert hellos[0]["resume"] == asked


def test_alerts_before_hello_ok_are_left_to_the_resume() -> None:
    def device(caller: Caller) -> None:
        caller.welcome(next_seq=5)
        caller.send(alert(5), {"type": "detection_result"})
        assert caller.hear()["resume"]["after"] == 4
        caller.hello_ok(5)
        caller.send(alert(5), alert(6))
        caller.wait_for_end()

    with scripted(device) as peer, Subscriber(*peer.address) as client:
        events = until(HelloOk, client)
        assert kinds(events) == ["Connected", "Welcome", "HelloOk"]
        assert [found.seq for found in of(Alert, client, 2)] == [5, 6]


def test_a_goodbye_is_given_and_its_wait_kept() -> None:
    def device(caller: Caller) -> None:
        caller.accept()
        caller.send({"type": "goodbye", "reason": "shutdown", "retry_after_ms": 20_000})

    with scripted(device) as peer, Subscriber(*peer.address) as client:
        events = until(Lost, client)
    assert isinstance(events[-2], Goodbye)
    lost = events[-1]
    assert isinstance(lost, Lost)
    assert lost.error is None
    assert lost.reason == "the device said goodbye: shutdown"
    assert 20 < lost.retry_s < 21


def test_a_fatal_error_is_told_by_its_code_and_a_mild_one_is_a_message() -> None:
    def device(caller: Caller) -> None:
        caller.accept()
        caller.send({"type": "error", "code": "too_many_consumers", "message": "16 are known", "fatal": False})
        caller.send({"type": "error", "code": "slow_consumer", "message": "too slow", "fatal": True})
        caller.wait_for_end()

    with scripted(device) as peer, Subscriber(*peer.address) as client:
        events = until(Lost, client)
    mild, lost = events[-2:]
    assert isinstance(mild, ErrorMessage)
    assert mild.code == "too_many_consumers"
    assert isinstance(lost, Lost)
    assert isinstance(lost.error, Refused)
    assert lost.error.code == "slow_consumer"


def test_garbage_in_the_stream_ends_the_connection_after_what_was_whole() -> None:
    def device(caller: Caller) -> None:
        caller.accept()
        caller.send(caller.framed(alert(1)) + b"\x00\x00\x00\x05junk!")
        caller.wait_for_end()

    with scripted(device) as peer, Subscriber(*peer.address) as client:
        events = until(Lost, client)
    assert isinstance(events[-2], Alert)
    assert "not JSON" in str(events[-1])


def test_heartbeats_both_ways() -> None:
    def device(caller: Caller) -> None:
        caller.accept(heartbeat_s=0.1)
        ping = caller.hear()
        assert ping["type"] == "ping"
        caller.send({"type": "pong", "t": ping["t"]}, {"type": "ping", "t": 12.5})
        answers.append(caller.hear())
        while answers[-1]["type"] != "pong":
            answers.append(caller.hear())
        caller.send(alert(1))
        caller.wait_for_end()

    answers: list[dict[str, Any]] = []
    with scripted(device) as peer, Subscriber(*peer.address) as client:
        assert kinds(until(Alert, client)) == ["Connected", "Welcome", "HelloOk", "Alert"]
    assert answers[-1] == {"type": "pong", "t": 12.5}


@pytest.mark.parametrize("says", ["nothing", "welcome", "hello_ok"])
def test_a_device_that_falls_silent_is_given_up(says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.stream.client.dialogue.ANSWER_S", 0.1)

    def device(caller: Caller) -> None:
        if says == "welcome":
            caller.welcome()
        if says == "hello_ok":
            caller.accept(heartbeat_s=0.05)
        caller.wait_for_end()

    with scripted(device) as peer, Subscriber(*peer.address) as client:
        lost = until(Lost, client)[-1]
    reasons = {
        "nothing": "connected, and no welcome",
        "welcome": "no answer to hello",
        "hello_ok": "nothing came for",
    }
    assert isinstance(lost, Lost)
    assert lost.reason.startswith(reasons[says])


def test_a_command_is_answered_while_iterating() -> None:
    def device(caller: Caller) -> None:
        caller.accept()
        caller.send(alert(1))
        asked = caller.hear()
        assert (asked["type"], asked["cmd"], asked["args"]) == ("command", "snapshot", {"quality": 70})
        caller.send(alert(2), {"type": "command_result", "id": "of another", "ok": True, "result": 1})
        caller.send({"type": "command_result", "id": asked["id"], "ok": True, "result": {"frame_id": 3}})
        asked = caller.hear()
        assert "args" not in asked
        failure = {"code": "forbidden", "message": "needs the role control"}
        caller.send({"type": "command_result", "id": asked["id"], "ok": False, "error": failure})
        caller.wait_for_end()

    with scripted(device) as peer, Subscriber(*peer.address) as client:
        of(Alert, client, 1)
        assert client.command("snapshot", quality=70) == {"frame_id": 3}
        with pytest.raises(CommandFailed, match=r"needs the role control \(forbidden\)") as caught:
            client.command("restart_camera")
        assert caught.value.code == "forbidden"
        assert of(Alert, client, 1)[0].seq == 2


def test_a_command_that_a_cut_interrupted_is_sent_again_under_its_id() -> None:
    ids: list[str] = []

    def cut(caller: Caller) -> None:
        caller.accept()
        ids.append(caller.hear()["id"])
        caller.reset()

    def answers(caller: Caller) -> None:
        caller.accept()
        ids.append(caller.hear()["id"])
        caller.send({"type": "command_result", "id": ids[-1], "ok": True, "result": 7})
        caller.wait_for_end()

    with scripted(cut, answers) as peer, Subscriber(*peer.address) as client:
        assert client.command("get_status") == 7
    assert ids[0] == ids[1]


def test_commands_that_cannot_be_sent_say_so() -> None:
    def silent(caller: Caller) -> None:
        caller.accept()
        caller.wait_for_end()

    with scripted(silent) as peer, Subscriber(*peer.address) as client:
        with pytest.raises(StreamError, match=r"no answer to the command get_status within 0\.05 s"):
            client.command("get_status", timeout=0.05)
        with pytest.raises(StreamError, match="too long"):
            client.command("set_config", values={"x": "y" * 70_000})
        with pytest.raises(StreamError, match="cannot be written as JSON"):
            client.command("set_config", values=object())
        waiting: list[BaseException] = []

        def ask() -> None:
            try:
                client.command("get_status")
            except StreamError as error:
                waiting.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        wait_until(lambda: client._engine.outgoing._commands)
        client.close()
        thread.join(5)
        assert "closed before the command get_status was answered" in str(waiting[0])
        with pytest.raises(StreamError, match="closed before"):
            client.command("get_status")


def test_pictures_come_on_a_connection_of_their_own_and_block_nothing() -> None:
    subscribed: list[list[str]] = []
    flood = threading.Event()

    def device(caller: Caller) -> None:
        hello = caller.accept()
        subscribed.append(hello["subscribe"])
        if hello["subscribe"] == ["frames"]:
            assert hello["frames"] == {"quality": 60}
            assert "consumer" not in hello
            caller.send({"type": "detection_result"}, alert(99))
            for number in range(MAX_FRAMES + 3):
                caller.picture(number, b"\xff\xd8" + bytes(300_000))
            flood.set()
        else:
            wait_until(flood.is_set)
            caller.send(alert(1))
        caller.wait_for_end()

    options: dict[str, Any] = {"consumer": "c", "frames": Frames(quality=60)}
    with scripted(device) as peer, Subscriber(*peer.address, **options) as client:
        wait_until(lambda: client.frames_dropped == 3 and len(client._inbox._kept) == 4)
        found = [event for event in itertools.islice(client, 4 + MAX_FRAMES) if not isinstance(event, Connected)]
    assert kinds(found) == ["Welcome", "HelloOk", "Alert"] + MAX_FRAMES * ["VideoFrame"]
    pictures = [event for event in found if isinstance(event, VideoFrame)]
    assert [picture.frame_id for picture in pictures] == [3, 4, 5, 6]
    assert all(picture.jpeg == b"\xff\xd8" + bytes(300_000) for picture in pictures)
    assert subscribed == [["alerts", "detections", "health"], ["frames"]]


def test_pictures_come_back_after_a_cut_of_theirs() -> None:
    def device(caller: Caller) -> None:
        if caller.accept()["subscribe"] == ["frames"]:
            caller.picture(1, b"jpeg")
            caller.send(b"\x00\x00")
        else:
            caller.wait_for_end()

    with scripted(device) as peer, Subscriber(*peer.address, frames=True) as client:
        events = list(itertools.islice((event for event in client if isinstance(event, (VideoFrame, FramesLost))), 4))
    lost = next(event for event in events if isinstance(event, FramesLost))
    assert "middle of a message" in lost.reason
    assert lost.retry_s is not None


def test_a_port_without_pictures_says_so_once() -> None:
    def device(caller: Caller) -> None:
        caller.accept(subscribed=["alerts"])
        caller.wait_for_end()

    with scripted(device) as peer, Subscriber(*peer.address, frames=True) as client:
        lost = until(FramesLost, client)[-1]
        assert lost == FramesLost("the device sends no pictures on this port", None)
        assert client.take(0.05) is None
        assert peer.connections == 2


def test_of_results_the_oldest_go_and_alerts_stay() -> None:
    def device(caller: Caller) -> None:
        caller.accept()
        for number in range(1, MAX_RESULTS + 11):
            caller.send({"type": "detection_result", "frame_id": number})
            if number <= 20:
                caller.send(alert(number))
        caller.wait_for_end()

    with scripted(device) as peer, Subscriber(*peer.address) as client:
        wait_until(lambda: client.results_dropped == 10)
        events = list(itertools.islice(client, 3 + MAX_RESULTS + 20))
    numbers = [event.frame_id for event in events if isinstance(event, DetectionResult)]
    assert numbers == list(range(11, MAX_RESULTS + 11))
    assert [event.seq for event in events if isinstance(event, Alert)] == list(range(1, 21))


def test_an_application_that_takes_nothing_loses_the_connection_and_no_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "PAUSE_S", 0.1)
    total = 20_000
    padding = "x" * 500  # more than the buffers of both sides hold

    def device(caller: Caller) -> None:
        caller.welcome(next_seq=1)
        after = caller.hear()["resume"]["after"]
        caller.hello_ok(after + 1)
        for seq in range(after + 1, total + 1):
            caller.send(alert(seq, message=padding))
        caller.wait_for_end()

    with scripted(device) as peer, Subscriber(*peer.address) as client:
        wait_until(lambda: len(client._inbox._kept) >= MAX_KEPT)
        wait_until(lambda: client._engine.session is None)
        assert len(client._inbox._kept) < MAX_KEPT + 300
        events = (event for event in client if isinstance(event, (Alert, Lost)))
        seen = [next(events) for _ in range(total + 1)]
    assert [event.seq for event in seen if isinstance(event, Alert)] == list(range(1, total + 1))
    assert sum(isinstance(event, Lost) for event in seen) == 1
    lost = next(event for event in seen if isinstance(event, Lost))
    assert lost.reason == "the application took nothing for 0.1 s"


def test_random_cuts_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """Resets in the middle of messages, copies without numbers, and new runs of the client from its cursor file."""
    random_ = random.Random(7)
    total = 600

    def device(caller: Caller) -> None:
        caller.welcome(next_seq=total + 1)
        resume = caller.hear()["resume"]
        start = resume["after"] + 1 if resume["stream"] == STREAM else 1
        caller.hello_ok(start, "ok" if resume["stream"] == STREAM else "reset")
        data = b""
        for seq in range(start, total + 1):
            if random_.random() < 0.2:
                data += caller.framed(alert(None, event_uid=f"event-{seq}"))
            data += caller.framed(alert(seq))
        cut = random_.randrange(1, 20_000)
        caller.send(data[:cut])
        if random_.random() < 0.3:
            caller.reset()
        if cut >= len(data):
            caller.wait_for_end()

    given: list[str] = []
    store = FileCursor(tmp_path / "a folder" / "cursor", durable=False)
    with scripted(device) as peer:
        while len(given) < total:
            with Subscriber(*peer.address, consumer="chaos", cursor=store, start="oldest") as client:
                for found in of(Alert, client, min(100, total - len(given))):
                    given.append(found.event_uid)
                    # Acked before a copy's number came, a run that ends here would give it again, as a crash would.
                client.ack(found) if found.seq is not None else wait_for_number(client, found)
        assert peer.connections > 10
    assert given == [f"event-{seq}" for seq in range(1, total + 1)]


def wait_for_number(client: Subscriber, given: Alert) -> None:
    """Go on until the numbered copy of an alert has moved the cursor; it comes before the next alert."""
    number = int(given.event_uid.removeprefix("event-"))
    while client._done is None or client._done.seq < number:
        item = client._inbox.take(5)
        assert item is not None
        assert item.event is None or not isinstance(item.event, Alert)
        if item.cursor is not None:
            client._advance(item.cursor)


def test_a_cursor_file_is_whole_or_named_as_damaged(tmp_path: Path) -> None:
    store = FileCursor(tmp_path / "sub" / "cursor")
    assert store.load() is None
    store.save(Cursor("s", 3))
    assert store.load() == Cursor("s", 3)
    assert json.loads(store.path.read_text()) == {"stream": "s", "seq": 3}
    store.path.write_text('{"stream": "s"')
    with pytest.raises(StateError, match="is no cursor"):
        store.load()
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be written"):
        FileCursor(tmp_path / "file" / "cursor").save(Cursor("s", 3))
    with pytest.raises(StateError, match="cannot be read"):
        FileCursor(tmp_path).load()


@pytest.mark.parametrize(
    "options",
    [
        {"consumer": "a b"},
        {"consumer": "x" * 65},
        {"frames": Frames(quality=5)},
        {"client": "x" * 200},
        {"heartbeat_s": 0.0},
        {"consumer": "c", "hello": "never"},
        {"cursor": Kept(), "hello": "offered"},
        {"subscribe": "alerts"},
        {"subscribe": ["alert"]},
        {"start": "begin"},
        {"hello": "sometimes"},
        {"idle_s": 0.0},
        {"frames": {"quality": 60}},
        {"tls": True},
        {"login": "keys.toml"},
        {"cursor": "cursor.json"},
        {"cursor": Kept(("s", 3))},  # type: ignore[arg-type]
        {"cursor": Kept(Cursor("x" * 65, 3))},
    ],
)
def test_settings_that_the_device_would_refuse_are_refused_here(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Subscriber("127.0.0.1", 1, **options)


def test_an_old_device_is_followed_as_a_plain_client_where_that_was_allowed() -> None:
    def old(caller: Caller) -> None:
        caller.send({"type": "welcome", "device_id": "edge-01"})
        caller.send({"type": "alert", "alert_id": "alert_1"}, {"type": "alert", "alert_id": "alert_1"})
        caller.picture(4, b"jpeg")
        with pytest.raises(EOFError):
            caller.hear()

    with scripted(old) as peer:
        with Subscriber(*peer.address, hello="offered", frames=True) as client:
            assert kinds(until(VideoFrame, client)) == ["Connected", "Welcome", "Alert", "Alert", "VideoFrame"]
            assert client.session is None
        with Subscriber(*peer.address) as client:
            lost = until(Lost, client)[-1]
            assert "too old for hello" in str(lost)


def test_a_client_that_never_says_hello_sends_nothing() -> None:
    def device(caller: Caller) -> None:
        caller.welcome()
        caller.send(alert(5), alert(9))
        with pytest.raises(EOFError):
            caller.hear()

    with scripted(device) as peer, Subscriber(*peer.address, hello="never") as client:
        assert [found.seq for found in of(Alert, client, 2)] == [5, 9]
        with pytest.raises(StreamError, match="never says hello"):
            client.command("get_status")


def test_another_protocol_is_not_spoken() -> None:
    def device(caller: Caller) -> None:
        caller.welcome(version=2)
        caller.wait_for_end()

    with scripted(device) as peer, Subscriber(*peer.address) as client:
        assert "speaks protocol 2" in str(until(Lost, client)[-1])


def test_what_begins_with_no_welcome_is_no_device() -> None:
    with scripted(lambda caller: caller.send({"type": "hi"})) as peer, Subscriber(*peer.address) as client:
        assert "not with a welcome" in str(until(Lost, client)[-1])


def test_the_reader_is_told_what_broke_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(engine, "resolve", broken)
    with Subscriber("127.0.0.1", 1) as client, pytest.raises(RuntimeError, match="a bug"):
        next(client)


def test_a_command_is_answered_while_many_alerts_wait() -> None:
    total = 3 * MAX_KEPT

    def device(caller: Caller) -> None:
        caller.accept()
        caller.send(*[alert(seq, message="x" * 500) for seq in range(1, total + 1)])
        asked = caller.hear()
        caller.send({"type": "command_result", "id": asked["id"], "ok": True, "result": 5})
        caller.wait_for_end()

    with scripted(device) as peer, Subscriber(*peer.address) as client:
        of(Alert, client, 1)
        wait_until(lambda: client._engine.paused)
        assert client.command("get_status") == 5
        assert [found.seq for found in of(Alert, client, total - 1)] == list(range(2, total + 1))


@pytest.mark.parametrize("seq", [2**60, -1, 1.5, True, "1"])
def test_a_number_that_is_none_moves_no_cursor(seq: Any) -> None:
    def device(caller: Caller) -> None:
        caller.accept()
        caller.send(alert(None, event_uid="odd") | {"seq": seq, "stream": STREAM}, alert(1))
        caller.wait_for_end()

    store = Kept()
    with scripted(device) as peer, Subscriber(*peer.address, cursor=store) as client:
        assert of(Alert, client, 1)[0].seq == 1
        client.take(0)
    assert store.numbers == [0, 1]


def test_what_a_device_says_cannot_steer_a_terminal() -> None:
    def device(caller: Caller) -> None:
        caller.accept()
        caller.send({"type": "error", "code": "bad_json", "message": "\x1b[2Jno\nway", "fatal": True})
        caller.wait_for_end()

    with scripted(device) as peer, Subscriber(*peer.address) as client:
        assert str(until(Lost, client)[-1]).startswith(r"the device refused: \x1b[2Jno\nway (bad_json)")


def test_the_last_ack_is_sent_before_it_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.stream.client.outgoing.ACK_S", 100.0)
    acks: list[int] = []

    def device(caller: Caller) -> None:
        caller.accept()
        caller.send(alert(1), alert(2), *[{"type": "detection_result"} for _ in range(500)])
        while True:
            acks.append(caller.hear()["seq"])

    with scripted(device) as peer, Subscriber(*peer.address, consumer="c") as client:
        one, two = of(Alert, client, 2)
        client.ack(one)
        wait_until(lambda: acks)
        client.ack(two)
        client.close()
        wait_until(lambda: acks == [1, 2])


def test_results_do_not_wait_behind_pictures() -> None:
    def device(caller: Caller) -> None:
        caller.welcome()
        caller.picture(1, b"jpeg")
        caller.send({"type": "detection_result"}, alert(1))
        caller.wait_for_end()

    with scripted(device) as peer, Subscriber(*peer.address, hello="never") as client:
        client.start()
        wait_until(lambda: len(client._inbox._kept) == 3)
        events = list(itertools.islice(client, 5))
    assert kinds(events) == ["Connected", "Welcome", "DetectionResult", "Alert", "VideoFrame"]
