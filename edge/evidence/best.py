"""Which frame shows best what an alert is about."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from edge.rules.condition import fold
from edge.types import Alert, Detection, Frame, Result

RECENT_S = 5.0  # a frame from longer before the alert is not of what the alert is about
MOST_OBJECTS = 4  # full: the one that is seen worst goes
MOST_BYTES = 6 << 20  # of the frames of those, two of 1280 x 720; full: the same, but one frame is always held


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A frame with its result, and how well it shows the object in question: ``score``, 0 to 1."""

    result: Result
    frame: Frame
    score: float


def held(shots: Iterable[Shot]) -> int:
    """Bytes of the frames that these shots hold on to; a frame of several counts once."""
    return sum({id(shot.frame): shot.frame.image.nbytes for shot in shots}.values())


def score_of(detection: Detection, frame: Frame) -> float:
    """Confidence times size, which is the square root of the box's share of the picture."""
    box = detection.box
    share = max(0.0, box.xmax - box.xmin) * max(0.0, box.ymax - box.ymin) / max(1, frame.width * frame.height)
    return detection.confidence * math.sqrt(min(1.0, share))


def shot_of(alert: Alert, result: Result, frame: Frame) -> Shot:
    """How well this frame shows the object that leads the alert: 0 where it does not."""
    leading = fold(alert.threat_types[0]) if alert.threat_types else ""
    tracks = result.tracks or (None,) * len(result.detections)
    scores = [
        score_of(detection, frame)
        for detection, track in zip(result.detections, tracks, strict=True)
        if fold(detection.class_name) == leading
        and (not alert.tracks or (track is not None and track.track_id in alert.tracks))
    ]
    return Shot(result, frame, max(scores, default=0.0))


class BestShots:
    """The best frame of the last RECENT_S seconds of each object that may lead an alert, of MOST_OBJECTS objects.

    It holds on to frames, MOST_BYTES of them, and copies none.

    Synchronization: none; it belongs to the thread that looks at the frames.
    """

    def __init__(self) -> None:
        self._shots: dict[tuple[int, str], Shot] = {}  # by object and class

    def observe(self, result: Result, frame: Frame, leading: Collection[str]) -> None:
        """One more frame; ``leading`` are the classes, folded, that may lead an alert."""
        oldest = frame.monotonic - RECENT_S
        self._shots = {key: shot for key, shot in self._shots.items() if shot.frame.monotonic > oldest}
        for detection, track in zip(result.detections, result.tracks, strict=False):
            name = fold(detection.class_name)
            if track is None or name not in leading:
                continue
            shot, known = Shot(result, frame, score_of(detection, frame)), self._shots.get((track.track_id, name))
            if known is None or shot.score > known.score:
                self._shots[track.track_id, name] = shot
        while len(self._shots) > MOST_OBJECTS or (len(self._shots) > 1 and held(self._shots.values()) > MOST_BYTES):
            del self._shots[min(self._shots, key=lambda key: self._shots[key].score)]

    def best(self, alert: Alert, now: Shot) -> Shot:
        """The best one of the object that leads the alert, or ``now``, the frame that raised it."""
        leading = fold(alert.threat_types[0]) if alert.threat_types else ""
        known = [self._shots[track, leading] for track in alert.tracks if (track, leading) in self._shots]
        return max([now, *known], key=lambda shot: shot.score)
