"""Drawn pictures and JPEGs."""

from __future__ import annotations

import cv2
import numpy as np

from edge.config import Video
from edge.evidence import VideoEncoder, annotate, encode_jpeg
from edge.geometry import Box
from edge.types import Detection, Frame, Result, VideoFrame
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


def encoder(settings: Video, wanted: bool = True) -> tuple[VideoEncoder, list[VideoFrame], Worker]:
    published: list[VideoFrame] = []
    made = VideoEncoder(settings, lambda: wanted, published.append)
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
    made, published, _ = encoder(Video(), wanted=False)
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


def test_the_newest_frame_wins() -> None:
    made, published, _ = encoder(Video(max_fps=60))
    made.submit(result(1))
    made._next_due = 0.0
    made.submit(result(2))
    worker = Worker("evidence", made.run)
    worker.start()
    wait_until(lambda: published)
    worker.stop()
    assert worker.join(2)
    assert [video.frame_id for video in published] == [2]


def test_quality_matters() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (90, 160, 3), np.uint8)
    assert len(encode_jpeg(noise, 30)) < len(encode_jpeg(noise, 95))
