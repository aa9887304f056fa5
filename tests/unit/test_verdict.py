"""The judge of the storms sees what it is there to see."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from tests.chaos.verdict import Given, Life, Row, Verdict, judge


def row(number: int, **changes: object) -> Row:
    return Row(**({"seq": number, "alert_id": f"alert_{number}", "event_uid": f"storm-{number}"} | changes))  # type: ignore[arg-type]


def given(number: int, **changes: object) -> Given:
    return {"seq": number, "alert_id": f"alert_{number}", "event_uid": f"storm-{number}", "durable": True} | changes


def faults(verdict: Verdict) -> dict[str, int]:
    names = ("lost", "repeated", "invented", "disordered", "gaps", "reused", "again")
    return {name: count for name, count in asdict(verdict).items() if name in names and count}


ROWS = [row(1), row(2), row(3)]


def test_a_good_storm() -> None:
    verdict = judge(ROWS, [Life([given(1), given(2), given(3)])])
    assert verdict.ok
    assert (verdict.committed, verdict.given) == (3, 3)


@pytest.mark.parametrize(
    ("rows", "came", "found"),
    [
        (ROWS, [given(1), given(3)], {"lost": 1}),
        (ROWS, [given(1), given(2), given(2, seq=None), given(3)], {"repeated": 1}),
        (ROWS, [given(2), given(1), given(3)], {"disordered": 1}),
        (ROWS, [given(1), given(2), given(3), given(4)], {"invented": 1}),
        ([row(1), row(2, seq=3)], [given(1), given(2, seq=3)], {"gaps": 1}),
        ([row(1), row(2, event_uid="storm-1")], [given(1)], {"disordered": 1, "reused": 1}),
        (ROWS, [given(1), given(2, alert_id="alert_1"), given(3)], {"reused": 3}),
    ],
)
def test_what_is_wrong_is_found(rows: list[Row], came: list[Given], found: dict[str, int]) -> None:
    verdict = judge(rows, [Life(came)])
    assert faults(verdict) == found
    assert not verdict.ok


def test_a_copy_without_a_number_counts_as_given() -> None:
    verdict = judge(ROWS, [Life([given(1), given(2, seq=None, alert_id="alert_9"), given(3)])])
    assert verdict.ok
    assert verdict.unnumbered == 1


def test_after_a_kill_only_what_lay_above_the_cursor_may_come_again() -> None:
    first = Life([given(1), given(2)])
    assert judge(ROWS, [first, Life([given(2), given(3)], started_after=1)]).ok
    assert judge(ROWS, [first, Life([given(2), given(3)], started_after=1)]).again == 1
    assert faults(judge(ROWS, [first, Life([given(2), given(3)], started_after=2)]))["repeated"] == 1
