"""The client's side of a conversation, by a clock of the test's."""

from __future__ import annotations

from typing import Any

import pytest

from edge.errors import StreamError
from edge.stream.client import HelloOk, Message, Welcome
from edge.stream.client.dialogue import ANSWER_S, IDLE_S, Dialogue, Wish
from edge.wire.requests import Hello, Ping, Pong

WELCOME = Message(type="welcome", protocol={"version": 1, "features": ["resume"], "auth": "none"})
HELLO_OK = Message(type="hello_ok", heartbeat_s=10.0)


def begun(**wish: Any) -> Dialogue:
    dialogue = Dialogue(Wish(client="test", **wish), 0.0, encrypted=False)
    assert isinstance(dialogue.hear(WELCOME, 1.0), Welcome)
    return dialogue


def in_session() -> Dialogue:
    dialogue = begun()
    assert isinstance(dialogue.outgoing.pop(), Hello)
    assert isinstance(dialogue.hear(HELLO_OK, 2.0), HelloOk)
    return dialogue


def test_a_quiet_session_is_pinged_once_a_beat_and_dead_after_two_and_a_half() -> None:
    dialogue = in_session()
    assert dialogue.due == 12.0
    dialogue.check(11.9)
    assert dialogue.outgoing == []
    dialogue.check(12.0)
    dialogue.check(12.5)
    assert dialogue.outgoing == [Ping(t=12.0)]
    assert dialogue.due == 22.0
    dialogue.check(22.0)
    assert len(dialogue.outgoing) == 2
    assert dialogue.due == 27.0
    with pytest.raises(StreamError, match="nothing came for 25 s"):
        dialogue.check(27.0)


def test_whatever_comes_renews_it() -> None:
    dialogue = in_session()
    dialogue.check(20.0)
    assert dialogue.hear(Message(type="pong", t=20.0), 21.0) is None
    dialogue.check(40.0)
    assert dialogue.due == 46.0


def test_one_that_does_not_read_pings_and_does_not_judge() -> None:
    dialogue = in_session()
    for now in range(3, 103):
        dialogue.check(float(now), deaf=True)
    assert [ping.t for ping in dialogue.outgoing if isinstance(ping, Ping)] == [12.0 + 10 * n for n in range(10)]


@pytest.mark.parametrize(("t", "answered"), [(3, True), (2.5, True), ("x", False), (None, False)])
def test_a_ping_is_answered_with_its_number(t: Any, answered: bool) -> None:
    dialogue = in_session()
    assert dialogue.hear(Message(type="ping", t=t), 3.0) is None
    assert dialogue.outgoing == ([Pong(t=t)] if answered else [])


def test_the_plain_stream_does_not_hide_a_hello_that_nobody_answers() -> None:
    dialogue = begun()
    for now in range(2, 11):
        assert dialogue.hear(Message(type="detection_result"), float(now)) is None
    with pytest.raises(StreamError, match="no answer to hello"):
        dialogue.check(1.0 + ANSWER_S)


def test_a_plain_stream_is_dead_after_its_silence() -> None:
    dialogue = begun(hello="never")
    assert dialogue.plain
    assert dialogue.outgoing == []
    dialogue.check(1.0 + IDLE_S - 0.1)
    with pytest.raises(StreamError, match="nothing came for 25 s"):
        dialogue.check(1.0 + IDLE_S)
