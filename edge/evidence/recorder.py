"""Evidence of alerts: pictures and clips, made and kept away from the threads that watch."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeAlias

from edge.config import Evidence, Rule
from edge.errors import EdgeError, StateError
from edge.evidence.best import Shot
from edge.evidence.choice import Choice
from edge.evidence.clips import Clips
from edge.evidence.comment import comment_of, with_comment
from edge.evidence.masks import Masks
from edge.evidence.stills import still
from edge.evidence.store import EvidenceStore, Kind, digest, is_reference
from edge.types import Alert, Look, Result

State: TypeAlias = Literal["ok", "failed", "off"]
Trouble: TypeAlias = Literal["disk", "picture"]
MOST_BYTES = 700_000  # of a picture: with base64 it fits into one message
RETRY_S = 5.0  # after a failure of the disk
TIDY_S = 600.0
POLL_S = 0.25
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClipPart:
    """``data`` begins at ``offset`` of the ``size`` bytes of a clip; ``sha256``, of all of it, comes with the last."""

    data: bytes
    offset: int
    size: int
    sha256: str = ""


class EvidenceRecorder:
    """Keeps a picture of each event, and where the settings say so a clip. ``run`` is a thread's work.

    What cannot be masked, made or written delays no alert: ``on_state`` is told ``failed`` and why, from the thread
    that runs, and ``ok`` when it works again. While ``settings.enabled`` is false nothing new is kept; what there is
    can be asked for, and goes when it is too old.

    Synchronization: observe belongs to one thread and run to another; the rest may be called from any.
    """

    def __init__(
        self,
        settings: Evidence,
        store: EvidenceStore,
        masks: Masks,
        *,
        rules: Callable[[], Sequence[Rule]],
        on_state: Callable[[State, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._store = store
        self._masks = masks
        self._on_state = on_state
        self._clock = clock
        self._choice = Choice(rules, store.holds, clock)
        self._clips = Clips(settings, masks)
        self._news = threading.Event()
        # Of the thread that runs:
        self._troubles: dict[Trouble, str] = {}
        self._retry_at = self._tidy_at = float("-inf")

    def observe(self, result: Result) -> Result:
        """One more result: the same one, its alerts with the reference of their pictures. Never blocks."""
        settings, frame = self._settings, result.frame
        if not settings.enabled:
            return result
        alerts = self._choice.observe(result)
        if settings.clip and frame is not None:
            for alert in alerts:
                if alert.state == "firing" and alert.snapshot and not self._store.holds(alert.event_uid, "avi"):
                    self._clips.begin(alert.event_uid, frame.monotonic)
            if self._clips.offer(result, frame):
                self._news.set()
        if self._choice.next() is not None:
            self._news.set()
        return replace(result, alerts=alerts) if alerts else result

    def run(self, stopping: threading.Event) -> None:
        self._on_state(*(("ok", "") if self._settings.enabled else ("off", "evidence.enabled is false")))
        while not stopping.is_set():
            self._news.wait(POLL_S)
            self._news.clear()
            self._work()
            self._keep_clips(self._clock())
            self._keep_house(self._clock())
        self._choice.finish()
        self._work()
        self._keep_clips(float("inf"))  # as far as they got

    def picture(self, reference: str) -> tuple[bytes, dict[str, Any]]:
        """The JPEG of an event, and what it tells of itself: frame_id, timestamp, width, height, quality, annotated.

        Raises EdgeError where there is none (yet).
        """
        jpeg, _ = self._find(reference, "jpg", self._choice.expects(reference))
        return jpeg, comment_of(jpeg)

    def has_clip(self, reference: str) -> bool:
        """Whether there is a clip of the event, or will be."""
        return self._clips.expects(reference) or self._store.holds(reference, "avi")

    def clip_part(self, reference: str, offset: int, most: int) -> ClipPart:
        """At most ``most`` bytes of an event's clip, from ``offset`` on; raises EdgeError where there is none (yet)."""
        expected = self._clips.expects(reference)
        data, size = self._find(reference, "avi", expected, offset, most)
        if offset > size:
            raise EdgeError(f"the clip of {reference} has {size} bytes, and offset is {offset}")
        if offset + len(data) < size:
            return ClipPart(data, offset, size)
        whole, _ = self._find(reference, "avi", expected)
        return ClipPart(data, offset, size, digest(whole))

    def _find(self, reference: str, kind: Kind, expected: bool, offset: int = 0, most: int = -1) -> tuple[bytes, int]:
        content = self._store.read(reference, kind, offset, most) if is_reference(reference) else None
        what = {"jpg": "picture", "avi": "clip"}[kind]
        if content is not None:
            return content
        if expected or not self._store.scanned:
            raise EdgeError(f"the {what} of {reference} is not there yet; ask again in a few seconds")
        raise EdgeError(f"there is no {what} of {reference}: none was made, or it is gone: too old, or too many")

    def _work(self) -> None:
        """One frame of the film, and every picture that is to be made."""
        self._made(self._clips.film)
        while (chosen := self._choice.next()) is not None:
            self._made(partial(self._make_picture, *chosen))
            self._choice.done(*chosen)
            self._flush()

    def _made(self, work: Callable[[], bool]) -> bool:
        try:
            done = work()
        except EdgeError as error:
            self._tell("picture", str(error))
            return False
        if done:
            self._tell("picture", "")
        return done

    def _make_picture(self, alert: Alert, shot: Shot) -> bool:
        settings, frame = self._settings, shot.frame
        look = Look(settings.quality, settings.annotated)
        made = still(shot.result, look, settings.max_width, MOST_BYTES, self._masks)
        fields = {
            "event_uid": alert.event_uid,
            "camera_id": alert.camera_id,
            "rule": alert.rule,
            "threat_level": alert.threat_level,
            "frame_id": frame.sequence,
            "timestamp": round(frame.captured_at, 3),
            "width": made.width,
            "height": made.height,
            "quality": made.quality,
            "annotated": settings.annotated,
        }
        self._store.put(alert.event_uid, "jpg", with_comment(made.jpeg, fields))
        return True

    def _keep_clips(self, now: float) -> None:
        for uid, clip in self._clips.ready(now):
            self._store.put(uid, "avi", clip)
            self._flush()

    def _keep_house(self, now: float) -> None:
        due = now >= self._tidy_at
        if due or ("disk" in self._troubles and now >= self._retry_at):
            self._tidy_at = now + TIDY_S if due else self._tidy_at
            self._flush(tidy=due)

    def _flush(self, *, tidy: bool = False) -> None:
        """Write what waits; the disk is well when that works, and not yet when it can be tidied only."""
        try:
            if tidy:
                self._store.tidy()
            self._store.flush()
        except StateError as error:
            self._retry_at = self._clock() + RETRY_S
            self._tell("disk", str(error))
        else:
            self._tell("disk", "")

    def _tell(self, trouble: Trouble, fault: str) -> None:
        """Log and tell what has changed: a fault, or that it is over."""
        if fault == self._troubles.get(trouble, ""):
            return
        if fault:
            logger.error("evidence: %s; alerts are not affected", fault)
            self._troubles[trouble] = fault
        else:
            del self._troubles[trouble]
        if not self._troubles:
            logger.info("evidence is kept again")
        if self._settings.enabled:
            self._on_state("failed" if self._troubles else "ok", "; ".join(self._troubles.values()))
