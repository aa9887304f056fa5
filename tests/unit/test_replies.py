"""What the device says in a session, against the examples of docs/protocol.md, and how a resume is answered."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.types import StreamBounds
from edge.wire import replies
from edge.wire.messages import Identity
from edge.wire.replies import Agreed, Resumption, resumption
from tests.support import ROOT
from tests.unit.test_messages import BOUNDS, EXAMPLES, IDENTITY, any_text, parse, same

RESUMES: list[dict[str, Any]] = json.loads((ROOT / "tests/vectors/resume.json").read_text("utf-8"))
AGREED = Agreed("9d2e6b41f07a", "viewer", ("alerts",), 10.0)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)


def test_hello_ok_is_the_documented_one() -> None:
    """[EDGE-4-11]"""
    agreed = Agreed("9d2e6b41f07a", "viewer", ("alerts",), 10.0, Resumption("ok", 41), EXAMPLES["hello_ok"]["proof"])
    same(replies.hello_ok(IDENTITY, agreed, BOUNDS), EXAMPLES["hello_ok"])


def test_hello_ok_without_outbox_and_login_has_neither() -> None:
    """[EDGE-4-11] [EDGE-9-3]"""
    answer = parse(replies.hello_ok(IDENTITY, AGREED, None))
    assert set(EXAMPLES["hello_ok"]) - set(answer) == {"stream", "oldest_seq", "next_seq", "resume", "proof"}
    assert set(answer) < set(EXAMPLES["hello_ok"])


def test_the_other_answers_are_the_documented_ones() -> None:
    """[EDGE-4-14]"""
    health, failed = EXAMPLES["health"], EXAMPLES["command_failed"]["error"]
    same(replies.ping(1710000012.5), EXAMPLES["ping"])
    same(replies.pong(7.0), EXAMPLES["pong"])
    same(replies.health(health["components"], 1710000061.5), health)
    same(replies.error("auth_failed", "the login is wrong", fatal=True), EXAMPLES["error"])
    same(replies.goodbye("shutdown", 1000), EXAMPLES["goodbye"])
    same(replies.command_done("c-17", EXAMPLES["command_done"]["result"]), EXAMPLES["command_done"])
    same(replies.command_failed("c-18", failed["code"], failed["message"]), EXAMPLES["command_failed"])


@given(name=any_text, value=values)
def test_every_answer_is_one_line_of_strict_utf_8_json(name: str, value: Any) -> None:
    """[EDGE-2-2] [EDGE-2-6] What a command gives may hold names that are no UTF-8 and numbers that are none."""
    built = [
        replies.hello_ok(Identity(name, name, name), AGREED, StreamBounds(name, 1, 2)),
        replies.error("bad_message", name, fatal=False),
        replies.health({name: {"state": "ok", "reason": name}}, 1.0),
        replies.command_done(name, {"value": value}),
        replies.command_failed(name, "failed", name),
    ]
    said = name.encode("utf-8", "replace").decode()
    parsed = [parse(message) for message in built]
    assert all(b"\n" not in message for message in built)
    assert [parsed[0]["camera_id"], parsed[1]["message"], parsed[3]["id"], parsed[4]["id"]] == [said] * 4
    assert parsed[2]["components"] == {said: {"state": "ok", "reason": said}}


def test_a_number_that_is_not_finite_is_null_in_a_command_s_result() -> None:
    assert parse(replies.command_done("1", {"a": math.nan, "b": [math.inf]}))["result"] == {"a": None, "b": [None]}


@pytest.mark.parametrize("vector", RESUMES, ids=lambda vector: vector["name"])
def test_a_resume_is_answered_as_the_vectors_say(vector: dict[str, Any]) -> None:
    """[EDGE-9-6]"""
    answer = resumption(StreamBounds(**vector["bounds"]), **vector["resume"])
    assert answer == Resumption(vector["status"], vector["from"], vector["missed"])


@given(oldest=st.integers(1, 60), kept=st.integers(0, 60), after=st.integers(0, 130), same_stream=st.booleans())
def test_a_resume_leaves_nothing_out_that_is_there(oldest: int, kept: int, after: int, same_stream: bool) -> None:
    """[EDGE-9-6] What is missed and what follows together are all that the client does not have."""
    bounds = StreamBounds("a", oldest, oldest + kept)
    answer = resumption(bounds, "a" if same_stream else "b", after)
    follow = bounds.next_seq - answer.start
    assert bounds.oldest_seq <= answer.start <= bounds.next_seq
    if not same_stream or after >= bounds.next_seq:
        assert answer == Resumption("reset", bounds.oldest_seq)
    else:
        assert answer.missed + follow == bounds.next_seq - 1 - after
        assert (answer.status == "gap") == (answer.missed > 0)
