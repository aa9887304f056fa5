"""What rules did over a recording: alerts, states, refused candidates, the ways of objects. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from edge.config import Rule
from edge.rules.condition import Reason, Refusal
from edge.rules.engine import Memory
from edge.rules.explain import Explanation, explain
from edge.types import Alert, Result

Phase: TypeAlias = Literal["pending", "firing", "cooldown"]
Told: TypeAlias = Literal["firing", "escalated", "resolved"]
REFUSED_GAP_S = 0.5  # refusals nearer to each other than this are one stretch
STEP = 0.01  # of the picture: a shorter way is none, it is a box that trembles


@dataclass(frozen=True, slots=True)
class Entry:
    """An alert, at ``at`` seconds of the recording. ``number`` counts events from 1, in the order of their alerts.

    ``place`` is the alert's in fractions of the picture, ``zones`` are those of the object that led. ``seconds`` is how
    long it went on: before the alert while it fires, after its first one when it is resolved.
    """

    number: int
    at: float
    told: Told
    alert: Alert
    place: tuple[float, float]
    zones: tuple[str, ...]
    seconds: float


@dataclass(slots=True)
class Stretch:
    """From ``begin`` to ``end`` seconds."""

    begin: float
    end: float


@dataclass(slots=True)
class Phases(Stretch):
    phase: Phase


@dataclass(slots=True)
class Row:
    """One rule: its phases, when candidates were refused, the last words of each reason, and what it remembers."""

    rule: Rule
    phases: list[Phases] = field(default_factory=list)
    refused: list[Stretch] = field(default_factory=list)
    words: dict[Reason, Refusal] = field(default_factory=dict)
    memory: Memory | None = None
    fired: int = 0

    @property
    def counts(self) -> Mapping[Reason, int]:
        """In how many frames each reason was met."""
        return {} if self.memory is None else self.memory.counts

    @property
    def explanation(self) -> Explanation | None:
        """How the rule stands after the last frame; None before the first."""
        if self.memory is None or self.memory.looked_at is None:
            return None
        return explain(self.memory, self.memory.looked_at)


@dataclass(slots=True)
class Way:
    """Where an object's feet were, in fractions of the picture; it was seen in ``frames`` frames."""

    class_name: str
    frames: int = 0
    points: list[tuple[float, float]] = field(default_factory=list)


class Timeline:
    """Fed with every result by ``observe``; times are seconds of the recording.

    Synchronization: none; it belongs to one thread.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rows = tuple(Row(rule) for rule in rules)
        self.entries: list[Entry] = []
        self.ways: dict[int, Way] = {}
        self.frames = 0
        self.begin = self.end = 0.0
        self._numbers: dict[str, int] = {}  # by event_uid
        self._fired_at: dict[str, float] = {}

    def observe(self, result: Result, memories: Sequence[Memory]) -> tuple[Entry, ...]:
        """Take in one frame; the alerts of it."""
        assert result.frame is not None  # noqa: S101 - who calls this has looked at a frame
        at = result.frame.monotonic
        if not self.frames:
            self.begin = at
        since, self.end = self.end if self.frames else at, at
        self.frames += 1
        for row, memory in zip(self.rows, memories, strict=True):
            _note(row, memory, since, at)
        self._follow(result)
        began = {event.uid: event.began_at for memory in memories for event in memory.events}
        fresh = tuple(self._entry(alert, result, at, began.get(alert.event_uid, at)) for alert in result.alerts)
        self.entries += fresh
        return fresh

    def _entry(self, alert: Alert, result: Result, at: float, began_at: float) -> Entry:
        known = alert.event_uid in self._numbers
        number = self._numbers.setdefault(alert.event_uid, len(self._numbers) + 1)
        fired_at = self._fired_at.setdefault(alert.event_uid, at)
        told: Told = "resolved" if alert.state == "resolved" else "escalated" if known else "firing"
        if told == "firing":
            for row in self.rows:
                row.fired += row.rule.name == alert.rule
        width, height = result.frame_size
        return Entry(
            number=number,
            at=at,
            told=told,
            alert=alert,
            place=(alert.location[0] / max(1, width), alert.location[1] / max(1, height)),
            zones=_zones(alert, result),
            seconds=at - (fired_at if told == "resolved" else began_at),
        )

    def _follow(self, result: Result) -> None:
        width, height = result.frame_size
        for detection, track in zip(result.detections, result.tracks, strict=True):
            if track is None:
                continue
            way = self.ways.setdefault(track.track_id, Way(detection.class_name))
            way.frames += 1
            x, y = detection.box.centre[0] / max(1, width), detection.box.ymax / max(1, height)
            if not way.points or max(abs(x - way.points[-1][0]), abs(y - way.points[-1][1])) >= STEP:
                way.points.append((x, y))


def _zones(alert: Alert, result: Result) -> tuple[str, ...]:
    """The zones of the object that led an alert, where this frame shows it."""
    for track, zones in zip(result.tracks, result.zones, strict=True):
        if track is not None and track.track_id in alert.tracks[:1]:
            return zones
    return ()


def _note(row: Row, memory: Memory, since: float, at: float) -> None:
    phase = _phase(memory)
    if phase is not None:
        last = row.phases[-1] if row.phases else None
        if last is not None and last.phase == phase and last.end >= since:
            last.end = at
        else:
            row.phases.append(Phases(since, at, phase))
    for refused in memory.refused:
        if refused.until == at:
            row.words[refused.refusal.reason] = refused.refusal
    if sum(memory.counts.values()) > sum(row.counts.values()):
        if row.refused and at - row.refused[-1].end <= REFUSED_GAP_S:
            row.refused[-1].end = at
        else:
            row.refused.append(Stretch(at, at))
    row.memory = memory


def _phase(memory: Memory) -> Phase | None:
    if memory.state == "inactive":
        return "cooldown" if memory.cooldown_s > 0 else None
    return memory.state
