"""Commands are done once, however often they are asked for. The ids are statements of docs/protocol.md."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from edge.errors import EdgeError
from edge.stream.answers import REMEMBERED, REMEMBERED_BYTES, REMEMBERED_S, Answers
from edge.stream.desk import Desk
from edge.wire.requests import Command


class Slow(Desk):
    """A desk whose jobs are done when the test says so."""

    def __init__(self) -> None:
        super().__init__("unused", lambda _: None)
        self.jobs: list[Callable[[], None]] = []

    def ask(self, job: Callable[[], Any], done: Callable[[Any], None]) -> bool:
        def work() -> None:
            try:
                done(job())
            except EdgeError as error:
                done(error)

        self.jobs.append(work)
        return True

    def work(self) -> None:
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            job()


class Office:
    """Answers, a clock that stands, and what was said."""

    def __init__(self) -> None:
        self.now = 0.0
        self.done = 0
        self.desk = Slow()
        self.said: list[dict[str, Any]] = []
        self.answers = Answers({"count": self._count}, self.desk, lambda: self.now)

    def _count(self, args: dict[str, Any]) -> dict[str, Any]:
        self.done += 1
        return {"count": self.done, "padding": "x" * args.get("size", 0)}

    def ask(self, command_id: str, principal: str = "me", **args: Any) -> None:
        self.answers.give(principal, Command(command_id, "count", args), self.say)

    def say(self, message: bytes) -> None:
        self.said.append(json.loads(message))

    def counts(self) -> list[int]:
        """The counts that were answered, which are forgotten then."""
        said, self.said = self.said, []
        return [each["result"]["count"] for each in said]


@pytest.fixture
def office() -> Office:
    return Office()


def do(office: Office, command_id: str, principal: str = "me", **args: Any) -> list[int]:
    office.ask(command_id, principal, **args)
    office.desk.work()
    return office.counts()


def test_an_id_is_remembered_for_ten_minutes(office: Office) -> None:
    """[EDGE-10-2]"""
    assert do(office, "a") == [1]
    office.now = REMEMBERED_S - 0.1
    assert do(office, "a") == [1]
    office.now = REMEMBERED_S
    assert do(office, "a") == [2]


def test_the_last_256_are_remembered(office: Office) -> None:
    """[EDGE-10-2]"""
    for number in range(REMEMBERED):
        do(office, str(number))
    assert do(office, "1") == [2]
    do(office, "one more")
    do(office, "and more")
    assert do(office, str(REMEMBERED - 1)) == [REMEMBERED]
    assert office.done == REMEMBERED + 2
    do(office, "0")
    assert office.done == REMEMBERED + 3, "the oldest was forgotten"


def test_answers_do_not_fill_the_memory(office: Office) -> None:
    size = 1_000_000
    for number in range(100):
        do(office, str(number), size=size)
        kept = [asked.answer for asked in office.answers._asked.values() if asked.answer]
        assert sum(map(len, kept)) <= REMEMBERED_BYTES
    assert do(office, "99") == [100], "the newest are remembered"


def test_each_login_has_ids_of_its_own(office: Office) -> None:
    """[EDGE-10-2]"""
    assert do(office, "a") == [1]
    assert do(office, "a", "somebody else") == [2]


def test_what_is_still_being_done_is_not_begun_again_however_long_it_takes(office: Office) -> None:
    """[EDGE-10-2]"""
    office.ask("a")
    office.now = 2 * REMEMBERED_S
    others: list[bytes] = []
    office.ask("a")
    office.answers.give("me", Command("a", "count", {}), others.append)
    office.desk.work()
    assert office.counts() == [1], "once to each who asked"
    assert len(others) == 1
    assert office.done == 1
