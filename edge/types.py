"""The frozen values that cross threads. Nobody writes to an image after it is in a Frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from edge.geometry import Box

if TYPE_CHECKING:  # what only reads settings, such as `preact-edge buzzer off`, does not wait for numpy
    import numpy as np
    from numpy.typing import NDArray

Image: TypeAlias = "NDArray[np.uint8]"  # shape (height, width, 3), blue-green-red, as OpenCV and picamera2 give it
ThreatLevel: TypeAlias = Literal["low", "medium", "high", "critical"]
LEVELS: tuple[ThreatLevel, ...] = ("low", "medium", "high", "critical")  # in rising order
Status: TypeAlias = Literal["ok", "degraded", "blind"]
AlertState: TypeAlias = Literal["firing", "resolved"]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a source.

    ``sequence`` counts the source's frames from 1, dropped ones included. ``captured_at`` is Unix time and
    ``monotonic`` the monotonic clock's time of the same moment, both in seconds. ``lores`` is the same view at a
    smaller size where the camera's own scaler made one, else None.
    """

    sequence: int
    captured_at: float
    monotonic: float
    image: Image
    lores: Image | None = None

    @property
    def width(self) -> int:
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        return int(self.image.shape[0])


@dataclass(frozen=True, slots=True)
class Detection:
    """One object that the detector saw: ``confidence`` 0 to 1, ``box`` in pixels of the full frame."""

    class_id: int
    class_name: str
    confidence: float
    box: Box


@dataclass(frozen=True, slots=True)
class Track:
    """One object over frames.

    ``detection`` is how it was seen last and ``seen_at`` when; ``box`` is where it is now, which is expected only
    while it is not ``seen``. ``velocity`` is in pixels of the full frame a second; ``began_at`` and ``seen_at`` are
    monotonic times in seconds; ``hits`` counts the frames that showed it.
    """

    track_id: int
    detection: Detection
    box: Box
    began_at: float
    seen_at: float
    velocity: tuple[float, float] = (0.0, 0.0)
    hits: int = 1
    seen: bool = True

    @property
    def speed(self) -> float:
        """Pixels of the full frame a second."""
        return math.hypot(*self.velocity)

    def age_s(self, monotonic: float) -> float:
        """Seconds since it was first seen."""
        return max(0.0, monotonic - self.began_at)


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule that fired, or, with ``state`` resolved, whose event is over.

    ``alert_id`` is a label unique on this device, once the outbox has stored the alert; before that it is a proposal.
    ``event_uid`` names what happened: every message about one event carries the same, also one that tells a higher
    level. ``timestamp`` is the Unix time of the frame that fired it, ``location`` the centre, in pixels, of the
    detection that weighs most and ``confidence`` its confidence, ``threat_types`` the class names that took part, its
    own first, ``detection_count`` how many detections took part of the rule's list that it comes from: one knife with
    a person counts 1, as in the customer's guide. ``tracks`` are the numbers of the tracked objects that took part.
    ``snapshot`` is the reference of the event's picture, empty where none is kept.
    """

    alert_id: str
    timestamp: float
    camera_id: str
    rule: str
    threat_level: ThreatLevel
    confidence: float
    threat_types: tuple[str, ...]
    location: tuple[int, int]
    detection_count: int
    frame_id: int
    event_uid: str
    state: AlertState = "firing"
    tracks: tuple[int, ...] = ()
    snapshot: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from every other alert before it has a number: the event, the state and the level."""
        return self.event_uid, self.state, self.threat_level

    @property
    def message(self) -> str:
        """One line for a person, in the words of the customer's guide."""
        what = "detected" if self.state == "firing" else "resolved"
        return f"{self.threat_level.upper()} threat {what}: {', '.join(self.threat_types)}"


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert on disk: number ``seq`` (from 1, no number left out) of the stream with this id."""

    stream: str
    seq: int
    alert: Alert


@dataclass(frozen=True, slots=True)
class StreamBounds:
    """What the outbox holds: alerts ``oldest_seq`` to ``next_seq`` - 1 of ``stream``; none when they are equal."""

    stream: str
    oldest_seq: int
    next_seq: int


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from the frame's capture: waiting to be looked at, looking (detector and rules), and both."""

    capture: float
    inference: float
    total: float


@dataclass(frozen=True, slots=True)
class Result:
    """What one look gave; without a frame (camera lost, idle) it is a sign of life and says why in ``reason``.

    ``timestamp`` is Unix time; ``crime_relevant`` holds one flag for each detection, ``tracks`` its object or None, and
    ``zones`` the names of those that it is in (the last two are empty where nothing is followed). ``alerts`` are those
    that fired and those that were resolved. ``dropped`` counts the frames that the source delivered and nobody looked
    at, since start.
    """

    timestamp: float
    camera_id: str
    status: Status
    model: str
    reason: str = ""
    frame: Frame | None = None
    frame_size: tuple[int, int] = (0, 0)  # width, height of the frame: of the last one where there is none
    detections: tuple[Detection, ...] = ()
    crime_relevant: tuple[bool, ...] = ()
    tracks: tuple[Track | None, ...] = ()
    zones: tuple[tuple[str, ...], ...] = ()
    alerts: tuple[Alert, ...] = ()
    latency: Latency | None = None
    dropped: int = 0

    def without_pixels(self) -> Result:
        """The same result without the picture itself, which is thousands of times larger than all the rest."""
        import numpy as np

        if self.frame is None:
            return self
        frame = Frame(self.frame.sequence, self.frame.captured_at, self.frame.monotonic, np.empty((0, 0, 3), np.uint8))
        return replace(self, frame=frame, frame_size=(self.frame.width, self.frame.height))


@dataclass(frozen=True, slots=True)
class Look:
    """How a client wants its pictures: JPEG quality 10 to 100, with or without boxes."""

    quality: int
    annotated: bool


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One JPEG for the stream: ``width`` and ``height`` in pixels, ``annotated`` when boxes are drawn on it.

    ``look`` is how it was asked for: who asked for another look is not sent this one.
    """

    frame_id: int
    timestamp: float
    camera_id: str
    width: int
    height: int
    annotated: bool
    jpeg: bytes
    look: Look | None = None  # None: as the settings say


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model file and what is known about it; an empty hint means: find out from the file itself."""

    name: str
    path: Path
    labels: Path | None = None
    decoder: Literal["", "ssd", "yolo"] = ""
    resize: Literal["", "letterbox", "stretch"] = ""
    cpu_twin: ModelSpec | None = None  # for a model compiled for an accelerator: the one that the CPU can run
