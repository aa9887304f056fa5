"""What clients see when the disk is slow, fails, or is another one. The ids are statements of docs/protocol.md."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.errors import StateError
from tests.streaming import Keeping, keeping, make_alert, make_result
from tests.support import wait_until
from tests.talking import Talker

ALERTS: dict[str, Any] = {"subscribe": ["alerts"]}


pytestmark = pytest.mark.usefixtures("leaves_nothing")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """No commit can be done meanwhile."""
    with contextlib.closing(sqlite3.connect(folder / "outbox.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def copies(client: Talker, count: int) -> list[tuple[str, bool, int | None]]:
    return [(alert["event_uid"], alert["durable"], alert.get("seq")) for alert in client.alerts(count)]


def stream_of(served: Keeping) -> str:
    assert served.outbox.bounds is not None
    return served.outbox.bounds.stream


def test_an_alert_that_the_disk_is_slow_for_is_sent_at_once_and_again_with_its_number(tmp_path: Path) -> None:
    """[EDGE-9-2] [EDGE-4-10]"""
    with keeping(tmp_path, slow_s=0.05) as served, served.talker() as plain, served.session(**ALERTS) as client:
        with locked(tmp_path):
            served.publish(1)
            assert copies(client, 1) == [("event-1", False, None)]
            alert = plain.until("alert")
            assert (alert["event_uid"], alert["durable"], "seq" in alert) == ("event-1", False, False)
            assert plain.read()["frame_id"] == 1
        assert copies(client, 1) == [("event-1", True, 1)]
        served.stored(2)
        assert copies(client, 1) == [("event-2", True, 2)]
        assert plain.until("alert")["event_uid"] == "event-2", "the second copy is for sessions"


def test_results_keep_their_order_behind_an_alert_that_waits_for_the_disk(tmp_path: Path) -> None:
    """[EDGE-9-1] [EDGE-9-2]"""
    with keeping(tmp_path, slow_s=60) as served, served.talker() as plain:
        with locked(tmp_path):
            served.publish(1)
            for number in (2, 3):
                served.publisher.publish_result(make_result(number))
            assert served.publisher.check() is not None
        assert [(m["type"], m["frame_id"]) for m in (plain.read() for _ in range(4))] == [
            *[("alert", 1), ("detection_result", 1), ("detection_result", 2), ("detection_result", 3)],
        ]


def test_both_states_of_one_event_have_a_second_copy_each(tmp_path: Path) -> None:
    """[EDGE-9-2]"""
    with keeping(tmp_path, slow_s=0.05) as served, served.session(**ALERTS) as client:
        with locked(tmp_path):
            served.publish(1)
            served.publisher.publish_result(make_result(2, replace(make_alert(1), state="resolved")))
            states = [(alert["state"], alert["durable"]) for alert in client.alerts(2)]
            assert states == [("firing", False), ("resolved", False)]
        again = [(alert["state"], alert["seq"], alert["event_uid"]) for alert in client.alerts(2)]
        assert again == [("firing", 1, "event-1"), ("resolved", 2, "event-1")]


def test_a_disk_that_fails_and_recovers_in_a_session(tmp_path: Path) -> None:
    """[EDGE-9-2] [EDGE-9-7] While it is known to fail nobody waits for it; the numbers go on."""
    with keeping(tmp_path, slow_s=0.05) as served, served.session(consumer="backend", **ALERTS) as client:
        served.publish(1)
        assert copies(client, 1) == [("event-1", True, 1)]
        with locked(tmp_path):
            served.publish(2)
            assert copies(client, 1) == [("event-2", False, None)]
            wait_until(lambda: not served.outbox.healthy, 20)
            for number in (3, 4):
                served.publish(number)
                assert served.publisher.check() is None, "it waits for nothing"
                assert copies(client, 1) == [(f"event-{number}", False, None)]
        assert copies(client, 3) == [(f"event-{number}", True, number) for number in (2, 3, 4)]
        served.publish(5)
        assert copies(client, 1) == [("event-5", True, 5)]


def test_a_session_begun_while_alerts_wait_for_the_disk_gets_them_by_number(tmp_path: Path) -> None:
    """[EDGE-9-2] [EDGE-9-12]"""
    with keeping(tmp_path, slow_s=0.05) as served:
        served.stored(1)
        with served.talker() as client:
            with locked(tmp_path):
                served.publish(2)
                alert = client.until("alert")
                assert (alert["event_uid"], alert["durable"]) == ("event-2", False)
                assert client.hello(**ALERTS)["resume"]["from"] == 2
                served.publish(3)
                assert copies(client, 1) == [("event-3", False, None)]
            assert copies(client, 2) == [("event-2", True, 2), ("event-3", True, 3)]


@pytest.mark.parametrize("mode", ["separate", "batch", "both"])
def test_an_alert_without_a_number_that_waits_unsent_at_the_hello_is_not_lost(tmp_path: Path, mode: str) -> None:
    """[EDGE-9-12] [EDGE-4-9]"""
    with keeping(tmp_path, slow_s=0.01, alerts=mode) as served:  # type: ignore[arg-type]
        client = Talker(served.server.addresses[0], receive_buffer=4096)
        with client:
            for number in range(1, 400):  # until the kernel takes no more, and then some
                served.hub.publish_result(make_result(number, padding=20_000))
            wait_until(lambda: served.hub.counters().results_dropped > 64)
            served.hub.publish_result(make_result(1000, make_alert(1000)))
            client.send({"type": "hello", "protocol": 1} | ALERTS)
            client.until("hello_ok", client.passed)
            assert not any("alerts" in message and message["frame_id"] == 1000 for message in client.passed)
            assert copies(client, 1) == [("event-1000", False, None)]
            assert client.round_trip() == []


def test_a_new_stream_in_a_session_is_a_goodbye_and_then_a_reset(tmp_path: Path) -> None:
    """[EDGE-9-4] [EDGE-9-11] The damaged file is moved aside while a session goes on."""
    with keeping(tmp_path) as served:
        served.stored(*range(1, 2001))
    file = tmp_path / "outbox.db"
    with keeping(tmp_path, slow_s=0.5) as served:
        old = stream_of(served)
        with served.session(consumer="backend", **ALERTS) as client:
            file.write_bytes(b"\xff" * file.stat().st_size)
            with pytest.raises(StateError, match="is damaged"):
                served.outbox.read(0, 2000)
            served.publish(2001)
            messages = client.end()
            assert (messages[-1]["type"], messages[-1]["reason"]) == ("goodbye", "gap")
        wait_until(lambda: served.outbox.bounds and served.outbox.bounds.stream != old)
        assert [path.name for path in tmp_path.iterdir() if "damaged" in path.name]
        with served.talker() as client:
            hello_ok = client.hello(**ALERTS, consumer="backend", resume={"stream": old, "after": 10})
            assert hello_ok["resume"] == {"status": "reset", "from": 1, "missed": 0}
            assert hello_ok["stream"] == stream_of(served) != old
            assert copies(client, 1) == [("event-2001", True, 1)]


def test_an_outbox_that_opens_during_a_session_ends_it_with_a_gap(tmp_path: Path) -> None:
    """[EDGE-9-3] [EDGE-9-11]"""
    folder = tmp_path / "not there yet"
    with keeping(folder) as served:
        with served.session(consumer="backend", **ALERTS) as client:
            assert client.round_trip() == []
            served.publish(1)
            assert copies(client, 1) == [("event-1", False, None)]
            folder.mkdir()
            (goodbye,) = [message for message in client.end() if message["type"] != "alert"]
            assert (goodbye["type"], goodbye["reason"]) == ("goodbye", "gap")
        with served.talker() as client:
            hello_ok = client.hello(consumer="backend", resume="last_ack", **ALERTS)
            assert hello_ok["resume"]["status"] == "ok"
            served.publish(2)
            assert copies(client, 1) == [("event-2", True, 2)]
