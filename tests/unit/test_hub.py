"""The hub: who gets what, and that the bytes are made once. The ids in brackets are statements of docs/protocol.md."""

from __future__ import annotations

from edge.stream.hub import Hub
from edge.stream.mailbox import Form
from edge.wire.framing import ByteOrder, Framing
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
