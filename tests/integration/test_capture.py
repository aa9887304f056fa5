"""Sources and the capture thread, on files that OpenCV wrote and on faults that really happen."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from edge.capture.camera import CaptureLoop
from edge.capture.opencv import has_gstreamer, shown
from edge.capture.source import Picture, Source, open_source
from edge.config import Camera
from edge.errors import CaptureError, SourceEnded
from edge.types import Frame
from edge.workers import Latest, Worker
from tests.support import shared_assets, wait_until


def picture(value: int, width: int = 64, height: int = 48) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full((height, width, 3), value, np.uint8)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Five frames, each brighter than the one before, 20 a second."""
    file = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    for index in range(5):
        writer.write(picture(40 * index + 20))
    writer.release()
    return file


def read_all(source: Source) -> list[int]:
    """The brightness of every frame to the end."""
    values = []
    source.start()
    try:
        while True:
            values.append(round(float(source.read().image.mean())))
    except SourceEnded:
        return values
    finally:
        source.close()


def test_a_video_file_gives_its_frames_in_order_at_its_own_rate(video: Path) -> None:
    source = open_source(Camera(source=str(video), loop=False, fps=3))
    values = read_all(source)
    assert source.fps == 20
    assert len(values) == 5
    assert values == sorted(values)
    assert values[-1] - values[0] > 100


def test_a_looping_file_starts_again(video: Path) -> None:
    source = open_source(Camera(source=str(video)))
    source.start()
    values = [round(float(source.read().image.mean())) for _ in range(12)]
    source.close()
    assert values[:5] == values[5:10]
    assert values[10:] == values[:2]


def test_a_folder_gives_its_pictures_by_name_and_skips_broken_ones(tmp_path: Path, caplog: Any) -> None:
    cv2.imwrite(str(tmp_path / "b.png"), picture(200))
    cv2.imwrite(str(tmp_path / "a.PNG"), picture(100))
    cv2.imwrite(str(tmp_path / "c.png"), np.full((48, 64), 50, np.uint8))
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("not one either")
    assert read_all(open_source(Camera(source=str(tmp_path), loop=False))) == [100, 200, 50]
    assert "broken.jpg" in caplog.text


def test_one_picture_is_a_source(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), picture(77))
    assert read_all(open_source(Camera(source=str(tmp_path / "one.png"), loop=False))) == [77]


def test_a_real_video_and_real_pictures() -> None:
    assets = shared_assets()
    source = open_source(Camera(source=str(assets / "video" / "one-by-one-person-detection.mp4"), loop=False))
    source.start()
    first = source.read().image
    source.close()
    assert first.shape == (432, 768, 3)
    assert source.fps == 10
    pictures = open_source(Camera(source=str(assets / "images"), loop=False))
    assert len(read_all(pictures)) == 8


def test_the_scene_never_ends_and_moves() -> None:
    source = open_source(Camera(source="scene", width=320, height=180))
    source.start()
    frames = [source.read().image for _ in range(4)]
    source.close()
    assert frames[0].shape == (180, 320, 3)
    assert any((frames[0] != other).any() for other in frames[1:])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.mp4", None, "No such file"),
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"this is no video at all, but it is long enough" * 40, "no video that OpenCV can read"),
        ("text.jpg", b"no picture", "no picture that can be read"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    source = open_source(Camera(source=str(tmp_path / name)))
    with pytest.raises(CaptureError) as caught:
        read_all(source)
    assert words in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_video_plays_what_it_has_or_says_so(tmp_path: Path, video: Path) -> None:
    whole = video.read_bytes()
    for share in (0.1, 0.5, 0.9):
        cut = tmp_path / f"cut-{share}.avi"
        cut.write_bytes(whole[: int(len(whole) * share)])
        source = open_source(Camera(source=str(cut), loop=False))
        with contextlib.suppress(CaptureError):
            assert 1 <= len(read_all(source)) <= 5


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="holds no picture"):
        open_source(Camera(source=str(tmp_path))).start()


def test_an_absent_camera_names_its_device() -> None:
    with pytest.raises(CaptureError, match=r"/dev/video87: no such camera"):
        open_source(Camera(source="87")).start()


def test_a_device_that_is_no_camera_is_said() -> None:
    with pytest.raises(CaptureError, match=r"/dev/null: is no camera"):
        open_source(Camera(source="/dev/null")).start()


def test_an_rtsp_host_that_is_down_is_said_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")  # and it is put back afterwards
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    source = open_source(Camera(source=f"rtsp://guard:secret@127.0.0.1:{port}/door"))
    assert source.live
    with pytest.raises(CaptureError) as caught:
        source.start()
    assert f"rtsp://127.0.0.1:{port}: does not answer" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://10.0.0.3:554/door",
        "rtsp://admin:secret@10.0.0.3:554/door",
        "rtsp://admin:se/cr@et@10.0.0.3:554/door",
        "rtsp://10.0.0.3:554/user=admin&password=secret",
        "rtsp://10.0.0.3:554?user=admin&password=secret",
        "rtsp://10.0.0.3:554#secret",
    ],
)
def test_of_an_address_only_scheme_host_and_port_are_shown(address: str) -> None:
    assert shown(address) == "rtsp://10.0.0.3:554"


def test_a_pipeline_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.capture.opencv.has_gstreamer", lambda: True)
    source = open_source(Camera(source="gst:rtspsrc location=rtsp://admin:secret@10.0.0.3 ! appsink"))
    assert source.name == "GStreamer pipeline"


@pytest.mark.skipif(has_gstreamer(), reason="this OpenCV has GStreamer")
def test_gstreamer_that_is_not_there_is_said() -> None:
    with pytest.raises(CaptureError, match="has no GStreamer"):
        open_source(Camera(source="gst:videotestsrc ! appsink")).start()


def test_picamera_that_is_not_there_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(CaptureError, match="sudo apt install python3-picamera2"):
        open_source(Camera(source="picamera")).start()


class FakeRequest:
    """A libcamera request: main in blue-green-red, lores as YUV420 planes whose rows are padded to 64 bytes."""

    def __init__(self, owner: FakePicamera2) -> None:
        self.owner = owner

    def make_array(self, name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
        width, height = self.owner.configuration[name]["size"]
        if name == "main":
            return picture(90, width, height)
        padded = -(-width // 64) * 64
        grey = cv2.cvtColor(picture(90, padded, height), cv2.COLOR_BGR2YUV_I420)
        return grey.astype(np.uint8)

    def release(self) -> None:
        self.owner.released += 1


class FakePicamera2:
    """As much of picamera2 as is used; ``fail`` makes the next capture time out."""

    opened = 0

    def __init__(self) -> None:
        type(self).opened += 1
        self.configuration: dict[str, Any] = {}
        self.released = 0
        self.fail = False
        self.closed = False

    def create_video_configuration(self, **streams: Any) -> dict[str, Any]:
        return streams

    def configure(self, configuration: dict[str, Any]) -> None:
        self.configuration = configuration

    def start(self) -> None:
        assert self.configuration

    def capture_request(self, wait: float) -> FakeRequest:
        if self.fail:
            raise TimeoutError(f"nothing for {wait} s")
        return FakeRequest(self)

    def close(self) -> None:
        self.closed = True


def test_picamera_gives_main_and_the_scaled_lores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=FakePicamera2))
    source: Any = open_source(Camera(source="picamera", fps=12), lambda width, height: (width // 4 + 1, height // 4))
    source.start()
    camera = source._camera
    taken = source.read()
    assert taken.image.shape == (720, 1280, 3)
    assert taken.lores is not None
    assert taken.lores.shape == (180, 322, 3), "YUV420 needs an even width"
    assert abs(int(taken.lores.mean()) - 90) <= 2
    assert camera.configuration["main"]["format"] == "RGB888"
    assert camera.configuration["controls"] == {"FrameRate": 12}
    assert camera.released == 1
    camera.fail = True
    with pytest.raises(CaptureError, match="no frame within 3 s"):
        source.read()
    source.close()
    source.close()
    assert camera.closed


def test_picamera_makes_no_lores_larger_than_main(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=FakePicamera2))
    source: Any = open_source(Camera(source="picamera", width=320, height=240), lambda *_: (640, 480))
    source.start()
    assert source._camera.configuration["lores"] is None
    assert source.read().lores is None
    source.close()


class Script:
    """A source that plays a list: a number is a picture, an exception is raised."""

    name = "script"
    fps = 1000.0

    def __init__(self, steps: list[int | Exception], *, live: bool, reopens: int | None = None) -> None:
        self.live = live
        self.reopens = reopens
        self.steps = steps
        self.starts = self.closes = 0

    def start(self) -> None:
        self.starts += 1

    def read(self) -> Picture:
        step = self.steps.pop(0) if self.steps else SourceEnded("script: ended")
        if isinstance(step, Exception):
            raise step
        return Picture(picture(step))

    def close(self) -> None:
        self.closes += 1


FAST = Camera(retry_min_s=0.01, retry_max_s=0.02)


def test_the_newest_frame_wins_and_drops_are_counted() -> None:
    slot: Latest[Frame] = Latest()
    capture = CaptureLoop(Script([1, 2, 3, 4], live=True), FAST, slot)
    capture.run(threading.Event())
    frame = slot.take(0)
    assert frame is not None
    assert (frame.sequence, int(frame.image[0, 0, 0])) == (4, 4)
    assert slot.dropped == 3
    assert capture.state.phase == "ended"
    assert slot.closed


def test_unpaced_hands_over_every_frame() -> None:
    slot: Latest[Frame] = Latest()
    settings = Camera(unpaced=True)
    worker = Worker("capture", CaptureLoop(Script([5, 6, 7], live=False), settings, slot).run)
    worker.start()
    seen = []
    while not slot.closed:
        frame = slot.take(1)
        if frame is not None:
            seen.append((frame.sequence, int(frame.image[0, 0, 0])))
    assert worker.join(2)
    assert seen == [(1, 5), (2, 6), (3, 7)]
    assert slot.dropped == 0


def test_a_lost_camera_is_said_and_opened_again(caplog: pytest.LogCaptureFixture) -> None:
    steps: list[int | Exception] = [1, CaptureError("script: unplugged"), CaptureError("script: unplugged"), 2]
    source = Script(steps, live=True)
    capture = CaptureLoop(source, FAST, Latest())
    caplog.set_level("INFO")
    capture.run(threading.Event())
    assert source.starts == 3
    assert capture.captured == 2
    assert capture.state.losses == 2
    assert caplog.text.count("camera lost: script: unplugged") == 1, "the same loss is said once"


def test_a_source_that_may_not_be_reopened_ends_the_worker() -> None:
    source = Script([1, CaptureError("gone"), 2, CaptureError("gone again"), 3], live=True, reopens=1)
    deaths: list[Worker] = []
    worker = Worker("capture", CaptureLoop(source, FAST, Latest()).run, on_death=deaths.append)
    worker.start()
    wait_until(lambda: deaths)
    assert worker.join(2)
    assert str(worker.error) == "gone again"
    assert source.closes >= 2


def test_a_recording_plays_at_its_own_pace() -> None:
    """Five frames at 20 a second cannot be over before 0.2 s have passed; a lower bound needs no fast machine."""
    source = Script([1, 2, 3, 4, 5], live=False)
    source.fps = 20.0
    begin = time.monotonic()
    CaptureLoop(source, FAST, Latest()).run(threading.Event())
    assert time.monotonic() - begin >= 0.2


def test_a_camera_that_comes_and_goes_is_tried_less_and_less() -> None:
    steps: list[int | Exception] = [1, CaptureError("gone"), 2, CaptureError("gone"), 3, CaptureError("gone"), 4]
    capture = CaptureLoop(Script(steps, live=True), Camera(retry_min_s=0.01, retry_max_s=10), Latest())
    capture.run(threading.Event())
    assert capture._retry_s == 0.08, "doubled after each loss, since it never ran for long"


def test_stop_interrupts_the_wait_before_a_retry() -> None:
    settings = Camera(retry_min_s=60, retry_max_s=60)
    capture = CaptureLoop(Script([CaptureError("down")], live=True), settings, Latest())
    worker = Worker("capture", capture.run)
    worker.start()
    wait_until(lambda: capture.state.phase == "lost")
    worker.stop()
    assert worker.join(5)


class Endless(Script):
    """A source that gives pictures without end."""

    def __init__(self, *, live: bool = True, reopens: int | None = None) -> None:
        super().__init__([], live=live, reopens=reopens)
        self.fault: CaptureError | None = None
        self.reads = 0

    def read(self) -> Picture:
        self.reads += 1
        if self.fault is not None:
            raise self.fault
        return Picture(picture(1))


def running(source: Script, settings: Camera = FAST) -> tuple[CaptureLoop, Worker]:
    capture = CaptureLoop(source, settings, Latest())
    worker = Worker("capture", capture.run)
    worker.start()
    return capture, worker


def end(worker: Worker) -> None:
    worker.stop()
    assert worker.join(5)


def test_a_camera_is_opened_again_when_asked_and_that_is_no_loss() -> None:
    source = Endless()
    capture, worker = running(source)
    wait_until(lambda: capture.state.phase == "running")
    capture.restart()
    wait_until(lambda: source.starts == 2 and capture.state.phase == "running")
    assert source.closes == 1
    assert capture.state.losses == 0
    end(worker)


def test_a_lost_camera_is_opened_again_at_once_when_asked() -> None:
    source = Endless()
    source.fault = CaptureError("down")
    capture, worker = running(source, Camera(retry_min_s=60, retry_max_s=60))
    wait_until(lambda: capture.state.phase == "lost")
    source.fault = None
    capture.restart()
    wait_until(lambda: capture.state.phase == "running", timeout=20)
    assert (source.starts, capture.state.losses) == (2, 1)
    end(worker)


def test_the_scene_is_opened_again_while_it_waits_for_its_next_picture() -> None:
    source = Endless(live=False)
    source.fps = 0.01
    capture, worker = running(source, Camera(source="scene"))
    wait_until(lambda: source.reads == 1 and capture.state.phase == "running")
    capture.restart()
    wait_until(lambda: source.starts == 2, timeout=20)
    end(worker)


def test_the_scene_is_opened_again_while_nobody_takes_its_picture() -> None:
    source = Endless(live=False)
    capture, worker = running(source, Camera(source="scene", unpaced=True))
    wait_until(lambda: capture.captured == 2)
    capture.restart()
    wait_until(lambda: source.starts == 2)
    end(worker)


def test_a_recording_is_not_opened_again() -> None:
    capture = CaptureLoop(Script([1], live=False), Camera(source="a.mp4"), Latest())
    with pytest.raises(CaptureError, match="script: is a recording; only a camera or the scene"):
        capture.restart()


def test_what_has_ended_is_not_opened_again() -> None:
    capture = CaptureLoop(Script([1], live=True), FAST, Latest())
    capture.run(threading.Event())
    with pytest.raises(CaptureError, match="script: has ended; restart preact-edge"):
        capture.restart()


def test_restarts_use_up_what_a_source_allows() -> None:
    """Or restart_camera would make picamera2 leak until the board has no memory left."""
    source = Endless(reopens=1)
    capture, worker = running(source)
    wait_until(lambda: capture.state.phase == "running")
    capture.restart()
    wait_until(lambda: source.starts == 2 and capture.state.phase == "running")
    with pytest.raises(CaptureError, match="cannot be opened again in one run"):
        capture.restart()
    source.fault = CaptureError("gone")
    assert worker.join(5)
    assert str(worker.error) == "gone", "systemd is to start the program again"
