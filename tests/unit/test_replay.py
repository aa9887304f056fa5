"""Reading what a session missed, page by page."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from edge.stream.hub import Hub
from edge.stream.mailbox import Form
from edge.stream.replay import RETRY_S, Replay
from edge.types import StoredAlert, StreamBounds
from tests.streaming import IDENTITY, make_alert


class Log:
    """An outbox that says that it holds three alerts, and a desk that does a job when it is told to."""

    def __init__(self) -> None:
        self.bounds = StreamBounds("s", 1, 4)
        self.pages: list[tuple[StoredAlert, ...]] = []
        self.read_after: list[int] = []
        self._jobs: list[Callable[[], None]] = []

    def read(self, after: int, _: int) -> tuple[StoredAlert, ...]:
        self.read_after.append(after)
        return self.pages.pop(0) if self.pages else ()

    def ask(self, job: Callable[[], Any], done: Callable[[Any], None]) -> bool:
        self._jobs.append(lambda: done(job()))
        return True

    def work(self) -> None:
        while self._jobs:
            self._jobs.pop(0)()


def test_an_empty_page_is_asked_for_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file was exchanged for an emptier one under the running program: that must not keep the thread busy."""
    wakes: list[None] = []
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    hub, log = Hub(IDENTITY), Log()
    mailbox = hub.join(Form("newline", "big", False), lambda: wakes.append(None))
    hub.greet(mailbox, frozenset({"alerts"}))
    hub.place(mailbox, "s", 1)
    replay = Replay(hub, log, log, mailbox)  # type: ignore[arg-type]  # it has what both need
    replay.begin(now)
    log.work()
    replay.step(now + RETRY_S / 2)
    log.work()
    assert (log.read_after, wakes) == ([0], [])
    log.pages.append(tuple(StoredAlert("s", number, make_alert(number)) for number in (1, 2, 3)))
    replay.step(now + RETRY_S)
    log.work()
    assert (log.read_after, len(wakes), mailbox.cursor, mailbox.stale) == ([0, 0], 1, 3, False)
