"""Commands are done once, however often they are asked for. The ids are statements of docs/protocol.md."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from edge.errors import ConfigError, EdgeError
from edge.stream.answers import REMEMBERED, REMEMBERED_BYTES, REMEMBERED_S, Answers, Asker
from edge.stream.desk import Desk
from edge.stream.quiet import LINES
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
        handlers = {"count": self._count, "set_config": self._count, "refuse": self._refuse, "explain": self._count}
        self.answers = Answers(handlers, self.desk, lambda: self.now)

    def _count(self, args: dict[str, Any]) -> dict[str, Any]:
        self.done += 1
        return {"count": self.done, "padding": "x" * args.get("size", 0)}

    def _refuse(self, _: dict[str, Any]) -> None:
        raise ConfigError("not so")

    def ask(self, command_id: str, principal: str = "me", cmd: str = "count", **args: Any) -> None:
        self.answers.give(Asker(principal, "session 5, 127.0.0.1:4"), Command(command_id, cmd, args), self.say)

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
    assert do(office, "99", size=size) == [100], "the newest are remembered"


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
    office.answers.give(Asker("me", "elsewhere"), Command("a", "count", {}), others.append)
    office.desk.work()
    assert office.counts() == [1], "once to each who asked"
    assert len(others) == 1
    assert office.done == 1


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize(
    ("cmd", "args"), [("set_config", {"values": {"a": 1}}), ("count", {"values": {"a": 2}}), ("count", {}), ("?", {})]
)
def test_an_id_that_was_another_commands_is_refused(office: Office, done: bool, cmd: str, args: dict[str, Any]) -> None:
    """[EDGE-10-15]"""
    office.ask("a", values={"a": 1})
    if done:
        office.desk.work()
        assert office.counts() == [1]
    office.ask("a", cmd=cmd, **args)
    (refused,) = office.said
    assert (refused["id"], refused["ok"], refused["error"]["code"]) == ("a", False, "duplicate_id")
    assert refused["error"]["message"] == "the id was used for another command; use a new one"
    office.said.clear()
    office.ask("a", values={"a": 1})
    office.desk.work()
    assert office.counts() == [1], "its own answer, which stays"
    assert office.done == 1


def test_the_order_of_arguments_makes_no_other_command(office: Office) -> None:
    """[EDGE-10-2]"""
    assert do(office, "a", one=1, two=[2, None]) == do(office, "a", two=[2, None], one=1) == [1]


def test_what_is_done_is_logged_with_who_wanted_it_and_no_value(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    values = {"quality": 47, "rules": ["secret"]}
    office.ask("a", "mtls:desk", "set_config", values=values, more="secret")
    for _ in range(2):
        office.ask("b", "hmac:phone")
    office.ask("c", cmd="refuse", **{"\x1b[2J": 1})
    office.ask("d", cmd="unheard of")
    office.desk.work()
    assert [record.getMessage() for record in caplog.records] == [
        "command set_config values.quality, values.rules, more by mtls:desk (session 5, 127.0.0.1:4): done",
        "command count by hmac:phone (session 5, 127.0.0.1:4): done",
        "command refuse \\x1b[2J by me (session 5, 127.0.0.1:4): bad_args",
    ]


def test_who_asks_again_and_again_hides_nothing_in_the_log(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for number in range(3 * LINES):
        office.ask(f"asks {number}", cmd="explain", **{"x" * 10_000: 1})
        office.ask(f"changes {number}", cmd="set_config", **{"x" * 10_000: 1})
        office.desk.work()
    commands = Counter(record.getMessage().split()[1] for record in caplog.records)
    assert commands == {"explain": LINES, "set_config": 3 * LINES}
    assert max(len(record.getMessage()) for record in caplog.records) < 300
