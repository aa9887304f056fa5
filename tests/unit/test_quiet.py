"""A log that clients cannot flood."""

from __future__ import annotations

import logging

import pytest

from edge.stream.quiet import LINES, PERIOD_S, Quiet


def test_lines_beyond_the_bound_are_counted_and_said_later(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    log = Quiet(logging.getLogger("test"), lambda: now[0]).log
    for number in range(LINES + 5):
        log(logging.WARNING, "client %d", number)
    assert caplog.messages == [f"client {number}" for number in range(LINES)]
    now[0] = PERIOD_S
    log(logging.WARNING, "later")
    assert caplog.messages[LINES:] == ["5 lines about clients were left out of the log", "later"]


def test_a_flood_of_arrivals_does_not_hide_who_was_sent_away(caplog: pytest.LogCaptureFixture) -> None:
    log = Quiet(logging.getLogger("test"), lambda: 0.0).log
    caplog.set_level(logging.INFO)
    for number in range(10 * LINES):
        log(logging.INFO, "client %d came", number)
    log(logging.WARNING, "client 7 left: flood")
    assert caplog.text.count("came") == LINES
    assert "client 7 left: flood" in caplog.text
