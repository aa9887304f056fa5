"""The ring, the AVI file, and what a JPEG tells of itself."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from edge.config import Evidence
from edge.errors import EdgeError
from edge.evidence import Masks, encode_jpeg
from edge.evidence.avi import Picture, avi
from edge.evidence.clips import MOST_CLIPS, Clips, Ring
from edge.evidence.comment import comment_of, with_comment
from tests.evidences import LEFT_HALF, decode, film, look, picture


def shot(number: int, monotonic: float, size: tuple[int, int] = (320, 180), quality: int = 90) -> Picture:
    return Picture(monotonic, size, encode_jpeg(picture(*size, shade=number * 10), quality))


def test_the_ring_forgets_what_is_too_long_ago() -> None:
    ring = Ring(2.0)
    for number in range(10):
        ring.put(Picture(float(number), (2, 2), b"12345"))
    assert [each.monotonic for each in ring.between(0, 99)] == [7.0, 8.0, 9.0]
    assert ring.size == 15


def test_the_ring_is_bounded_in_bytes() -> None:
    ring = Ring(1000.0, max_bytes=100)
    for number in range(50):
        ring.put(Picture(float(number), (2, 2), b"." * (10 + number)))
        assert ring.size <= 100
    ring.put(Picture(60.0, (2, 2), b"." * 101))
    assert (ring.size, ring.between(0, 99)) == (0, [])
    ring.put(Picture(61.0, (2, 2), b"."))
    assert ring.size == 1


def test_a_clip_has_pictures_of_one_size() -> None:
    ring = Ring(100.0)
    for number, width in enumerate([320, 640, 640, 640]):
        ring.put(Picture(float(number), (width, 180), b"x"))
    assert [each.monotonic for each in ring.between(0, 9)] == [1.0, 2.0, 3.0]
    assert ring.between(50, 60) == []


@pytest.mark.parametrize("count", [1, 2, 7])
def test_an_avi_is_played_by_opencv_picture_by_picture(tmp_path: Path, count: int) -> None:
    pictures = [shot(number, 100.0 + number / 4) for number in range(count)]
    (tmp_path / "a clip.avi").write_bytes(avi(pictures))
    frames, fps = film(tmp_path / "a clip.avi")
    assert len(frames) == count
    assert fps == pytest.approx(4.0 if count > 1 else 1.0)
    for number, frame in enumerate(frames):
        assert frame.shape == (180, 320, 3)
        assert abs(int(frame[90, 160, 0]) - number * 10) <= 2


def test_an_avi_is_played_by_whatever_opencv_takes_for_it(tmp_path: Path) -> None:
    (tmp_path / "clip.avi").write_bytes(avi([shot(number, number / 5, quality=70 + number) for number in range(9)]))
    capture = cv2.VideoCapture(str(tmp_path / "clip.avi"))
    count = 0
    while capture.read()[0]:
        count += 1
    assert (count, int(capture.get(cv2.CAP_PROP_FRAME_COUNT))) == (9, 9)


def test_the_jpegs_of_a_clip_are_those_of_the_ring() -> None:
    pictures = [shot(number, float(number)) for number in range(3)]
    whole = avi(pictures)
    assert all(each.jpeg in whole for each in pictures)
    assert int.from_bytes(whole[4:8], "little") == len(whole) - 8


def chunks_of(content: bytes) -> list[tuple[bytes, bytes]]:
    """As any reader of RIFF walks over them: each begins at an even byte."""
    found, at = [], 0
    while at < len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        found.append((content[at : at + 4], content[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    assert at == len(content)
    return found


def test_every_jpeg_is_found_by_a_walk_and_by_the_index_whatever_its_length() -> None:
    jpegs = [encode_jpeg(picture(32, 18, shade=number), 50) + b"\0" * number for number in range(4)]
    assert {len(jpeg) % 2 for jpeg in jpegs} == {0, 1}
    ((kind, whole),) = chunks_of(avi([Picture(n / 5, (32, 18), jpeg) for n, jpeg in enumerate(jpegs)]))
    assert (kind, whole[:4]) == (b"RIFF", b"AVI ")
    chunks = chunks_of(whole[4:])
    assert [kind for kind, _ in chunks] == [b"LIST", b"LIST", b"idx1"]
    film, index = chunks[1][1], chunks[2][1]
    assert chunks_of(film[4:]) == [(b"00dc", jpeg) for jpeg in jpegs]
    for number, jpeg in enumerate(jpegs):
        entry = index[number * 16 : number * 16 + 16]
        at, size = (int.from_bytes(entry[place : place + 4], "little") for place in (8, 12))
        assert (film[at : at + 4], film[at + 8 : at + 8 + size]) == (b"00dc", jpeg)


def test_no_more_frames_are_taken_than_clip_fps() -> None:
    clips = Clips(Evidence(clip=True, clip_fps=5), Masks())
    taken = 0
    for number in range(150):  # ten seconds at 15 frames a second
        result = look(number, number / 15)
        assert result.frame is not None
        if clips.offer(result, result.frame):
            taken += 1
            assert clips.film()
    assert 49 <= taken <= 51
    assert not clips.film()


def test_a_clip_is_ready_when_its_time_is_over_and_masked() -> None:
    clips = Clips(Evidence(clip=True, pre_s=1, post_s=1, clip_fps=10, quality=90), Masks([LEFT_HALF]))
    for number in range(40):
        result = look(number, number / 10, image=picture())
        assert result.frame is not None
        if number == 20:
            clips.begin("event-1", result.frame.monotonic)
        clips.offer(result, result.frame)
        clips.film()
        assert list(clips.ready(result.frame.monotonic)) == []
        assert clips.expects("event-1") == (number >= 20)
    ((uid, clip),) = clips.ready(4.0)
    assert (uid, clips.expects(uid)) == ("event-1", False)
    starts = [index for index in range(len(clip)) if clip.startswith(b"00dc", index)]
    images = [decode(clip[at + 8 :]) for at in starts if clip[at + 8 : at + 10] == b"\xff\xd8"]
    assert len(images) == 21, "from 1.0 to 3.0 s"
    assert all(image[:, :144].max() < 8 and image[90, 300].min() > 190 for image in images)


def test_a_frame_that_cannot_be_masked_is_not_filmed() -> None:
    clips = Clips(Evidence(clip=True), Masks([LEFT_HALF]))
    result = look(1, 1.0, image=picture()[:, :, :2])
    assert result.frame is not None
    assert clips.offer(result, result.frame)
    with pytest.raises(EdgeError, match="cannot be masked"):
        clips.film()
    assert clips._ring.size == 0


def test_clips_that_are_waited_for_are_bounded() -> None:
    clips = Clips(Evidence(clip=True), Masks())
    for number in range(MOST_CLIPS + 5):
        clips.begin(f"event-{number}", 1.0)
    assert sum(clips.expects(f"event-{number}") for number in range(MOST_CLIPS + 5)) == MOST_CLIPS
    assert list(clips.ready(99.0)) == [], "there is no film of them"
    assert not clips.expects("event-0")


def test_a_picture_tells_what_it_is() -> None:
    fields = {"event_uid": "a", "rule": "Tür ✓", "frame_id": 7, "timestamp": 1.5, "annotated": True}
    jpeg = encode_jpeg(picture(), 90)
    told = with_comment(jpeg, fields)
    assert comment_of(told) == fields
    assert (decode(told) == decode(jpeg)).all()
    assert told[2:4] == b"\xff\xe0", "JFIF's own segment stays the first"


@pytest.mark.parametrize(
    ("jpeg", "words"),
    [
        (b"", "it is no JPEG"),
        (b"GIF89a", "it is no JPEG"),
        (b"\xff\xd8\xff\xd9", "it does not say what it shows"),
        (b"\xff\xd8\xff\xfe\x00\x05abc", "is damaged"),
        (b"\xff\xd8\xff\xfe\xff\xff", "is damaged"),
        (b"\xff\xd8\xff\xe0\x00\x00" * 3, "it does not say"),
    ],
)
def test_a_damaged_picture_is_said_to_be_so(jpeg: bytes, words: str) -> None:
    with pytest.raises(EdgeError, match=words):
        comment_of(jpeg)


def test_too_much_to_tell_is_an_error() -> None:
    with pytest.raises(EdgeError, match="do not fit"):
        with_comment(encode_jpeg(picture(), 90), {"rule": "x" * 70_000})
