"""One client's dialogue, with no socket: what it says is in its mailbox. The ids are of docs/protocol.md."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge.config import Video
from edge.stream.answers import Answers
from edge.stream.desk import Desk
from edge.stream.dialogue import REGISTER_S, Dialogue, Services
from edge.stream.greeting import Peer
from edge.stream.hub import Hub
from edge.stream.mailbox import Form
from edge.types import Look, StoredAlert, StreamBounds
from edge.wire.framing import encode
from edge.wire.messages import Terms
from tests.streaming import IDENTITY
from tests.talking import HELLO


class Log:
    """An outbox with alerts 1 to 9 that forgets a consumer when the test says so."""

    def __init__(self) -> None:
        self.bounds: StreamBounds | None = StreamBounds("s", 1, 10)
        self.known: dict[str, int] = {}

    def register(self, consumer: str, start: int | None = None) -> int | None:
        return self.known.setdefault(consumer, 9 if start is None else start)

    def acknowledge(self, consumer: str, seq: int) -> bool:
        self.known[consumer] = seq
        return True

    def read(self, after: int, limit: int) -> tuple[StoredAlert, ...]:
        raise AssertionError((after, limit))


class Talk:
    """A dialogue and its client."""

    def __init__(self) -> None:
        self.video = Video(quality=80, annotated=True)
        self.log = Log()
        self.hub = Hub(IDENTITY)
        desk = Desk("unused", lambda _: None)
        services = Services(self.hub, lambda: self.video, self.log, dict, Answers({}, desk), desk)
        mailbox = self.hub.join(Form("newline", "big", video=True), lambda: None)
        terms, peer = Terms("door", "none", 4.0), Peer("127.0.0.1:1", encrypted=False)
        self.dialogue = Dialogue(services, terms, mailbox, peer, None, lambda: None, 0.0)

    def say(self, message: dict[str, Any], now: float = 0.0) -> list[dict[str, Any]]:
        """What it answers."""
        list(self.dialogue.receive(encode(json.dumps(message).encode(), "newline", "big"), now))
        return self.heard()

    def heard(self) -> list[dict[str, Any]]:
        return [json.loads(unit[0]) for unit in iter(lambda: self.hub.take(self.dialogue.mailbox), None)]


@pytest.fixture
def talk() -> Talk:
    return Talk()


def test_a_consumer_that_stays_is_not_forgotten(talk: Talk) -> None:
    """[EDGE-8-9]"""
    talk.say(HELLO | {"consumer": "backend", "subscribe": []})
    talk.log.known.clear()
    for minute in range(int(REGISTER_S // 60)):
        talk.say({"type": "ping", "t": 1}, minute * 60.0)
        talk.dialogue.check(minute * 60.0)
    assert talk.log.known == {}
    talk.say({"type": "ping", "t": 1}, REGISTER_S)
    talk.dialogue.check(REGISTER_S)
    assert set(talk.log.known) == {"open/backend"}


def test_without_an_open_outbox_a_consumer_is_no_complaint(talk: Talk) -> None:
    """[EDGE-9-3]"""
    talk.log.bounds = None
    answers = talk.say(HELLO | {"consumer": "backend", "resume": "last_ack", "subscribe": ["alerts"]})
    assert [answer["type"] for answer in answers] == ["hello_ok"]
    assert talk.log.known == {}


@pytest.mark.parametrize(
    ("frames", "look"),
    [
        ({}, None),
        ({"max_fps": 5}, None),
        ({"quality": 80}, Look(80, annotated=True)),
        ({"annotated": False}, Look(80, annotated=False)),
        ({"quality": 30, "annotated": True}, Look(30, annotated=True)),
    ],
)
def test_what_was_asked_of_pictures_outlives_a_change_of_the_settings(
    talk: Talk, frames: dict[str, Any], look: Look | None
) -> None:
    """[EDGE-5-11]"""
    talk.say(HELLO | {"subscribe": ["frames"], "frames": frames})
    talk.video = Video(quality=20, annotated=False)
    assert talk.hub.looks() == {look}


def test_acks_come_to_the_outbox_under_the_names_of_client_and_consumer(talk: Talk) -> None:
    """[EDGE-8-12] [EDGE-8-13]"""
    talk.say(HELLO | {"consumer": "backend", "subscribe": []})
    assert talk.say({"type": "ack", "stream": "s", "seq": 9}) == []
    for wrong in ({"stream": "s", "seq": 10}, {"stream": "t", "seq": 1}):
        assert [answer["code"] for answer in talk.say({"type": "ack"} | wrong)] == ["bad_message"]
    assert talk.log.known == {"open/backend": 9}
