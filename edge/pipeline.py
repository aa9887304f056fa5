"""THE loop: frame, detections, rules, sinks. It knows no socket and no pin."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from edge.capture.camera import CaptureLoop
from edge.config import Config
from edge.errands import Errands
from edge.rules.checks import judge
from edge.rules.condition import Sighting, crime_relevant, sightings
from edge.rules.engine import Look, RuleEngine
from edge.rules.explain import Explanation, explain
from edge.rules.tracker import Tracker
from edge.text import shortened
from edge.types import Alert, Detection, Frame, Latency, Result, Status
from edge.workers import Latest

logger = logging.getLogger(__name__)
T = TypeVar("T")
LIMIT_S = 60.0  # one look: a large model takes seconds on a small board, vx compiles it for tens of them on the first
ASK_S = 3.0  # within what a client waits for; one look takes far less, also on a slow board
POLL_S = 0.25  # how often a waiting loop looks whether it is blind, idle or told to stop
DOUBTFUL = 0.5  # share of the score threshold down to which a box may keep an object that is known
MOST_REASONS = 3  # that each result carries; the log has them all
LONGEST_REASON = 300  # characters of it, since names and what a driver says may be of any length


class SeesFrames(Protocol):
    """What the pipeline needs of a detector."""

    score_threshold: float

    @property
    def class_names(self) -> Mapping[int, str]:
        """The names of the model's classes by their ids."""

    def detect(self, frame: Frame) -> tuple[Detection, ...]:
        """The objects in the frame, best first."""


@dataclass(frozen=True, slots=True)
class View:
    """How well the device can see right now; ``live``: a camera, from which frames are expected all the time."""

    status: Status
    reason: str
    live: bool


class Pipeline:
    """``run`` is the inference thread's work; every result goes to each of ``sinks``, none of which may block.

    With no frame to report (camera lost, or slower than ``stream.heartbeat_s``) a result without a frame says why, at
    once when the view changes and then at least every ``heartbeat_s``. With settings under which silence does not mean
    safety, and while the model is ``degraded`` (a line, or empty), every result says so.

    ``newest`` is the last result with a frame, ``looked`` the number of frames looked at.

    Synchronization: run belongs to one thread, which owns detector and rules; ask, apply, explain, newest and looked
    may be used from any other.
    """

    def __init__(
        self,
        slot: Latest[Frame],
        detector: SeesFrames,
        config: Config,
        *,
        model: str,
        degraded: str,
        view: Callable[[], View],
        sinks: Sequence[Callable[[Result], None]],
        max_frames: int | None = None,
        wall_known: Callable[[], bool] = lambda: True,
        inherited: Sequence[Alert] = (),
    ) -> None:
        self.looked = 0
        self.newest: Result | None = None
        self._errands = Errands("inference thread")
        self._slot = slot
        self._detector = detector
        self._engine = RuleEngine(
            config.alerts, camera_id=config.device.camera_id, score_threshold=config.detector.score_threshold
        )
        self._engine.inherit(inherited)
        self._tracker = Tracker(score_threshold=config.detector.score_threshold, max_lost_s=config.alerts.max_lost_s)
        self._config = config
        self._wall_known = wall_known
        self._camera_id = config.device.camera_id
        self._heartbeat_s = config.stream.heartbeat_s
        self._stall_s = config.camera.stall_s
        self._model = model
        self._degraded = degraded
        self._faults: tuple[str, ...] = ()
        self._condition: tuple[Status, str] = ("ok", "")  # while it is not blind
        self._view = view
        self._sinks = tuple(sinks)
        self._max_frames = max_frames
        self._size = (0, 0)
        self._last_frame = self._last_result = time.monotonic()
        self._last_view: tuple[Status, str] = ("ok", "")
        self._lower_threshold()
        self._assess(config)

    def run(self, stopping: threading.Event) -> None:
        try:
            self._watch(stopping)
        finally:
            self._errands.close()

    def ask(self, work: Callable[[], T], timeout: float = ASK_S) -> T:
        """What ``work`` returns or raises, done by the loop's thread between two frames, also while there are none.

        Raises EdgeError when the loop does not get to it within ``timeout`` seconds; then it is never done.
        """
        return self._errands.ask(work, timeout)

    def apply(self, config: Config) -> None:
        """Take over the score threshold, the rules and the crime-relevant classes; waits as ask does, and raises so.

        A rule that stays the same goes on with what it remembers.
        """
        self.ask(lambda: self._apply(config))

    def explain(self) -> tuple[Explanation, ...]:
        """How each rule stands, and why its last candidate did not fire; waits as ask does, and raises so."""
        return self.ask(self._explain)

    def _explain(self) -> tuple[Explanation, ...]:
        now = time.monotonic()
        return tuple(explain(memory, now) for memory in self._engine.memories(now))

    def _apply(self, config: Config) -> None:
        self._engine.replace(config.alerts, config.detector.score_threshold)  # first: it may refuse
        self._tracker.score_threshold = config.detector.score_threshold
        self._tracker.max_lost_s = config.alerts.max_lost_s
        self._config = config
        self._lower_threshold()
        self._assess(config)

    def _lower_threshold(self) -> None:
        self._detector.score_threshold = DOUBTFUL * self._config.detector.score_threshold

    def _assess(self, config: Config) -> None:
        """See how far these settings can be relied on; what is new of that is logged."""
        faults = judge(config, self._detector.class_names.values())
        for fault in faults:
            if fault not in self._faults:
                logger.warning("%s", fault)
        self._faults = faults
        reasons = [self._degraded, *faults] if self._degraded else list(faults)
        more = f"; and {len(reasons) - MOST_REASONS} more" if len(reasons) > MOST_REASONS else ""
        reason = shortened("; ".join(reasons[:MOST_REASONS]), LONGEST_REASON - len(more)) + more
        self._condition = ("degraded", reason) if reasons else ("ok", "")

    def _watch(self, stopping: threading.Event) -> None:
        while not stopping.is_set() and self.looked != self._max_frames:
            self._errands.serve()
            due = self._last_result + self._heartbeat_s - time.monotonic()
            frame = self._slot.take(min(POLL_S, max(0.0, due)))
            if frame is not None:
                self.newest = self._look(frame)
                self._publish(self.newest)
            elif self._slot.closed:
                return
            else:
                self._wait_in_words(time.monotonic())

    def _look(self, frame: Frame) -> Result:
        begin = time.monotonic()
        seen = self._follow(self._detector.detect(frame), frame)
        alerts = self._engine.update(
            Look(
                seen=seen,
                size=(frame.width, frame.height),
                now=frame.captured_at,
                monotonic=frame.monotonic,
                frame_id=frame.sequence,
                alive=self._tracker.alive,
                wall_known=self._wall_known(),
            )
        )
        end = time.monotonic()
        sure = [each for each in seen if each.detection.confidence >= self._config.detector.score_threshold]
        detections = tuple(each.detection for each in sure)
        self.looked += 1
        self._last_frame = end
        self._size = (frame.width, frame.height)
        status, reason = self._condition  # there is a frame, whatever the camera does by now
        return Result(
            timestamp=time.time(),
            camera_id=self._camera_id,
            status=status,
            reason=reason,
            model=self._model,
            frame=frame,
            frame_size=self._size,
            detections=detections,
            crime_relevant=crime_relevant(detections, self._config.alerts.crime_relevant),
            tracks=tuple(each.track for each in sure),
            zones=tuple(tuple(sorted(each.zones)) for each in sure),
            alerts=alerts,
            latency=Latency((begin - frame.monotonic) * 1e3, (end - begin) * 1e3, (end - frame.monotonic) * 1e3),
            dropped=self._slot.dropped,
        )

    def _follow(self, detections: Sequence[Detection], frame: Frame) -> tuple[Sighting, ...]:
        tracks = self._tracker.update(detections, frame.monotonic)
        return sightings(detections, tracks, (frame.width, frame.height), self._config.alerts.zones)

    def _wait_in_words(self, now: float) -> None:
        status, reason = self._judge(self._view(), now - self._last_frame)
        changed = (status, reason) != self._last_view and status == "blind"
        if changed or now - self._last_result >= self._heartbeat_s:
            self._publish(
                Result(
                    timestamp=time.time(),
                    camera_id=self._camera_id,
                    status=status,
                    reason=reason or "waiting for the next frame",
                    model=self._model,
                    frame_size=self._size,
                    dropped=self._slot.dropped,
                )
            )

    def _judge(self, view: View, waited: float) -> tuple[Status, str]:
        """The status to report after ``waited`` seconds without a frame."""
        if view.status == "blind":
            return "blind", shortened(view.reason, LONGEST_REASON)
        if view.live and waited > self._stall_s:
            return "blind", f"the camera gives no frame for more than {self._stall_s:g} s"
        return self._condition

    def _publish(self, result: Result) -> None:
        if result.status == "blind" and self._last_view[0] != "blind":
            logger.error("blind: %s", result.reason)
        if result.status != "blind" and self._last_view[0] == "blind":
            logger.info("seeing again")
        self._last_view = (result.status, result.reason)
        self._last_result = time.monotonic()
        for sink in self._sinks:
            sink(result)


def view_of(capture: CaptureLoop) -> View:
    """What the state of the camera means for who looks through it."""
    state, live = capture.state, capture.live
    if state.phase == "lost" or (state.phase == "opening" and state.losses):
        return View("blind", f"camera lost: {state.reason}", live)
    if state.phase == "opening" and live:
        return View("blind", "the camera is being opened", live)
    return View("ok", "", live)
