"""The cursor rule, without sockets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ProtocolError
from edge.stream.client import Alert, Cursor, Gap, HelloOk, Reset
from edge.stream.client.cursor import MAX_COPIES, Progress
from edge.stream.client.messages import Resumed


def hello(start: int, status: str = "ok", missed: int = 0, stream: str = "s") -> HelloOk:
    return HelloOk(stream=stream, resume=Resumed(status=status, start=start, missed=missed))  # type: ignore[arg-type]


def alert(seq: int | None, uid: str = "") -> Alert:
    return Alert(stream="s", seq=seq, event_uid=uid or f"event-{seq}")


def test_it_starts_where_the_device_says() -> None:
    progress = Progress()
    assert progress.begin(hello(5)) is None
    assert progress.cursor == Cursor("s", 4)
    assert progress.admit(alert(5))


@pytest.mark.parametrize(
    ("answer", "told", "cursor"),
    [
        (hello(8), None, Cursor("s", 7)),
        (hello(3), None, Cursor("s", 7)),  # what comes again is not given again
        (hello(20, "gap", 12), Gap(12), Cursor("s", 19)),
        (hello(1, "reset", stream="t"), Reset("t"), Cursor("t", 0)),
        (HelloOk(), None, Cursor("s", 7)),  # a device that cannot number for now
    ],
)
def test_what_a_new_session_tells(answer: HelloOk, told: object, cursor: Cursor) -> None:
    progress = Progress(Cursor("s", 7))
    assert progress.begin(answer) == told
    assert progress.cursor == cursor


@pytest.mark.parametrize("answer", [hello(9), hello(8, stream="t")])
def test_an_ok_that_is_none_is_an_error(answer: HelloOk) -> None:
    with pytest.raises(ProtocolError, match="alert 8 was asked for"):
        Progress(Cursor("s", 7)).begin(answer)


def test_a_reset_that_was_asked_for_is_no_news() -> None:
    assert Progress().begin(hello(1, "reset")) is None


def test_the_memory_of_copies_is_bounded() -> None:
    progress = Progress(Cursor("s", 0))
    for number in range(2 * MAX_COPIES):
        assert progress.admit(alert(None, f"event-{number}"))
    assert len(progress._copies) == MAX_COPIES
    assert not progress.admit(alert(None, f"event-{2 * MAX_COPIES - 1}"))


def test_copies_without_a_name_are_all_given() -> None:
    progress = Progress()
    assert progress.admit(Alert(alert_id="alert_1"))
    assert progress.admit(Alert(alert_id="alert_1"))


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans(), st.integers(0, 3)), max_size=60))
def test_any_cuts_and_copies_give_each_alert_once_in_order(cuts: list[tuple[int, bool, int]]) -> None:
    """Each session sends some of what is left, some of it as a copy first; the last sends all."""
    progress, given_ = Progress(Cursor("s", 0)), list[str]()
    total = 40
    for count, copies, again in [*cuts, (total, True, 0)]:
        assert progress.cursor is not None
        start = progress.cursor.seq + 1
        progress.begin(hello(max(1, start - again)))
        for seq in range(max(1, start - again), min(start + count, total + 1)):
            if copies and progress.admit(alert(None, f"event-{seq}")):
                given_.append(f"event-{seq}")
            if progress.admit(alert(seq)):
                given_.append(f"event-{seq}")
    assert given_ == [f"event-{seq}" for seq in range(1, total + 1)]
