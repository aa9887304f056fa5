"""Privacy masks: what is under one is in no picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.config import PrivacyMask, Video
from edge.configure import load_config
from edge.errors import ConfigError, EdgeError
from edge.evidence import Masks, VideoEncoder, still
from edge.evidence.drawing import draw
from edge.geometry import Box
from edge.types import Frame, Look, Result, VideoFrame
from edge.workers import Worker
from tests.evidences import LEFT_HALF, decode, look, picture
from tests.support import wait_until

TRIANGLE = PrivacyMask(name="roof", points=((0.6, 0.0), (1.0, 0.0), (1.0, 0.4)))


def is_black(image: np.ndarray, margin: int = 0) -> bool:
    return not image[:, : image.shape[1] // 2 - margin].any()


def test_polygons_are_black_to_their_rim_and_nothing_else_is() -> None:
    image = Masks([LEFT_HALF, TRIANGLE]).fill(picture())
    assert not image[:, :161].any()
    assert (image[:, 163:190] == 200).all()
    assert not image[0, 192:].any()
    assert not image[:72, 319].any()
    assert (image[20, 170:200] == 200).all(), "beside the slope"


def test_where_two_masks_overlap_there_is_no_hole() -> None:
    again = PrivacyMask(name="again", points=((0.25, 0.0), (0.75, 0.0), (0.75, 1.0), (0.25, 1.0)))
    assert not Masks([LEFT_HALF, again]).fill(picture())[:, :240].any()


def test_a_mask_that_is_thinner_than_a_pixel_is_still_there() -> None:
    thin = PrivacyMask(name="thin", points=((0.5, 0.0), (0.5001, 0.0), (0.5001, 1.0)))
    assert not Masks([thin]).fill(picture(64, 36))[:, 32].any()


def test_the_frame_itself_is_not_touched_and_one_copy_serves_all() -> None:
    masks, frame = Masks([LEFT_HALF]), Frame(1, 1.0, 1.0, picture())
    covered = masks.cover(frame)
    assert covered is masks.cover(frame)
    assert is_black(covered)
    assert (frame.image == 200).all(), "the detector sees it"
    assert masks.cover(Frame(2, 1.0, 1.0, picture())) is not covered


def test_without_masks_nothing_is_copied() -> None:
    frame = Frame(1, 1.0, 1.0, picture())
    assert Masks().cover(frame) is frame.image


def test_boxes_and_names_do_not_show_either() -> None:
    result = look(200, 1.0, box=Box(20, 60, 280, 120))
    assert result.frame is not None
    drawn = draw(result, result.frame, True, Masks([LEFT_HALF]))
    assert is_black(drawn)
    assert (drawn[60, 200] == (40, 40, 230)).all(), "outside the mask it does"


@pytest.mark.parametrize("size", [(320, 180), (1, 1), (7681, 3), (33, 500)])
def test_any_size_of_a_frame_is_masked(size: tuple[int, int]) -> None:
    assert is_black(Masks([LEFT_HALF]).cover(Frame(1, 1.0, 1.0, picture(*size))))


@pytest.mark.parametrize(
    "image",
    [
        np.full((180, 320), 200, np.uint8),
        np.full((180, 320, 4), 200, np.uint8),
        np.full((180, 320, 3), 200.0, np.float32),
        np.empty((0, 0, 3), np.uint8),
    ],
    ids=["grey", "alpha", "float", "empty"],
)
def test_what_cannot_be_masked_gives_no_picture(image: np.ndarray) -> None:
    masks, frame = Masks([LEFT_HALF]), Frame(1, 1.0, 1.0, image)
    for _ in range(2):
        with pytest.raises(EdgeError, match="cannot be masked; it is not used"):
            masks.cover(frame)


@pytest.mark.parametrize("annotated", [False, True])
def test_no_still_shows_it(annotated: bool) -> None:
    result = look(200, 1.0, box=Box(20, 60, 280, 120))
    image = decode(still(result, Look(100, annotated), 320, 1 << 20, Masks([LEFT_HALF])).jpeg)
    assert image[:, :144].max() < 8, "as black as JPEG gives it"
    small = decode(still(result, Look(100, annotated), 100, 1 << 20, Masks([LEFT_HALF])).jpeg)
    assert small[:, :40].max() < 8


def encoded(result: Result, other: Result) -> list[VideoFrame]:
    """What the stream is given of the first, then of the second; the second is shown to prove that it goes on."""
    published: list[VideoFrame] = []
    encoder = VideoEncoder(Video(max_fps=60), lambda: [None, Look(95, False)], published.append, Masks([LEFT_HALF]))
    worker = Worker("evidence", encoder.run)
    worker.start()
    encoder.submit(result)
    wait_until(lambda: not encoder._slot._full)
    wait_until(lambda: encoder.submit(other) or any(video.frame_id == 2 for video in published))
    worker.stop()
    assert worker.join(5)
    assert worker.error is None
    return published


def test_no_picture_of_the_stream_shows_it() -> None:
    published = encoded(look(1, 1.0, image=picture()), look(2, 2.0, image=picture()))
    for video in published:
        assert decode(video.jpeg)[:, :144].max() < 8, video.look
        assert decode(video.jpeg)[90, 300].min() > 190


def test_a_frame_that_cannot_be_masked_is_left_out_and_the_stream_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    grey = np.full((180, 320), 200, np.uint8)
    published = encoded(look(1, 1.0, image=grey), look(2, 2.0, image=picture()))
    assert {video.frame_id for video in published} == {2}
    assert "no picture for the stream: a picture of shape (180, 320)" in caplog.text


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        ('{name = "a", points = [[0, 0], [1, 1], [1, 0], [0, 1]]}', "its outline crosses itself"),
        ('{name = "a", points = [[0, 0], [1, 1]]}', "length >= 3"),
        ('{name = "a", points = [[0, 0], [0.5, 0], [1, 0]]}', "it has no area"),
        ('{name = "a", points = [[0, 0], [2, 0], [1, 1]]}', "<= 1.0"),
        ("{points = [[0, 0], [1, 0], [1, 1]]}", "name"),
    ],
)
def test_a_mask_that_would_leave_a_hole_is_refused(mask: str, words: str) -> None:
    with pytest.raises(ConfigError, match=r"camera\.privacy_masks") as caught:
        load_config(None, {}, [f"camera.privacy_masks=[{mask}]"])
    assert words in str(caught.value)


def test_masks_stand_in_the_file_as_documented(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text('[[camera.privacy_masks]]\nname = "house"\npoints = [[0, 0], [0.5, 0], [0.5, 1]]\n')
    (mask,) = load_config(file).camera.privacy_masks
    assert (mask.name, mask.points[1]) == ("house", (0.5, 0.0))
