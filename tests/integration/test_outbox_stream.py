"""Alerts from the disk to the wire: publisher, a real outbox, the server. The ids are of docs/protocol.md."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edge.config import Listener
from edge.config import Outbox as OutboxSettings
from edge.errors import StateError
from edge.stream import replay as replaying
from edge.types import StoredAlert, StreamBounds
from tests.streaming import Keeping, in_thread, keeping, make_alert, make_result, serving
from tests.support import wait_until
from tests.talking import Talker

LOCAL = Listener(host="127.0.0.1", port=0)
ALERTS: dict[str, Any] = {"subscribe": ["alerts"]}


pytestmark = pytest.mark.usefixtures("leaves_nothing")


def bounds(served: Keeping) -> StreamBounds:
    found = served.outbox.bounds
    assert found is not None
    return found


def after(served: Keeping, number: int) -> dict[str, Any]:
    """The fields of a hello that resumes after this number."""
    return ALERTS | {"resume": {"stream": bounds(served).stream, "after": number}}


# --- numbers


def test_an_alert_is_on_disk_before_it_is_sent(tmp_path: Path) -> None:
    """[EDGE-9-1]"""
    with keeping(tmp_path) as served, served.session(**ALERTS) as client:
        for number in range(1, 50):
            served.publish(number)
            alert = client.until("alert")
            assert (alert["seq"], alert["durable"], alert["replay"]) == (number, True, False)
            with contextlib.closing(sqlite3.connect(f"file:{tmp_path / 'outbox.db'}?mode=ro", uri=True)) as disk:
                assert disk.execute("SELECT max(seq) FROM alerts").fetchone() == (number,)
            disk.close()


def test_numbers_go_on_over_restarts_of_the_device(tmp_path: Path) -> None:
    """[EDGE-9-1]"""
    seen = []
    for start in (1, 11, 21):
        with keeping(tmp_path) as served, served.session(**ALERTS) as client:
            served.publish(*range(start, start + 10))
            seen += [(alert["stream"], alert["seq"]) for alert in client.alerts(10)]
    assert seen == [(seen[0][0], number) for number in range(1, 31)]


def test_welcome_and_hello_ok_say_what_is_stored(tmp_path: Path) -> None:
    """[EDGE-4-1] [EDGE-4-11] [EDGE-9-6]"""
    with keeping(tmp_path, outbox=OutboxSettings(max_alerts=10)) as served:
        served.stored(*range(1, 31))
        stream = bounds(served).stream
        with served.talker() as client:
            hello_ok = client.hello()
            for fields in (client.welcome["protocol"], hello_ok):
                assert (fields["stream"], fields["oldest_seq"], fields["next_seq"]) == (stream, 21, 31)
            assert hello_ok["resume"] == {"status": "ok", "from": 31, "missed": 0}


# --- resuming


@pytest.mark.parametrize(
    ("number", "stream", "status", "start", "missed"),
    [
        (29, None, "ok", 30, 0),
        (30, None, "ok", 31, 0),
        (20, None, "ok", 21, 0),
        (19, None, "gap", 21, 1),
        (0, None, "gap", 21, 20),
        (31, None, "reset", 21, 0),
        (1 << 53, None, "reset", 21, 0),
        (30, "another", "reset", 21, 0),
    ],
)
def test_what_follows_a_resume_is_what_hello_ok_said(
    tmp_path: Path, number: int, stream: str | None, status: str, start: int, missed: int
) -> None:
    """[EDGE-9-6] [EDGE-9-7] [EDGE-9-8]"""
    with keeping(tmp_path, outbox=OutboxSettings(max_alerts=10)) as served:
        served.stored(*range(1, 31))
        with served.talker() as client:
            hello_ok = client.hello(**ALERTS, resume={"stream": stream or bounds(served).stream, "after": number})
            assert hello_ok["resume"] == {"status": status, "from": start, "missed": missed}
            alerts = client.alerts(31 - start)
            served.publish(31, 32)  # not before: there is room for ten, and these push two of the others out
            alerts += client.alerts(2)
            assert [alert["seq"] for alert in alerts] == list(range(start, 33))
            for alert in alerts:
                assert alert["event_uid"] == f"event-{alert['seq']}"
                assert alert["durable"] is True
                assert alert["age_s"] == pytest.approx(time.time() - alert["timestamp"], abs=60)
            assert all(alert["replay"] for alert in alerts[:-2])


def test_ten_thousand_alerts_to_a_slow_reader_while_more_come(tmp_path: Path) -> None:
    """[EDGE-9-7] [EDGE-9-12] [EDGE-5-5]"""
    total = 10_000
    with keeping(tmp_path) as served:
        for number in range(1, total + 1):
            if number % 500 == 0:
                wait_until(lambda: served.outbox.counters().waiting == 0)
            served.outbox.append(make_alert(number))
        wait_until(lambda: bounds(served).next_seq == total + 1)
        with Talker(served.server.addresses[0], receive_buffer=4096) as client:
            client.hello(**after(served, 0))
            publish = in_thread(partial(publish_slowly, served, range(total + 1, total + 301)))
            for number in range(1, total + 301):
                alert = client.until("alert")
                assert alert["seq"] == number
                if number % 1000 == 0:
                    threading.Event().wait(0.05)  # a reader that rests now and then
            publish()


def publish_slowly(served: Keeping, numbers: range) -> None:
    for number in numbers:
        served.publish(number)
        threading.Event().wait(0.002)


def test_alerts_that_happen_during_a_replay_come_after_it_and_once(tmp_path: Path) -> None:
    """[EDGE-9-7] [EDGE-9-12]"""
    with keeping(tmp_path) as served:
        served.stored(*range(1, 301))
        publish = in_thread(partial(publish_slowly, served, range(301, 601)))
        for number in range(0, 300, 30):
            with served.session(**after(served, number)) as client:
                assert client.seqs(320 - number) == list(range(number + 1, 321))
        publish()


@pytest.mark.parametrize("mode", ["separate", "batch", "both"])
@pytest.mark.parametrize("resumes", [True, False])
def test_a_hello_between_two_alerts_loses_none_and_repeats_none(tmp_path: Path, mode: str, resumes: bool) -> None:
    """[EDGE-9-12] [EDGE-3-9] [EDGE-4-9] In a tight loop of alerts, a hello at every moment."""
    stop = threading.Event()
    with keeping(tmp_path, alerts=mode, max_clients_per_address=32) as served:  # type: ignore[arg-type]

        def publish() -> int:
            for number in range(1, 100_000):
                served.publish(number)
                if stop.wait(0.0005 if number % 3 else 0.003):
                    break
            return number

        published = in_thread(publish)
        try:
            for _ in range(60):
                with served.talker() as client:
                    before = plain_seqs(client, 1)
                    fields = after(served, max(before)) if resumes else ALERTS
                    hello_ok = client.hello(**fields)
                    before += [seq for message in client.passed for seq in numbers_in(message)]
                    assert before == list(range(before[0], before[0] + len(before))) or mode == "both"
                    if not resumes:
                        assert hello_ok["resume"]["from"] == max(before) + 1, "the first one that was not sent"
                    first = hello_ok["resume"]["from"]
                    messages = [client.read() for _ in range(20)]
                    assert {message["type"] for message in messages} == {"alert"}
                    assert [alert["seq"] for alert in messages] == list(range(first, first + 20))
        finally:
            stop.set()
            published()


def plain_seqs(client: Talker, least: int) -> list[int]:
    seqs: list[int] = []
    while len(seqs) < least:
        seqs += numbers_in(client.read())
    return seqs


def numbers_in(message: dict[str, Any]) -> list[int]:
    alerts = [message] if message["type"] == "alert" else message.get("alerts", [])
    return [alert["seq"] for alert in alerts]


def test_a_hello_while_an_alert_is_on_disk_and_not_yet_published_does_not_lose_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[EDGE-9-12] [EDGE-8-9] The moment between commit and hub, made long."""
    with keeping(tmp_path) as served:
        served.stored(1)
        go_on, tell = threading.Event(), served.publisher.on_stored

        def tell_late(batch: Sequence[StoredAlert]) -> None:
            assert go_on.wait(20)
            tell(batch)

        monkeypatch.setattr(served.publisher, "on_stored", tell_late)
        served.publish(2)
        wait_until(lambda: bounds(served).next_seq == 3)
        with served.talker() as client:
            assert client.hello(consumer="backend", **ALERTS)["resume"]["from"] == 2
            assert served.outbox.consumers() == {"open/backend": 1}
            assert client.seqs(1) == [2]
            go_on.set()
            served.publish(3)
            assert client.seqs(1) == [3]
            assert client.round_trip() == []


def test_retention_that_overtakes_a_replay_is_a_goodbye_and_then_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[EDGE-9-11] [EDGE-9-5]"""
    monkeypatch.setattr(replaying, "PAGE_BELOW", 0)
    with keeping(tmp_path, outbox=OutboxSettings(max_alerts=200)) as served:
        served.stored(*range(1, 201))
        with Talker(served.server.addresses[0], receive_buffer=4096) as client:
            stuffed = threading.Event()
            monkeypatch.setattr(served.outbox, "read", partial(read_when, stuffed, served.outbox.read))
            client.hello(**after(served, 0))
            served.stored(*range(201, 401))  # the first page is asked for and not read yet
            stuffed.set()
            messages = client.end()
            alerts = [message["seq"] for message in messages if message["type"] == "alert"]
            assert alerts == list(range(1, len(alerts) + 1))
            assert (messages[-1]["type"], messages[-1]["reason"]) == ("goodbye", "gap")
        with served.talker() as client:
            hello_ok = client.hello(**after(served, len(alerts)))
            assert hello_ok["resume"] == {"status": "gap", "from": 201, "missed": 200 - len(alerts)}
            assert client.seqs(200) == list(range(201, 401))


def read_when(ready: threading.Event, read: Any, number: int, limit: int) -> tuple[StoredAlert, ...]:
    assert ready.wait(20)
    found: tuple[StoredAlert, ...] = read(number, limit)
    return found


def test_a_page_that_cannot_be_read_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[EDGE-9-7]"""
    monkeypatch.setattr(replaying, "RETRY_S", 0.0)
    with keeping(tmp_path) as served:
        served.stored(*range(1, 101))
        read, failures = served.outbox.read, [1, 2, 3]

        def fail(number: int, limit: int) -> tuple[StoredAlert, ...]:
            if failures:
                failures.pop()
                raise StateError("the disk does not answer")
            return read(number, limit)

        monkeypatch.setattr(served.outbox, "read", fail)
        with served.session(**after(served, 0)) as client:
            served.publish(101)
            assert client.seqs(101) == list(range(1, 102))
            assert not failures


# --- topics


def test_alerts_subscribed_to_again_go_on_by_one(tmp_path: Path) -> None:
    """[EDGE-8-15] [EDGE-8-14] [EDGE-5-10]"""
    with keeping(tmp_path) as served, served.session(**ALERTS) as client:
        served.publish(1, 2)
        assert client.seqs(2) == [1, 2]
        for start in (3, 6, 9):
            client.send({"type": "unsubscribe", "subscribe": ["alerts"]})
            client.round_trip()
            served.stored(start, start + 1)
            assert client.round_trip() == []
            client.send({"type": "subscribe", "subscribe": ["alerts"]})
            missed = client.alerts(2)
            assert [(alert["seq"], alert["replay"]) for alert in missed] == [(start, True), (start + 1, True)]
            served.publish(start + 2)
            assert client.seqs(1) == [start + 2]


def test_unsubscribing_ends_a_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[EDGE-5-10] [EDGE-8-15]"""
    with keeping(tmp_path) as served:
        served.stored(*range(1, 301))
        ready = threading.Event()
        monkeypatch.setattr(served.outbox, "read", partial(read_when, ready, served.outbox.read))
        with served.session(**after(served, 0)) as client:
            client.send({"type": "unsubscribe", "subscribe": ["alerts"]})
            client.round_trip()
            ready.set()
            wait_until(lambda: served.server._reader._jobs.empty())
            for _ in range(20):
                assert client.round_trip() == []
            client.send({"type": "subscribe", "subscribe": ["alerts"]})
            assert client.seqs(300) == list(range(1, 301))


def test_subscribing_and_unsubscribing_in_a_tight_loop_of_alerts(tmp_path: Path) -> None:
    """[EDGE-8-15] [EDGE-9-7]"""
    with keeping(tmp_path) as served, served.session(**ALERTS) as client:
        publish = in_thread(partial(publish_slowly, served, range(1, 401)))
        seen: list[int] = []
        while len(seen) < 400:
            client.send({"type": "unsubscribe", "subscribe": ["alerts"]})
            client.send({"type": "subscribe", "subscribe": ["alerts"]})
            seen += [message["seq"] for message in client.round_trip()]
        publish()
        assert seen == list(range(1, 401))


# --- consumers


def test_a_consumer_begins_at_now_and_its_acks_are_kept(tmp_path: Path) -> None:
    """[EDGE-8-9] [EDGE-8-12]"""
    with keeping(tmp_path) as served:
        served.stored(*range(1, 11))
        with served.session(consumer="backend", **ALERTS) as client:
            assert served.outbox.consumers() == {"open/backend": 10}
            served.stored(*range(11, 16))
            stream = bounds(served).stream
            client.send(*({"type": "ack", "stream": stream, "seq": seq} for seq in (12, 13, 11, 0)))
            assert [m["type"] for m in client.round_trip()] == ["alert"] * 5
            assert served.outbox.consumers() == {"open/backend": 13}
    with keeping(tmp_path) as served, served.talker() as client:
        hello_ok = client.hello(consumer="backend", resume="last_ack", **ALERTS)
        assert hello_ok["resume"] == {"status": "ok", "from": 14, "missed": 0}
        assert client.seqs(2) == [14, 15]


@pytest.mark.parametrize(("number", "acked"), [(4, 4), (0, 0), (10, 10), (99, 0)])
def test_a_consumer_that_resumes_begins_where_its_alerts_do(tmp_path: Path, number: int, acked: int) -> None:
    """[EDGE-8-9]"""
    with keeping(tmp_path) as served:
        served.stored(*range(1, 11))
        with served.session(consumer="backend", **after(served, number)) as client:
            assert served.outbox.consumers() == {"open/backend": acked}
            assert client.seqs(10 - acked) == list(range(acked + 1, 11))


def test_an_unknown_consumer_with_last_ack_begins_at_now(tmp_path: Path) -> None:
    """[EDGE-9-6] [EDGE-8-9]"""
    with keeping(tmp_path) as served:
        served.stored(1, 2)
        with served.talker() as client:
            hello_ok = client.hello(consumer="new", resume="last_ack", **ALERTS)
            assert hello_ok["resume"] == {"status": "ok", "from": 3, "missed": 0}


def test_last_ack_without_a_consumer_is_told_and_begins_at_now(tmp_path: Path) -> None:
    """[EDGE-9-10]"""
    with keeping(tmp_path) as served:
        served.stored(1, 2)
        with served.talker() as client:
            assert client.hello(resume="last_ack", **ALERTS)["resume"]["from"] == 3
            error = client.read()
            assert (error["code"], error["fatal"]) == ("bad_message", False)
            served.publish(3)
            assert client.seqs(1) == [3]


def test_a_consumer_without_a_place_has_a_session_without_its_name(tmp_path: Path) -> None:
    """[EDGE-8-10] [EDGE-8-13]"""
    with keeping(tmp_path) as served:
        for number in range(8):
            served.session(consumer=f"backend-{number}").close()
        with served.session(consumer="backend-3") as known:
            assert [message["type"] for message in known.round_trip()] == ["health"]
        with served.session(consumer="one-more", **ALERTS) as client:
            error = client.read()
            assert (error["code"], error["fatal"]) == ("too_many_consumers", False)
            served.publish(1)
            assert client.seqs(1) == [1]
            client.send({"type": "ack", "stream": bounds(served).stream, "seq": 1})
            assert [message["code"] for message in client.round_trip()] == ["bad_message"]
        assert "open/one-more" not in served.outbox.consumers()


def test_two_sessions_of_one_consumer_both_get_all_and_the_higher_ack_counts(tmp_path: Path) -> None:
    """[EDGE-8-11]"""
    with keeping(tmp_path) as served:
        fields = ALERTS | {"consumer": "backend"}
        with served.session(**fields) as first, served.session(**fields) as second:
            served.publish(*range(1, 11))
            assert first.seqs(10) == second.seqs(10) == list(range(1, 11))
            for client, seq in ((first, 7), (second, 9), (first, 8)):
                client.send({"type": "ack", "stream": bounds(served).stream, "seq": seq})
                assert client.round_trip() == []
            assert served.outbox.consumers() == {"open/backend": 9}


def test_wrong_acks_change_nothing(tmp_path: Path) -> None:
    """[EDGE-8-13]"""
    with keeping(tmp_path) as served:
        served.stored(1, 2)
        stream = bounds(served).stream
        with served.session(consumer="backend", **after(served, 0)) as client, served.session(**ALERTS) as nameless:
            client.alerts(2)
            for each, seen, seq in ((client, "another", 1), (client, stream, 3), (nameless, stream, 1)):
                each.send({"type": "ack", "stream": seen, "seq": seq})
                assert [message["code"] for message in each.round_trip()] == ["bad_message"]
            assert served.outbox.consumers() == {"open/backend": 0}
            client.send({"type": "ack", "stream": stream, "seq": 2})
            assert client.round_trip() == []
            assert served.outbox.consumers() == {"open/backend": 2}


def test_plain_clients_get_firing_alerts_alone_and_each_once(tmp_path: Path) -> None:
    """[EDGE-4-10]"""
    with keeping(tmp_path) as served, served.talker() as plain, served.session(**ALERTS) as client:
        resolved = replace(make_alert(1), state="resolved")
        served.publish(1)
        served.publisher.publish_result(make_result(2, resolved))
        served.publish(3)
        assert [(a["event_uid"], a["state"]) for a in client.alerts(3)] == [
            *[("event-1", "firing"), ("event-1", "resolved"), ("event-3", "firing")],
        ]
        messages = [plain.read() for _ in range(5)]
        assert [m["event_uid"] for m in messages if m["type"] == "alert"] == ["event-1", "event-3"]
        assert [m["frame_id"] for m in messages if m["type"] == "detection_result"] == [1, 2, 3]


def test_a_plain_hello_to_a_device_without_an_outbox_has_no_resume() -> None:
    """[EDGE-9-3]"""
    with serving() as served, served.talker() as client:
        assert "stream" not in client.welcome["protocol"]
        hello_ok = client.hello(consumer="backend", resume="last_ack")
        assert not {"resume", "stream", "oldest_seq", "next_seq"} & set(hello_ok)
        served.hub.publish_result(make_result(1, make_alert(1)))
        alert = client.until("alert")
        assert (alert["durable"], "seq" in alert, "stream" in alert) == (False, False, False)


def test_stopping_in_the_middle_of_everything_ends_each_session_with_a_goodbye(tmp_path: Path) -> None:
    """[EDGE-3-13] [EDGE-9-7] Some replay, some are live, some do not read, and alerts are published all the time."""
    stop = threading.Event()

    def publish(served: Keeping) -> None:
        for number in range(1001, 100_000):
            served.publish(number)
            if stop.wait(0.0005):
                return

    with keeping(tmp_path) as served:
        served.stored(*range(1, 1001))
        published = in_thread(partial(publish, served))
        sessions = [served.session(**after(served, start)) for start in (0, 0, 500, 900, 1000)]
        readers = [in_thread(client.end) for client in sessions]
        stalled = Talker(served.server.addresses[0], receive_buffer=4096)
        stalled.hello(**after(served, 0))
        wait_until(lambda: bounds(served).next_seq > 1100)
        served.server.stop()
        for read, client in zip(readers, sessions, strict=True):
            messages = read()
            seqs = [message["seq"] for message in messages if message["type"] == "alert"]
            assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
            assert [message["type"] for message in messages if message["type"] != "alert"] == ["goodbye"]
            assert messages[-1]["type"] == "goodbye"
            client.close()
        stalled.close()
        stop.set()
        published()
