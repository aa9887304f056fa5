"""Drawn pictures and JPEGs."""

from __future__ import annotations

from collections.abc import Collection

import cv2
import numpy as np
import pytest

from edge.config import Video
from edge.errors import EdgeError
from edge.evidence import LEAST_QUALITY, MAX_LOOKS, Masks, VideoEncoder, annotate, encode_jpeg, still
from edge.geometry import Box
from edge.types import Detection, Frame, Look, Result, VideoFrame
from edge.workers import Worker
from tests.support import wait_until

KNIFE = Detection(1, "knife", 0.9, Box(100, 100, 200, 150))


def result(sequence: int, width: int = 640, height: int = 360) -> Result:
    frame = Frame(sequence, 5.0, 1.0, np.zeros((height, width, 3), np.uint8))
    return Result(
        timestamp=6.0,
        camera_id="main",
        status="ok",
        model="test",
        frame=frame,
        frame_size=(width, height),
        detections=(KNIFE,),
        crime_relevant=(True,),
    )


def test_annotate_draws_on_a_copy() -> None:
    image = np.zeros((360, 640, 3), np.uint8)
    drawn = annotate(image, [KNIFE], [True])
    assert not image.any()
    assert drawn[150, 150].tolist() == [40, 40, 230], "the lower edge, in red"
    assert not drawn[130, 150].any(), "nothing inside the box"
    plain = annotate(image, [KNIFE])
    assert plain[150, 150].tolist() == [200, 160, 60]


def test_a_box_at_the_rim_keeps_its_name_in_the_picture() -> None:
    drawn = annotate(np.zeros((360, 640, 3), np.uint8), [Detection(1, "knife", 0.9, Box(0, 0, 50, 300))])
    assert (drawn[2:20, 2:40] == (255, 255, 255)).all(axis=2).any()


def encoder(
    settings: Video, wanted: Collection[Look | None] = (None,)
) -> tuple[VideoEncoder, list[VideoFrame], Worker]:
    published: list[VideoFrame] = []
    made = VideoEncoder(settings, lambda: wanted, published.append, Masks())
    return made, published, Worker("evidence", made.run)


def test_frames_become_jpegs_of_the_asked_size() -> None:
    made, published, worker = encoder(Video(max_width=320))
    worker.start()
    made.submit(result(7))
    wait_until(lambda: published)
    worker.stop()
    assert worker.join(2)
    video = published[0]
    assert (video.frame_id, video.width, video.height, video.annotated) == (7, 320, 180, True)
    assert video.timestamp == 5.0
    decoded = cv2.imdecode(np.frombuffer(video.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == (180, 320, 3)
    assert decoded[75, 75, 2] > 40 > decoded[65, 75, 2], "the box was drawn"


def test_nothing_is_encoded_when_nobody_looks() -> None:
    made, published, _ = encoder(Video(), wanted=())
    made.submit(result(1))
    assert made._slot.take(0) is None
    assert published == []


def test_no_more_than_max_fps_and_results_without_a_frame_are_left_out() -> None:
    made, published, worker = encoder(Video(max_fps=0.01, annotated=False))
    made.submit(Result(timestamp=6.0, camera_id="main", status="blind", model="test"))
    made.submit(result(1))
    made.submit(result(2))
    worker.start()
    wait_until(lambda: published)
    worker.stop()
    assert worker.join(2)
    assert [video.frame_id for video in published] == [1]
    assert not published[0].annotated


def test_the_newest_frame_wins_and_the_others_are_counted() -> None:
    made, published, _ = encoder(Video(max_fps=60))
    for sequence in (1, 2, 3):
        wait_until(lambda sequence=sequence: made.submit(result(sequence)) or made.skipped == sequence - 1)  # type: ignore[misc]
    worker = Worker("evidence", made.run)
    worker.start()
    wait_until(lambda: published)
    worker.stop()
    assert worker.join(2)
    assert [video.frame_id for video in published] == [3]
    assert made.skipped == 2


def encoded(
    made: VideoEncoder, published: list[VideoFrame], sequence: int, count: int
) -> dict[Look | None, VideoFrame]:
    """What becomes of one frame: ``count`` pictures, by look."""
    made._last_due = None
    made.submit(result(sequence))
    wait_until(lambda: len(published) >= count)
    pictures = {video.look: video for video in published}
    assert len(pictures) == len(published) == count
    assert {video.frame_id for video in published} == {sequence}
    published.clear()
    return pictures


def test_each_look_is_made_once() -> None:
    own, bare, plain = Look(80, True), Look(80, False), Look(20, False)
    made, published, worker = encoder(Video(), {None, own, bare, plain})
    worker.start()
    pictures = encoded(made, published, 1, 4)
    worker.stop()
    assert worker.join(2)
    assert pictures[None].jpeg is pictures[own].jpeg, "the settings' own is not made twice"
    assert len(pictures[plain].jpeg) < len(pictures[bare].jpeg)
    assert [pictures[look].annotated for look in (None, own, bare, plain)] == [True, True, False, False]
    image = cv2.imdecode(np.frombuffer(pictures[bare].jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert not image.any(), "no box"


def test_more_looks_than_four_are_served_with_the_settings_own() -> None:
    looks = [None, *(Look(quality, False) for quality in (10, 20, 30, 40, 50))]
    made, published, worker = encoder(Video(), looks)
    worker.start()
    pictures = encoded(made, published, 1, 6)
    worker.stop()
    assert worker.join(2)
    assert len({id(video.jpeg) for video in pictures.values()}) == MAX_LOOKS
    assert pictures[Look(50, False)].jpeg is pictures[None].jpeg
    assert pictures[Look(50, False)].annotated, "what it is, not what was asked for"


def test_settings_are_replaced_while_it_runs() -> None:
    made, published, worker = encoder(Video(max_fps=0.01))
    worker.start()
    before = encoded(made, published, 1, 1)[None]
    made.submit(result(2))
    made.settings = Video(max_fps=60, max_width=64, annotated=False)
    wait_until(lambda: made.submit(result(3)) or published)
    worker.stop()
    assert worker.join(2)
    assert published[0].frame_id == 3, "the new rate counts at once"
    assert (before.width, published[0].width, published[0].annotated) == (640, 64, False)


def test_a_still_is_made_as_asked_where_it_fits() -> None:
    picture = still(result(1), Look(70, True), 320, 1 << 20, Masks())
    assert (picture.width, picture.height, picture.quality) == (320, 180, 70)
    image = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (180, 320, 3)


def noisy(width: int, height: int) -> Result:
    noise = np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)
    return Result(timestamp=1.0, camera_id="main", status="ok", model="test", frame=Frame(1, 5.0, 1.0, noise))


def test_a_still_loses_quality_and_then_size_until_it_fits() -> None:
    whole = still(noisy(640, 360), Look(90, False), 640, 1 << 20, Masks())
    worse = still(noisy(640, 360), Look(90, False), 640, len(whole.jpeg) // 2, Masks())
    smaller = still(noisy(640, 360), Look(90, False), 640, len(whole.jpeg) // 20, Masks())
    assert (whole.width, whole.quality) == (640, 90)
    assert (worse.width, worse.quality < 90) == (640, True)
    assert len(worse.jpeg) <= len(whole.jpeg) // 2
    assert smaller.width < 640
    assert smaller.quality == LEAST_QUALITY
    assert len(smaller.jpeg) <= len(whole.jpeg) // 20


def test_a_quality_below_the_least_is_not_raised() -> None:
    assert still(noisy(640, 360), Look(10, False), 640, 20_000, Masks()).quality == 10


def test_no_frame_or_no_room_is_an_error() -> None:
    with pytest.raises(EdgeError, match="there is no frame"):
        still(
            Result(timestamp=6.0, camera_id="main", status="blind", model="test"), Look(80, True), 640, 1 << 20, Masks()
        )
    with pytest.raises(EdgeError, match="no picture of the frame fits into 100 bytes"):
        still(noisy(640, 360), Look(80, True), 640, 100, Masks())


def test_quality_matters() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (90, 160, 3), np.uint8)
    assert len(encode_jpeg(noise, 30)) < len(encode_jpeg(noise, 95))
