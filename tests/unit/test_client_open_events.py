"""Which events go on, for a client."""

from __future__ import annotations

from edge.stream.client import Alert, Gap, OpenEvents, Reset, Welcome
from edge.stream.client.openevents import MAX_OPEN, MAX_OVER


def told(uid: str, state: str = "firing", level: str = "medium", seq: int | None = None) -> Alert:
    return Alert(event_uid=uid, state=state, threat_level=level, seq=seq)


def after(*events: object) -> dict[str, str]:
    """What goes on, with its level, once these came."""
    opened = OpenEvents()
    for event in events:
        opened.take(event)
    return {uid: alert.threat_level for uid, alert in opened.items()}


def test_an_event_goes_on_from_its_first_alert_until_it_is_resolved() -> None:
    assert after(told("a"), told("b"), told("a", level="high")) == {"a": "high", "b": "medium"}
    assert after(told("a"), told("b"), told("a", "resolved")) == {"b": "medium"}
    assert after(Welcome(), told("a", "resolved"), told("b")) == {"b": "medium"}
    assert list(after(told("a"), told("b"), told("a", level="high"))) == ["a", "b"], "the one that began first, first"


def test_what_was_resolved_stays_so_and_no_level_is_taken_back() -> None:
    """[EDGE-9-19] It came when the unnumbered copies of the first alert had gone, and those of the others had not."""
    assert after(told("a", "resolved", "high"), told("a", seq=41), told("a", level="high", seq=42)) == {}
    assert after(told("a", level="high"), told("a", level="medium", seq=41)) == {"a": "high"}
    assert after(told("a", level="of a later version"), told("a", level="low")) == {"a": "low"}


def test_after_a_gap_and_a_reset_nothing_is_known_to_go_on() -> None:
    """[EDGE-9-20]"""
    for lost in (Gap(3), Reset("t")):
        assert after(told("a"), lost) == {}
        assert after(told("a"), lost, told("b")) == {"b": "medium"}
        assert after(told("a", "resolved"), lost, told("a")) == {}, "what was over is over"


def test_events_without_a_name_are_none() -> None:
    assert after(told("")) == {}


def test_what_is_remembered_is_bounded() -> None:
    opened = OpenEvents()
    for number in range(2 * MAX_OPEN):
        opened.take(told(f"e{number}"))
    assert list(opened) == [f"e{number}" for number in range(MAX_OPEN, 2 * MAX_OPEN)]
    for number in range(2 * MAX_OVER):
        opened.take(told(f"o{number}", "resolved"))
    assert len(opened._over) == MAX_OVER
