"""The reference client's cursor, by the cases of tests/vectors/cursor.json; docs/protocol.md explains them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge.errors import ProtocolError
from edge.stream.client.cursor import Cursor, Progress
from edge.stream.client.messages import Alert, Gap, HelloOk, decode
from edge.wire.framing import Message
from tests.support import ROOT

CASES: list[dict[str, Any]] = json.loads((ROOT / "tests/vectors/cursor.json").read_text("utf-8"))


def told(cursor: Cursor | None) -> dict[str, Any] | None:
    return None if cursor is None else {"stream": cursor.stream, "after": cursor.seq}


def live_through(progress: Progress, connection: dict[str, Any]) -> dict[str, Any]:
    """What the vector says of one connection, as this client does it."""
    seen: dict[str, Any] = {"resume": told(progress.cursor), "gives": [], "told": None, "hangs_up": False}
    greeted = False
    for index, fields in enumerate(connection["messages"]):
        assert not seen["hangs_up"]
        message = decode(Message(fields))
        try:
            if isinstance(message, HelloOk):
                greeted = True
                lost = progress.begin(message)
                if lost is not None:
                    seen["told"] = {"status": type(lost).__name__.lower(), "missed": getattr(lost, "missed", 0)}
                    assert isinstance(lost, Gap) or lost.stream == message.stream
            elif isinstance(message, Alert) and greeted and progress.admit(message):
                seen["gives"].append(index)
        except ProtocolError:
            seen["hangs_up"] = True
    return {**seen, "messages": connection["messages"], "cursor": told(progress.cursor)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_cursor_moves_as_the_vector_says(case: dict[str, Any]) -> None:
    """[EDGE-9-13] [EDGE-9-14] [EDGE-9-15]"""
    start = case.get("start")
    progress = Progress(Cursor(start["stream"], start["after"]) if start is not None else None)
    for connection in case["connections"]:
        assert live_through(progress, connection) == connection


def test_every_case_has_what_the_page_says() -> None:
    for case in CASES:
        assert set(case) - {"start"} == {"name", "connections"}
        for connection in case["connections"]:
            assert set(connection) == {"resume", "messages", "gives", "told", "hangs_up", "cursor"}
    assert any(connection["hangs_up"] for case in CASES for connection in case["connections"])
