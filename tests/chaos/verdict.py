"""What a storm left on disk against what the application was given. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.device import PREFIX

Given = dict[str, Any]  # a line of a client: seq, event_uid, alert_id, durable, replay


@dataclass(frozen=True)
class Row:
    """An alert in the outbox."""

    seq: int
    alert_id: str
    event_uid: str


@dataclass(frozen=True)
class Life:
    """What one run of a client gave, from its start to its end or its kill.

    ``started_after`` is the number in the cursor file when it started: the alerts up to it are dealt with.
    """

    given: Sequence[Given]
    started_after: int = 0


@dataclass
class Verdict:
    """Everything but the first three must be 0."""

    committed: int = 0
    given: int = 0
    unnumbered: int = 0  # given as a copy without a number: the disk was slow
    lost: int = 0  # committed, never given
    repeated: int = 0  # given twice, where it was known to be dealt with
    invented: int = 0  # given, and in no row
    disordered: int = 0  # a number that does not rise, or a row whose event is not the next of the storm
    gaps: int = 0  # numbers that are missing in the outbox
    reused: int = 0  # one number, label or event with two contents, in rows or messages
    again: int = 0  # given twice to a client that was killed before it had saved its cursor: allowed
    faults: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not (self.lost or self.repeated or self.invented or self.disordered or self.gaps or self.reused)


def judge(rows: Sequence[Row], lives: Sequence[Life]) -> Verdict:
    """Compare. Repeats are allowed in a life that follows a kill, of alerts above its cursor, and nowhere else."""
    verdict = Verdict(committed=len(rows))
    _look_at_rows(rows, verdict)
    by_event = {row.event_uid: row for row in rows}
    seen: set[str] = set()
    for life in lives:
        _look_at_life(life, by_event, seen, verdict)
    verdict.lost = len(by_event.keys() - seen)
    verdict.faults += [f"{uid} was never given" for uid in sorted(by_event.keys() - seen)[:5]]
    _look_for_reuse(rows, [each for life in lives for each in life.given], verdict)
    return verdict


def _look_at_rows(rows: Sequence[Row], verdict: Verdict) -> None:
    for place, row in enumerate(rows, 1):
        if row.seq != place:
            verdict.gaps += 1
        if row.event_uid != f"{PREFIX}{place}":
            verdict.disordered += 1
            verdict.faults.append(f"number {row.seq} is {row.event_uid}")


def _look_at_life(life: Life, rows: dict[str, Row], seen: set[str], verdict: Verdict) -> None:
    here: set[str] = set()
    last = life.started_after
    for each in life.given:
        uid = each["event_uid"]
        verdict.given += 1
        row = rows.get(uid)
        if row is None:
            verdict.invented += 1
            continue
        if uid in here or (uid in seen and row.seq <= life.started_after):
            verdict.repeated += 1
            verdict.faults.append(f"{uid} was given again")
        elif uid in seen:
            verdict.again += 1
        if each["seq"] is None:
            verdict.unnumbered += 1
        elif each["seq"] <= last:
            verdict.disordered += 1
            verdict.faults.append(f"{each['seq']} came after {last}")
        else:
            last = each["seq"]
        here.add(uid)
    seen |= here


def _look_for_reuse(rows: Sequence[Row], given: Sequence[Given], verdict: Verdict) -> None:
    labels = {row.event_uid: row.alert_id for row in rows}  # for clients that do not print it
    facts: list[tuple[int, str | None, str]] = [(row.seq, row.alert_id, row.event_uid) for row in rows]
    for each in given:
        if each["seq"] is not None:
            uid = each["event_uid"]
            facts.append((each["seq"], each.get("alert_id", labels.get(uid)), uid))
    for place in range(3):
        owners = Counter(fact[place] for fact in set(facts))
        twice = [owner for owner, count in owners.items() if count > 1]
        verdict.reused += len(twice)
        verdict.faults += [f"{owner} stands for several alerts" for owner in twice[:5]]
