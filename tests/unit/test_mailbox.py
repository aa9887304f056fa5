"""What waits for one client, and what is given up. The ids in brackets are statements of docs/protocol.md."""

from __future__ import annotations

from edge.stream.mailbox import MAX_ALERTS, MAX_BYTES, MAX_RESULTS, Form, Mailbox
from edge.types import VideoFrame
from tests.streaming import make_video


def mailbox() -> Mailbox:
    return Mailbox(Form("length", "big", video=True), lambda: None)


def take_all(box: Mailbox) -> list[bytes | VideoFrame]:
    return list(iter(box.take, None))


def test_alerts_come_before_results_and_results_before_pictures() -> None:
    """[EDGE-5-1]"""
    box = mailbox()
    video = make_video()
    box.put_video(video, 0.0)
    box.put_result(b"result")
    box.put_alert(b"alert 1")
    box.put_alert(b"alert 2")
    assert take_all(box) == [b"alert 1", b"alert 2", b"result", video]


def test_when_the_results_are_full_the_oldest_goes_and_is_counted() -> None:
    """[EDGE-5-3]"""
    box = mailbox()
    for number in range(MAX_RESULTS + 3):
        box.put_result(b"%d" % number)
    assert take_all(box) == [b"%d" % number for number in range(3, MAX_RESULTS + 3)]
    assert box.results_dropped == 3


def test_a_newer_picture_replaces_the_one_that_waits() -> None:
    """[EDGE-5-4]"""
    box = mailbox()
    box.put_video(make_video(1), 0.0)
    box.put_video(make_video(2), 0.0)
    assert [unit.frame_id for unit in take_all(box) if isinstance(unit, VideoFrame)] == [2]
    assert box.videos_dropped == 1


def test_one_alert_too_many_is_an_overflow_and_nothing_is_put_in_after_it() -> None:
    """[EDGE-5-5]"""
    box = mailbox()
    for number in range(MAX_ALERTS):
        box.put_alert(b"%d" % number)
    assert not box.overflow
    box.put_alert(b"one more")
    assert box.overflow.startswith("slow_consumer")
    box.put_alert(b"later")
    box.put_result(b"later")
    box.put_video(make_video(), 0.0)
    assert len(take_all(box)) == MAX_ALERTS


def test_bytes_are_bounded_and_results_give_way_first_to_results() -> None:
    """[EDGE-5-6]"""
    box = mailbox()
    quarter = bytes(MAX_BYTES // 4)
    for _ in range(5):
        box.put_result(quarter)
    assert box.results_dropped == 1
    assert sum(len(unit) for unit in take_all(box) if isinstance(unit, bytes)) == MAX_BYTES


def test_an_alert_pushes_out_the_picture_then_results_then_gives_up() -> None:
    """[EDGE-5-6]"""
    box = mailbox()
    half = bytes(MAX_BYTES // 2)
    box.put_result(b"a result")
    box.put_video(make_video(1, MAX_BYTES // 2), 0.0)
    box.put_alert(half)
    assert (box.videos_dropped, box.results_dropped) == (1, 0)
    box.put_alert(half)
    assert (box.videos_dropped, box.results_dropped) == (1, 1)
    assert not box.overflow
    box.put_alert(b"x")
    assert box.overflow.startswith("slow_consumer")


def test_the_unit_that_is_being_sent_counts_until_the_next_is_taken() -> None:
    """[EDGE-5-6]"""
    box = mailbox()
    box.put_alert(bytes(MAX_BYTES))
    assert box.take() is not None
    box.put_result(b"no place")
    assert box.results_dropped == 1
    assert box.take() is None
    box.put_result(b"place")
    assert box.take() == b"place"


def test_a_picture_above_the_bound_is_left_out_and_counted() -> None:
    """[EDGE-5-6]"""
    box = mailbox()
    box.put_video(make_video(1, MAX_BYTES + 1), 0.0)
    assert box.take() is None
    assert box.videos_dropped == 1
