"""Why a rule did not fire, in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge.config import Rule
from edge.rules.engine import Candidate, Memory, RuleState, fold
from edge.types import Detection


@dataclass(frozen=True, slots=True)
class Explanation:
    """How one rule stands: ``hits`` of the last ``of`` frames matched, ``needed`` make it fire.

    ``cooldown_s`` is what is left of its quiet. ``reason`` says why its last candidate did not fire: the last frame
    that showed what it looks for, since its last alert.
    """

    name: str
    state: RuleState
    hits: int
    needed: int
    of: int
    cooldown_s: float
    reason: str


def explain(memory: Memory, now: float) -> Explanation:
    """How the rule with this memory stands at ``now`` on the monotonic clock."""
    rule = memory.rule
    return Explanation(
        name=rule.name,
        state=memory.state,
        hits=memory.hits,
        needed=rule.hold_hits,
        of=rule.hold_frames,
        cooldown_s=memory.cooldown_s,
        reason=_reason(memory, now),
    )


def lack(rule: Rule, detections: Sequence[Detection]) -> str:
    """What these detections lack for the rule to match them; empty where nothing is."""
    best: dict[str, Detection] = {}
    for detection in sorted(detections, key=lambda each: each.confidence):
        best[fold(detection.class_name)] = detection
    sure = {name for name, detection in best.items() if detection.confidence >= rule.min_confidence}
    parts = []
    if rule.any and sure.isdisjoint(map(fold, rule.any)):
        parts.append(_missing(rule.any, best, rule))
    parts += [_missing((name,), best, rule) for name in rule.all if fold(name) not in sure]
    parts += [f"{name} is seen, and the rule asks for none" for name in rule.none if fold(name) in sure]
    return "; ".join(dict.fromkeys(parts))


def _reason(memory: Memory, now: float) -> str:
    if memory.looked_at is None:
        return "no frame was looked at yet"
    if memory.candidate is not None:
        why = _why(memory.rule, memory.candidate, now)
        age = now - memory.candidate.monotonic
        return why if memory.candidate.monotonic == memory.looked_at else f"{age:.1f} s ago: {why}"
    if memory.fired_at is None:
        return "nothing that it looks for was seen"
    return f"fired {now - memory.fired_at:.1f} s ago; nothing that it looks for was seen since"


def _why(rule: Rule, candidate: Candidate, now: float) -> str:
    if not candidate.matched:
        return lack(rule, candidate.detections)
    if candidate.hits < rule.hold_hits:
        return f"{candidate.hits} of {rule.hold_frames} frames matched, {rule.hold_hits} needed"
    left = candidate.cooldown_s - (now - candidate.monotonic)
    return f"cooling down for {left:.1f} s" if left > 0 else "was cooling down"


def _missing(names: Iterable[str], best: dict[str, Detection], rule: Rule) -> str:
    """Which of ``names`` would have been seen if it were surer, or that there was none."""
    doubtful = max((best[fold(name)] for name in names if fold(name) in best), key=_confidence, default=None)
    if doubtful is None:
        return f"no {_either(list(names))}"
    shown = math.floor(doubtful.confidence * 100) / 100  # 0.499 is not 0.50
    return f"{doubtful.class_name} {shown:.2f} is below min_confidence {rule.min_confidence:g}"


def _confidence(detection: Detection) -> float:
    return detection.confidence


def _either(names: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
