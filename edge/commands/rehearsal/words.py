"""A timeline in words, and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from edge.commands.reasons import advice, nearest
from edge.commands.rehearsal.timeline import Entry, Row, Timeline
from edge.config import Rule
from edge.rules.checks import unknown_classes
from edge.rules.condition import Reason
from edge.types import Alert

WORDS = {"firing": "FIRING", "escalated": "HIGHER", "resolved": "resolved"}


def clock(seconds: float) -> str:
    """``01:12.3``: minutes and seconds of a recording."""
    tenths = round(seconds * 10)
    return f"{tenths // 600:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"


def line(entry: Entry, rule: Rule) -> str:
    """An alert in one line, for people."""
    alert = entry.alert
    head = f"{clock(entry.at)}  {entry.number:>3}  {WORDS[entry.told]:<8}  {alert.threat_level:<8}  {alert.rule}"
    return f"{head}  {_what(entry, rule)}"


def alert_fields(entry: Entry) -> dict[str, Any]:
    """An alert as JSON has it; times are seconds of the recording, ``location`` pixels."""
    alert = entry.alert
    return {
        "type": "alert",
        "time_s": round(entry.at, 3),
        "event": entry.number,
        "state": alert.state,
        "rule": alert.rule,
        "threat_level": alert.threat_level,
        "threat_types": alert.threat_types,
        "confidence": round(alert.confidence, 4),
        "location": alert.location,
        "tracks": alert.tracks,
        "zones": entry.zones,
        "frame_id": alert.frame_id,
        "lasted_s": round(entry.seconds, 3),
    }


def explanation_fields(row: Row, class_names: frozenset[str]) -> dict[str, Any]:
    """How a rule stands at the end, as JSON has it."""
    explanation = row.explanation
    if explanation is None:
        return {"type": "explanation", "name": row.rule.name, "alerts": 0}
    fields = {"type": "explanation", **dataclasses.asdict(explanation), "alerts": row.fired}
    for candidate in fields["candidates"]:
        candidate |= {key: round(candidate[key], 3) for key in ("lasted_s", "age_s")}
    return {**fields, "cooldown_s": round(fields["cooldown_s"], 3), "next": _next(row, class_names)}


def summary(timeline: Timeline, class_names: frozenset[str]) -> Iterator[str]:
    """For each rule how often it fired, why not more often, and what to do next."""
    for row in timeline.rows:
        yield ""
        yield f"{row.rule.name}: {counted(row.fired, 'alert')}"
        yield from _refusals(row)
        yield f"  next: {_next(row, class_names)}"


def counted(count: int, thing: str) -> str:
    return f"{count or 'no'} {thing}{'' if count == 1 else 's'}"


def _refusals(row: Row) -> Iterator[str]:
    for reason, count in sorted(row.counts.items(), key=lambda pair: -pair[1]):
        yield f"  {count:>6} {'frame ' if count == 1 else 'frames'}  {reason:<8}  {_words(row, reason)}"
        yield f"{'':15}  {'':8}  {advice(reason)}"


def _what(entry: Entry, rule: Rule) -> str:
    alert = entry.alert
    if entry.told == "resolved":
        return f"{_who(alert)}, after {entry.seconds:.1f} s"
    where = [zone for zone in entry.zones if zone in rule.zones]
    place = f" in {', '.join(where)}" if where else ""
    over = f" over {rule.line}" if rule.line else ""
    long = f", {entry.seconds:.1f} s" if rule.when == "dwelt" or entry.told == "escalated" else ""
    return f"{_who(alert)}{place}{over} ({alert.confidence:.2f}){long}"


def _who(alert: Alert) -> str:
    """``person #4``; ``knife, person #7 #3``."""
    return " ".join([", ".join(alert.threat_types), *(f"#{track}" for track in alert.tracks)])


def _next(row: Row, class_names: frozenset[str]) -> str:
    for problem in unknown_classes([row.rule], class_names):
        return f"{problem.partition(': ')[2]}; take another model (preact-edge models list) or other classes"
    if row.fired:
        return "look at each alert in the recording: is it one that you want? For one that is missing, see why above"
    reason = nearest(row.counts)
    if reason is None:
        return "nothing that it looks for was seen; try --set detector.score_threshold=0.2, or another model"
    return f"it came nearest with {reason}: {_words(row, reason)}; {advice(reason)}"


def _words(row: Row, reason: Reason) -> str:
    """What was said last of this reason."""
    refusal = row.words.get(reason)
    return "" if refusal is None else refusal.text
