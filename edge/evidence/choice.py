"""Which frame an event is remembered by."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edge.config import Rule
from edge.evidence.best import MOST_BYTES, BestShots, Shot, held, shot_of
from edge.evidence.store import is_reference
from edge.rules.condition import fold
from edge.types import Alert, Frame, Result

AFTER_S = 2.0  # how long a better frame than the alert's own may come
BETTER = 1.1  # times as well seen: less is not worth another JPEG
MOST_WAITING = 16  # pictures to be made; full: a further event has none
MOST_WAITING_BYTES = 32 << 20  # of the frames of those; the same then
MOST_WATCHED = 4  # events for which better frames, MOST_BYTES of them, are held; full: a further one keeps its first
MOST_KNOWN = 64  # events whose picture can still be improved; full: the oldest keeps the one it has
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Watched:
    """An event for which a better frame is looked for until ``until``."""

    alert: Alert
    until: float
    best: Shot | None = None


class Choice:
    """Chooses frames: at once the best one of the last seconds, and then a clearly better one that comes within
    AFTER_S, or with a higher level's alert.

    ``rules`` are those in force: frames are held only of objects that may lead an alert. ``holds`` tells whether an
    event has a picture already.

    Synchronization: observe belongs to one thread; the rest may be called from any.
    """

    def __init__(
        self,
        rules: Callable[[], Sequence[Rule]],
        holds: Callable[[str], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._holds = holds
        self._clock = clock
        self._shots = BestShots()  # of the thread that observes
        # Guards everything below.
        self._lock = threading.Lock()
        self._known: dict[str, float] = {}  # by event: how well its picture shows what it is about
        self._watched: dict[str, _Watched] = {}
        self._chosen: dict[str, tuple[Alert, Shot]] = {}  # to be made, the oldest first

    def observe(self, result: Result) -> tuple[Alert, ...]:
        """One more result; its alerts, with the reference of their pictures. Never blocks."""
        frame = result.frame
        if frame is not None and result.detections:
            leading = {fold(name) for rule in self._rules() for name in rule.leading}
            self._shots.observe(result, frame, leading)
        with self._lock:
            alerts = tuple(self._refer(alert, result, frame) for alert in result.alerts)
            self._watch_on(result, frame)
        return alerts

    def next(self) -> tuple[Alert, Shot] | None:
        """What is to be made a picture of; it stays the next until it is done."""
        with self._lock:
            return next(iter(self._chosen.values()), None)

    def done(self, alert: Alert, shot: Shot) -> None:
        """There is a picture of it, or there cannot be one."""
        with self._lock:
            chosen = self._chosen.get(alert.event_uid)
            if chosen is not None and chosen[1] is shot:
                del self._chosen[alert.event_uid]

    def expects(self, uid: str) -> bool:
        """Whether a picture of the event is to be made."""
        with self._lock:
            return uid in self._chosen

    def finish(self) -> None:
        """No more frames come: what is better than a first picture is chosen now."""
        with self._lock:
            for uid in list(self._watched):
                self._settle(uid)

    def _refer(self, alert: Alert, result: Result, frame: Frame | None) -> Alert:
        uid = alert.event_uid
        if alert.state == "firing" and frame is not None and is_reference(uid):
            taken = self._take(alert, self._shots.best(alert, shot_of(alert, result, frame)))
            if taken and (len(self._watched) < MOST_WATCHED or uid in self._watched):
                self._watched[uid] = _Watched(alert, frame.monotonic + AFTER_S)
        return replace(alert, snapshot=uid) if uid in self._known or self._holds(uid) else alert

    def _take(self, alert: Alert, shot: Shot) -> bool:
        """Have a picture made of it, if it is better than what there is."""
        uid = alert.event_uid
        known = self._known.get(uid)
        if known is None and self._holds(uid):  # of a run before, or of long ago
            return False
        if known is not None and shot.score <= known * BETTER:
            return False
        if uid not in self._chosen and self._is_full(shot.frame):
            logger.warning("event %s has no new picture: too many wait to be made", uid)
            return False
        self._chosen[uid] = (alert, shot)
        self._known[uid] = shot.score
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]
        return True

    def _is_full(self, frame: Frame) -> bool:
        shots = [shot for _, shot in self._chosen.values()]
        known = any(shot.frame is frame for shot in shots)
        size = held(shots) + (0 if known else frame.image.nbytes)
        return bool(shots) and (len(shots) >= MOST_WAITING or size > MOST_WAITING_BYTES)

    def _watch_on(self, result: Result, frame: Frame | None) -> None:
        """See whether the frame is better for an event of the last seconds."""
        for uid, watched in list(self._watched.items()):
            if frame is not None and frame.monotonic < watched.until:
                shot = shot_of(watched.alert, result, frame)
                better = shot.score > (watched.best.score if watched.best else self._known.get(uid, 1.0))
                if better and self._has_room(uid, shot):
                    watched.best = shot
            elif frame is not None or self._clock() > watched.until:
                self._settle(uid)

    def _has_room(self, uid: str, shot: Shot) -> bool:
        """Whether the event may hold on to this shot, beside those that others hold on to."""
        others = [each.best for other, each in self._watched.items() if each.best is not None and other != uid]
        return not others or held([*others, shot]) <= MOST_BYTES

    def _settle(self, uid: str) -> None:
        watched = self._watched.pop(uid)
        if watched.best is not None:
            self._take(watched.alert, watched.best)
