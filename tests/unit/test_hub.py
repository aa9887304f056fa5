"""The hub: who gets what, and that the bytes are made once. The ids in brackets are statements of docs/protocol.md."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edge.stream.hub import Hub
from edge.stream.mailbox import Form, Mailbox
from edge.types import StoredAlert, StreamBounds
from edge.wire.framing import ByteOrder, Framing
from edge.wire.messages import AlertsMode, Copy
from edge.wire.requests import Topic
from tests.streaming import IDENTITY, make_alert, make_result, make_video


def form(framing: Framing = "length", byteorder: ByteOrder = "big", video: bool = True) -> Form:
    return Form(framing, byteorder, video)


def test_clients_of_one_framing_share_the_same_bytes() -> None:
    hub = Hub(IDENTITY)
    first, second, other = (hub.join(f, lambda: None) for f in (form(), form(video=False), form("newline")))
    hub.publish_result(make_result())
    units = [hub.take(mailbox) for mailbox in (first, second, other)]
    assert units[0] is not None
    assert units[1] is not None
    assert units[2] is not None
    assert units[0][0] is units[1][0]
    assert units[0][0][4:] == units[2][0][:-1]


def test_a_picture_is_one_unit_with_its_header_and_its_bytes_are_shared() -> None:
    """[EDGE-2-3] [EDGE-5-2]"""
    hub = Hub(IDENTITY)
    mailbox = hub.join(form("newline", "little"), lambda: None)
    video = make_video(3, 1000)
    hub.publish_video(video)
    unit = hub.take(mailbox)
    assert unit is not None
    assert unit[0].endswith(b"}\n" + (1000).to_bytes(4, "little"))
    assert unit[1] is video.jpeg
    assert hub.take(mailbox) is None


def test_each_waker_is_called_once_for_a_result_however_many_messages_it_makes() -> None:
    hub = Hub(IDENTITY, "both")
    calls: list[None] = []

    def wake() -> None:
        calls.append(None)

    for _ in range(3):
        hub.join(form(), wake)
    hub.publish_result(make_result(1, make_alert(1), make_alert(2)))
    assert len(calls) == 1
    hub.publish_video(make_video())
    assert len(calls) == 2


def test_who_has_left_gets_nothing_and_its_drops_stay_counted() -> None:
    hub = Hub(IDENTITY)
    mailbox = hub.join(form(), lambda: None)
    for number in range(70):
        hub.publish_result(make_result(number))
    for _ in range(2):
        hub.leave(mailbox)
    hub.publish_result(make_result())
    assert hub.counters().results_dropped == 6
    assert hub.counters().clients == hub.clients() == 0
    assert len(list(iter(lambda: hub.take(mailbox), None))) == 64


def test_a_batch_result_with_an_alert_has_an_alert_s_place() -> None:
    """[EDGE-5-1]"""
    hub = Hub(IDENTITY, "batch")
    mailbox = hub.join(form("newline"), lambda: None)
    hub.publish_result(make_result(1))
    hub.publish_result(make_result(2, make_alert(2)))
    first = hub.take(mailbox)
    assert first is not None
    assert b'"frame_id":2' in first[0]


STREAM = "5f0c2a9be1d74c38"


def stored(number: int, stream: str = STREAM) -> StoredAlert:
    return StoredAlert(stream, number, make_alert(number))


def session(hub: Hub, cursor: int, *topics: Topic) -> Mailbox:
    """The mailbox of a session that has all alerts up to ``cursor`` and is live."""
    mailbox = hub.join(form("newline"), lambda: None, "pending")
    hub.greet(mailbox, frozenset(topics or ("alerts",)))
    hub.place(mailbox, STREAM, cursor + 1)
    assert hub.go_live(mailbox)
    return mailbox


def seqs(hub: Hub, mailbox: Mailbox) -> list[int]:
    return [json.loads(unit[0])["seq"] for unit in iter(lambda: hub.take(mailbox), None)]


def publish(hub: Hub, *numbers: int) -> None:
    for number in numbers:
        hub.publish_stored(stored(number), 0.0)


@pytest.mark.parametrize("mode", ["separate", "batch", "both"])
def test_a_plain_client_gets_an_event_s_firing_alerts_once_and_its_end_never(mode: AlertsMode) -> None:
    """[EDGE-4-10] [EDGE-9-17] Also of the copy that has its number later."""
    hub = Hub(IDENTITY, mode)
    plain, talker = hub.join(form("newline"), lambda: None), session(hub, 0)
    began = replace(make_alert(1), threat_level="medium")
    alerts = [began, replace(began, threat_level="high"), replace(began, threat_level="high", state="resolved")]
    for number, alert in enumerate(alerts, 1):
        hub.publish_result(make_result(number, alert))
        hub.publish_stored(StoredAlert(STREAM, number, alert), 0.0)
    heard = [json.loads(unit[0]) for unit in iter(lambda: hub.take(plain), None)]
    told = [message for message in heard if message["type"] == "alert"]
    carried = [alert for message in heard for alert in message.get("alerts", ())]
    for found, wanted in ((told, mode != "batch"), (carried, mode != "separate")):
        levels = [(alert["state"], alert["threat_level"]) for alert in found]
        assert levels == ([("firing", "medium"), ("firing", "high")] if wanted else [])
    assert [message["frame_id"] for message in heard if message["type"] == "detection_result"] == [1, 2, 3]
    said = [json.loads(unit[0]) for unit in iter(lambda: hub.take(talker), None)]
    assert [(each["state"], each["threat_level"], each.get("seq")) for each in said] == [
        ("firing", "medium", None), ("firing", "medium", 1),
        ("firing", "high", None), ("firing", "high", 2),
        ("resolved", "high", None), ("resolved", "high", 3),
    ]  # fmt: skip


def test_one_that_has_not_logged_in_gets_nothing_and_is_no_client() -> None:
    """[EDGE-3-7] [EDGE-11-3]"""
    hub = Hub(IDENTITY)
    mailbox = hub.join(form(), lambda: None, "pending")
    hub.publish_result(make_result(1, make_alert(1)))
    hub.publish_video(make_video())
    hub.publish_health(b"{}")
    publish(hub, 1)
    assert (hub.take(mailbox), hub.clients(), hub.looks()) == (None, 0, frozenset())


def test_the_first_alert_of_a_hello_is_the_next_to_be_published() -> None:
    """[EDGE-9-12]"""
    hub = Hub(IDENTITY)
    hub.begin(StreamBounds(STREAM, 1, 8))
    assert hub.greet(hub.join(form(), lambda: None), frozenset()) == (STREAM, 8)
    publish(hub, 8)
    assert hub.greet(hub.join(form(), lambda: None), frozenset()) == (STREAM, 9)
    waiting = hub.join(form(), lambda: None)
    copy = Copy(make_alert(9), stored(9))
    hub.publish_result(make_result(9, make_alert(9)), [copy])
    assert hub.greet(waiting, frozenset()) == (STREAM, 9)


def test_a_session_goes_live_only_when_nothing_is_missing() -> None:
    """[EDGE-9-7]"""
    hub = Hub(IDENTITY)
    hub.begin(StreamBounds(STREAM, 1, 4))
    mailbox = hub.join(form("newline"), lambda: None, "pending")
    hub.greet(mailbox, frozenset(("alerts",)))
    hub.place(mailbox, STREAM, 2)
    assert not hub.go_live(mailbox)
    publish(hub, 4)
    assert hub.replay(mailbox, [stored(2), stored(3)], 0.0)
    assert not hub.go_live(mailbox), "4 was published meanwhile"
    assert hub.replay(mailbox, [stored(4)], 0.0)
    assert hub.go_live(mailbox)
    publish(hub, 5)
    assert seqs(hub, mailbox) == [2, 3, 4, 5]


def test_a_page_that_does_not_go_on_is_refused() -> None:
    """[EDGE-9-7] [EDGE-9-11]"""
    hub = Hub(IDENTITY)
    mailbox = session(hub, 4)
    assert not hub.replay(mailbox, [stored(6)], 0.0)
    assert not hub.replay(mailbox, [stored(5, "another")], 0.0)
    assert seqs(hub, mailbox) == []


def test_numbers_that_do_not_go_on_make_a_session_stale() -> None:
    """[EDGE-9-11]"""
    hub = Hub(IDENTITY)
    jumped, moved = session(hub, 4), session(hub, 4)
    publish(hub, 3, 4, 5)
    assert not jumped.stale
    publish(hub, 7)
    assert jumped.stale
    hub.publish_stored(stored(1, "another"), 0.0)
    assert moved.stale
    assert seqs(hub, jumped) == [5]


def test_alerts_subscribed_to_again_are_left_to_the_disk_at_first() -> None:
    """[EDGE-8-15]"""
    hub = Hub(IDENTITY)
    mailbox = session(hub, 4)
    hub.subscribe(mailbox, frozenset())
    publish(hub, 5)
    hub.subscribe(mailbox, frozenset(("alerts",)))
    publish(hub, 6)
    assert seqs(hub, mailbox) == []
    assert not mailbox.stale
    assert not hub.go_live(mailbox)
    assert hub.replay(mailbox, [stored(5), stored(6)], 0.0)
    assert hub.go_live(mailbox)
    assert seqs(hub, mailbox) == [5, 6]


def test_slow_sessions_are_counted_also_when_they_were_told() -> None:
    """[EDGE-5-5]"""
    hub = Hub(IDENTITY)
    mailbox = session(hub, 0)
    publish(hub, *range(1, 258))
    assert mailbox.overflow
    hub.part(mailbox, b"{}", drop=True)
    hub.leave(mailbox)
    assert hub.counters().slow_consumers == 1
