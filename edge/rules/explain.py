"""Why a rule did not fire, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge.rules.condition import Reason
from edge.rules.engine import Memory, Refused
from edge.rules.events import RuleState


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that a rule looks for, and that led to no alert: in ``frames`` frames, the last ``age_s`` ago.

    ``lasted_s`` is the time from the first of them to the last. ``reason`` is a word for programs, ``text`` is for
    people and speaks of the last of them. ``track_id`` is its number in rules about each object by itself.
    """

    reason: Reason
    text: str
    track_id: int | None
    frames: int
    lasted_s: float
    age_s: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """How one rule stands: ``hits`` of the last ``of`` frames matched, ``needed`` make it fire.

    ``cooldown_s`` is what is left of its quiet, ``events`` how many go on now. ``reason`` says why its last candidate
    did not fire. ``candidates`` are the last ones, the newest first; ``counts`` says in how many frames each reason
    was met since the start; a rule about each object counts each of them.
    """

    name: str
    state: RuleState
    hits: int
    needed: int
    of: int
    cooldown_s: float
    events: int
    reason: str
    candidates: tuple[Candidate, ...]
    counts: Mapping[Reason, int]


def explain(memory: Memory, now: float) -> Explanation:
    """How the rule with this memory stands at ``now`` on the monotonic clock."""
    rule = memory.rule
    newest_first = sorted(memory.refused, key=lambda refused: -refused.until)
    return Explanation(
        name=rule.name,
        state=memory.state,
        hits=memory.hits,
        needed=rule.hold_hits,
        of=rule.hold_frames,
        cooldown_s=memory.cooldown_s,
        events=len(memory.events),
        reason=_reason(memory, newest_first[0] if newest_first else None, now),
        candidates=tuple(_candidate(refused, now) for refused in newest_first),
        counts=dict(memory.counts),
    )


def _reason(memory: Memory, newest: Refused | None, now: float) -> str:
    if memory.looked_at is None:
        return "no frame was looked at yet"
    if memory.fired_at is not None and (newest is None or newest.until <= memory.fired_at):
        since = "it goes on" if memory.events else "nothing that it looks for was seen since"
        return f"fired {now - memory.fired_at:.1f} s ago; {since}"
    if newest is None:
        return "nothing that it looks for was seen"
    if newest.until == memory.looked_at:
        return newest.refusal.text
    return f"{now - newest.until:.1f} s ago: {newest.refusal.text}"


def _candidate(refused: Refused, now: float) -> Candidate:
    return Candidate(
        reason=refused.refusal.reason,
        text=refused.refusal.text,
        track_id=refused.track_id,
        frames=refused.frames,
        lasted_s=refused.until - refused.since,
        age_s=max(0.0, now - refused.until),
    )
