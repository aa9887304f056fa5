"""What waits for one client, and what is given up. The ids in brackets are statements of docs/protocol.md."""

from __future__ import annotations

from dataclasses import replace

from edge.stream.mailbox import MAX_ALERTS, MAX_BYTES, MAX_CONTROL, MAX_RESULTS, Form, Mailbox
from edge.types import Look, VideoFrame
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


def test_nothing_follows_a_farewell() -> None:
    """[EDGE-3-13] [EDGE-4-13]"""
    box = mailbox()
    box.put_alert(b"alert")
    box.put_farewell(b"goodbye")
    box.put_control(b"an answer before it")
    assert take_all(box) == [b"an answer before it", b"alert", b"goodbye"]
    box.put_control(b"an answer after it")
    box.put_alert(b"alert")
    assert take_all(box) == []


def test_a_fatal_error_leaves_out_all_but_answers() -> None:
    """[EDGE-4-13]"""
    box = mailbox()
    box.put_control(b"an answer")
    box.put_alert(b"alert")
    box.put_result(b"result")
    box.put_health(b"health")
    box.put_video(make_video(), 0.0)
    box.silence()
    box.put_farewell(b"error")
    assert take_all(box) == [b"an answer", b"error"]


def test_with_32_answers_waiting_one_more_is_an_overflow_and_the_last_word_has_room() -> None:
    """[EDGE-5-9]"""
    box = mailbox()
    for number in range(MAX_CONTROL):
        box.put_control(b"%d" % number)
    assert not box.overflow
    box.put_control(b"one more")
    assert box.overflow.endswith("32 answers waited for it")
    box.silence()
    box.put_farewell(b"error")
    assert take_all(box)[-1] == b"error"
    assert box.overflow, "it stays counted"


def test_a_hello_leaves_of_what_waits_what_cannot_come_again() -> None:
    """[EDGE-9-12] [EDGE-3-9]"""
    box = mailbox()
    box.put_alert(b"without a number")
    box.put_alert(b"number 7", 7)
    box.put_alert(b"a batch with number 8", 8, (b"its alert without a number",))
    box.put_alert(b"a result whose alerts waited themselves", 0, ())
    box.put_result(b"result")
    box.put_video(make_video(), 0.0)
    box.put_control(b"an answer")
    assert box.greet(frozenset(("alerts",))) == 7
    assert take_all(box) == [b"an answer", b"without a number", b"its alert without a number"]
    assert box._waiting == 0


def test_pictures_keep_their_distance_and_one_may_come_at_once_after_a_pause() -> None:
    """[EDGE-5-11]"""
    box = mailbox()
    box.show(None, 0.5)
    taken = []
    for tenth in [*range(1000, 1031), *range(2000, 2011)]:
        box.put_video(make_video(tenth), tenth / 10)
        taken += [unit.frame_id for unit in take_all(box) if isinstance(unit, VideoFrame)]
    assert taken == [1000, 1005, 1010, 1015, 1020, 1025, 1030, 2000, 2005, 2010]


def test_only_pictures_of_the_look_that_was_asked_for_are_taken() -> None:
    """[EDGE-5-11]"""
    box = mailbox()
    box.show(Look(50, annotated=False), 0.0)
    box.put_video(make_video(1), 1.0)
    box.put_video(replace(make_video(2), look=Look(50, annotated=True)), 2.0)
    assert take_all(box) == []
    box.put_video(replace(make_video(3), look=Look(50, annotated=False)), 3.0)
    assert [unit.frame_id for unit in take_all(box) if isinstance(unit, VideoFrame)] == [3]
    assert box.videos_dropped == 0
