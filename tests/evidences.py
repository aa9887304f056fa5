"""What the tests of evidence share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.config import DEFAULT_RULES, Evidence, PrivacyMask
from edge.evidence import EvidenceRecorder, EvidenceStore, Masks
from edge.geometry import Box
from edge.types import Alert, Detection, Frame, Image, Result, Track
from edge.workers import Worker

DAY = 86400.0
NOON = 1_760_000_000.0
LEFT_HALF = PrivacyMask(name="neighbours", points=((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))


def decode(jpeg: bytes) -> Image:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image  # type: ignore[return-value]


def picture(width: int = 320, height: int = 180, shade: int = 200) -> Image:
    return np.full((height, width, 3), shade, np.uint8)


def look(
    number: int,
    monotonic: float,
    *alerts: Alert,
    confidence: float = 0.9,
    box: Box = Box(200, 40, 240, 80),  # noqa: B008 - frozen
    name: str = "knife",
    track: int = 1,
    image: Image | None = None,
) -> Result:
    """One result: a frame of its own shade with one object."""
    image = picture(shade=number % 256) if image is None else image
    detection = Detection(0, name, confidence, box)
    frame = Frame(number, NOON + monotonic, monotonic, image)
    return Result(
        timestamp=NOON + monotonic,
        camera_id="main",
        status="ok",
        model="test",
        frame=frame,
        frame_size=(frame.width, frame.height),
        detections=(detection,),
        crime_relevant=(True,),
        tracks=(Track(track, detection, box, monotonic, monotonic),),
        zones=((),),
        alerts=alerts,
    )


def fires(uid: str = "event-1", **changes: Any) -> Alert:
    values: dict[str, Any] = {
        "alert_id": "alert_1",
        "timestamp": NOON,
        "camera_id": "main",
        "rule": "armed person",
        "threat_level": "critical",
        "confidence": 0.9,
        "threat_types": ("knife",),
        "location": (220, 60),
        "detection_count": 1,
        "frame_id": 1,
        "event_uid": uid,
        "tracks": (1,),
    }
    return Alert(**(values | changes))


class Clock:
    """A monotonic clock that goes when it is told to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def store(folder: Path, now: Callable[[], float] = lambda: NOON, **settings: Any) -> EvidenceStore:
    """A store that leaves no reserve."""
    options = {name: settings.pop(name) for name in ("monotonic", "reserve") if name in settings}
    return EvidenceStore(folder, Evidence(**settings), now=now, **{"reserve": 0} | options)


class Told:
    """Keeps what a recorder tells."""

    def __init__(self) -> None:
        self.states: list[tuple[str, str]] = []

    def __call__(self, state: str, reason: str) -> None:
        self.states.append((state, reason))

    @property
    def state(self) -> str:
        return self.states[-1][0] if self.states else ""

    @property
    def reason(self) -> str:
        return self.states[-1][1] if self.states else ""


@contextmanager
def recording(
    folder: Path,
    told: Told | None = None,
    *,
    masks: Sequence[PrivacyMask] = (),
    kept: EvidenceStore | None = None,
    clock: Callable[[], float] | None = None,
    **settings: Any,
) -> Iterator[EvidenceRecorder]:
    """A recorder whose thread runs, and ends well."""
    config = Evidence(**settings)
    recorder = EvidenceRecorder(
        config,
        EvidenceStore(folder, config, now=lambda: NOON, reserve=0) if kept is None else kept,
        Masks(masks),
        rules=lambda: DEFAULT_RULES,
        on_state=told or Told(),
        **({} if clock is None else {"clock": clock}),
    )
    worker = Worker("keeper", recorder.run)
    worker.start()
    try:
        yield recorder
    finally:
        worker.stop()
        assert worker.join(10)
        assert worker.error is None


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []


def film(path: Path) -> tuple[list[Image], float]:
    """The frames of a clip as OpenCV plays it, and its frames a second."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_OPENCV_MJPEG)
    assert capture.isOpened()
    frames = []
    while True:
        ok, frame = capture.read()
        if not ok:
            return frames, float(capture.get(cv2.CAP_PROP_FPS))
        frames.append(frame)


STOPPED = threading.Event()
STOPPED.set()
