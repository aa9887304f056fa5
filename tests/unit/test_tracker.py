"""Which box is which object."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.geometry import Box
from edge.rules.tracker import APART_FRAMES, MOST_LOST, SLOWER, Tracker
from edge.types import Detection, Track
from tests.seeing import seen

Frame = Sequence[Detection]


def at(x: float, y: float, width: float = 80, height: float = 200, confidence: float = 0.9) -> Detection:
    """A person whose box has its centre there."""
    return seen("person", confidence, Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2))


def follow(frames: Iterable[Frame], tracker: Tracker | None = None, fps: float = 10.0) -> list[tuple[int | None, ...]]:
    """The number of each detection's object, frame by frame."""
    tracker = tracker or Tracker(score_threshold=0.4)
    return [
        tuple(track and track.track_id for track in tracker.update(frame, index / fps))
        for index, frame in enumerate(frames)
    ]


def test_who_walks_keeps_the_number_and_gets_a_speed() -> None:
    tracker = Tracker(score_threshold=0.4)
    assert follow([[at(100 + 10 * n, 300)] for n in range(30)], tracker) == [(1,)] * 30
    (track,) = tracker.tracks
    assert track.speed == pytest.approx(100, rel=0.01)
    assert track.velocity == pytest.approx((100, 0), abs=1)
    assert (track.began_at, track.seen_at, track.hits, track.seen) == (0.0, 2.9, 30, True)
    assert track.age_s(5.0) == 5.0


def test_a_box_that_blinks_keeps_its_number() -> None:
    frames = [[at(100 + 15 * n, 300)] if n % 5 in (0, 1) else [] for n in range(50)]
    assert {number for frame in follow(frames) for number in frame} == {1}


def test_a_track_that_is_not_seen_is_expected_further_on_and_then_stays() -> None:
    tracker = Tracker(score_threshold=0.4)
    follow([[at(100 + 10 * n, 300)] for n in range(20)], tracker)
    places = []
    for now in (2.1, 2.4, 2.9, 3.8):
        tracker.update([], now)
        (track,) = tracker.tracks
        assert not track.seen
        places.append(track.box.centre[0])
    assert places == pytest.approx([310, 340, 390, 390], abs=1), "1 s on from 1.9 s, where it was at 290"


def number(tracker: Tracker, now: float, *detections: Detection) -> int | None:
    track = tracker.update(detections, now)[0]
    return track and track.track_id


def test_what_is_not_seen_for_max_lost_s_is_another_one_after() -> None:
    tracker = Tracker(score_threshold=0.4, max_lost_s=2.0)
    here = at(100, 300)
    assert [number(tracker, now, here) for now in (0.0, 0.5, 1.0, 1.5, 2.0)] == [1] * 5
    assert number(tracker, 4.01, here) == 2, "also where no frame told of it in between"
    tracker.update([], 9.0)
    assert (tracker.tracks, tracker.alive) == ((), frozenset())


def test_what_is_new_is_remembered_no_longer_than_it_was_there() -> None:
    """Noise of one frame does not lie in wait for the boxes of somebody who comes by."""
    here = at(100, 300)
    frames = [[here], *[[]] * 5, [here], [here], *[[]] * 4, [here]]
    assert [frame[0] for frame in follow(frames) if frame] == [1, 2, 2, 2]


def test_one_frame_a_second_is_enough_to_follow_what_is_new() -> None:
    assert follow([[at(100, 300)]] * 5, fps=1.0) == [(1,)] * 5


def test_frames_that_come_more_slowly_than_max_lost_s_are_followed_all_the_same() -> None:
    here = at(100, 300)
    assert follow([[here]] * 5, fps=0.3) == [(1,)] * 5
    assert [frame[0] for frame in follow([[here], [here], [], [here]], fps=0.3) if frame] == [1, 1, 2]


def test_two_who_cross_keep_their_numbers() -> None:
    frames = [[at(100 + 12 * n, 300), at(700 - 12 * n, 310)] for n in range(51)]
    assert follow(frames) == [(1, 2)] * 51


def test_who_goes_behind_another_one_has_the_same_number_after() -> None:
    """Between 330 and 470 the one who walks is hidden by the one who stands."""
    frames: list[Frame] = []
    for n in range(60):
        x = 100 + 10 * n
        frames.append([at(400, 300)] if 330 < x < 470 else [at(400, 300), at(x, 290)])
    numbers = follow(frames)
    assert {number for frame in numbers for number in frame} == {1, 2}
    assert numbers[-1] == (1, 2)


def test_a_pair_that_merges_into_one_box_and_parts_again() -> None:
    frames: list[Frame] = []
    for n in range(40):
        away = abs(20 - n) * 12
        merged = away < 40
        frames.append([at(400, 300, 100)] if merged else [at(400 - away, 300), at(400 + away, 300)])
    numbers = follow(frames)
    assert {number for frame in numbers for number in frame} == {1, 2}
    assert sorted(number or 0 for number in numbers[-1]) == [1, 2]


def test_a_small_thing_that_moves_by_more_than_its_width() -> None:
    frames = [[at(100 + 16 * n, 300, 14, 14)] for n in range(30)]
    assert follow(frames) == [(1,)] * 30


def test_doubtful_boxes_keep_an_object_and_never_begin_one() -> None:
    tracker = Tracker(score_threshold=0.4)
    doubtful = at(100, 300, confidence=0.25)
    assert follow([[doubtful]] * 5, tracker) == [(None,)] * 5
    assert number(tracker, 1.0, at(100, 300)) == 1
    assert {number(tracker, 1.0 + step / 2, doubtful) for step in range(1, 40)} == {1}


def test_a_sure_box_is_preferred_to_a_doubtful_one_that_fits_better() -> None:
    numbers = follow([[at(100, 300)], [at(120, 300), at(100, 300, confidence=0.3)]])
    assert numbers == [(1,), (1, None)]


def test_noise_beside_a_doubtful_box_does_not_drag_an_object_away() -> None:
    tracker = Tracker(score_threshold=0.4)
    follow([[at(500, 300)]] * 10, tracker)
    noise, doubtful = at(549, 480, confidence=0.43), at(498, 302, confidence=0.3)
    assert [track and track.track_id for track in tracker.update([noise, doubtful], 1.0)] == [2, 1]
    assert number(tracker, 1.1, at(501, 300)) == 1


def test_objects_of_two_classes_are_two_in_the_same_place() -> None:
    box = Box(100, 100, 200, 300)
    assert follow([[seen("person", 0.9, box), seen("dog", 0.8, box)]] * 3) == [(1, 2)] * 3


def test_two_boxes_for_one_body_are_one_object() -> None:
    """As SSD gives them: one for the whole body, one for most of it."""
    frames = [[at(100 + 5 * n, 300), at(105 + 5 * n, 280, 70, 150, 0.6)] for n in range(30)]
    assert follow(frames) == [(1, None)] * 30


def test_the_object_is_where_its_double_is_when_only_that_is_seen() -> None:
    tracker = Tracker(score_threshold=0.4)
    whole, part = at(100, 300), at(110, 280, 60, 150, 0.6)
    numbers = follow([[whole], [whole, part], [whole, part], [part], [part], [whole, part]], tracker)
    assert numbers[:5] == [(1,), (1, None), (1, None), (1,), (1,)]
    assert set(numbers[5]) == {1, None}
    assert tracker.alive == {1}


def test_a_double_that_goes_away_is_an_object_of_its_own() -> None:
    """Somebody stepped out from behind another one."""
    frames = [[at(300, 300), at(300 + 15 * n, 300, confidence=0.8)] for n in range(20)]
    numbers = follow(frames)
    assert numbers[0] == (1, None)
    assert numbers[-1] == (1, 2)
    first = numbers.index((1, 2))
    assert numbers[first:] == [(1, 2)] * (20 - first)
    assert APART_FRAMES <= first <= 8


def test_numbers_are_never_given_again() -> None:
    tracker = Tracker(score_threshold=0.4, max_lost_s=0.5, first_id=41)
    numbers = [tracker.update([at(100 + 200 * (n % 4), 300)], float(n))[0] for n in range(20)]
    assert [track and track.track_id for track in numbers] == list(range(41, 61))


def test_only_so_many_lost_ones_are_remembered() -> None:
    """Noise must not make the device slower and slower."""
    tracker = Tracker(score_threshold=0.4, max_lost_s=60)
    for frame in range(20):
        tracker.update([at(300 * n, 300 + 1000 * frame) for n in range(30)], frame / 100)
    assert len(tracker.tracks) == MOST_LOST + 30
    assert max(tracker.alive) == 600


def test_the_threshold_may_change_between_two_frames() -> None:
    tracker = Tracker(score_threshold=0.4)
    assert tracker.update([at(100, 300, confidence=0.5)], 0.0)[0] is not None
    tracker.score_threshold = 0.7
    first, second = tracker.update([at(100, 300, confidence=0.5), at(500, 300, confidence=0.6)], 0.1)
    assert first is not None
    assert second is None


# For every sequence of frames


def test_who_is_small_and_far_behind_somebody_large_is_no_double() -> None:
    """Somebody sits before the camera, and somebody comes in through the door behind."""
    assert follow([[at(500, 500, 600, 900), at(450 + 5 * n, 400)] for n in range(5)]) == [(1, 2)] * 5


boxes = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    st.integers(0, 300),
    st.integers(0, 300),
    st.integers(0, 120),
    st.integers(0, 120),
)
detections = st.builds(seen, st.sampled_from(["person", "dog"]), st.floats(0.2, 1.0), boxes)
frames = st.lists(st.lists(detections, max_size=6, unique_by=lambda each: each.confidence), max_size=12)
gaps = st.lists(st.floats(0.001, 3.0), min_size=12, max_size=12)


def run(sequence: Sequence[Frame], times: Sequence[float]) -> list[tuple[Track | None, ...]]:
    tracker, clock, found = Tracker(score_threshold=0.4), 0.0, []
    for frame, gap in zip(sequence, times, strict=False):
        clock += gap
        found.append(tracker.update(frame, clock))
    return found


@given(frames, gaps)
def test_of_a_frame_each_object_has_one_detection_and_numbers_rise(
    sequence: list[list[Detection]], times: list[float]
) -> None:
    newest, before_that = 0, [0.0, math.inf, *times[1:]]
    known: dict[int, Track] = {}
    for frame, found, gap, last in zip(sequence, run(sequence, times), times, before_that, strict=False):
        assert len(found) == len(frame)
        tracks = [track for track in found if track is not None]
        assert len({track.track_id for track in tracks}) == len(tracks)
        for detection, track in zip(frame, found, strict=True):
            if track is None:
                continue
            assert (track.detection, track.box, track.seen) == (detection, detection.box, True)
            before = known.get(track.track_id)
            if before is None:
                assert detection.confidence >= 0.4
            else:
                assert (before.began_at, before.detection.class_id) == (track.began_at, detection.class_id)
                assert track.seen_at - before.seen_at <= max(2.0, min(gap, SLOWER * last)) + 1e-6
            known[track.track_id] = track
        new = [track.track_id for track in tracks if track.hits == 1]
        assert all(number > newest for number in new)
        newest = max([newest, *new])


@settings(max_examples=60)
@given(frames, gaps, st.randoms(use_true_random=False))
def test_the_order_of_a_frame_plays_no_part(sequence: list[list[Detection]], times: list[float], dice: object) -> None:
    mixed = [dice.sample(frame, len(frame)) for frame in sequence]  # type: ignore[attr-defined]
    for first, second, frame, other in zip(run(sequence, times), run(mixed, times), sequence, mixed, strict=False):
        numbers = {
            detection.confidence: track and track.track_id for detection, track in zip(frame, first, strict=True)
        }
        assert numbers == {
            detection.confidence: track and track.track_id for detection, track in zip(other, second, strict=True)
        }
