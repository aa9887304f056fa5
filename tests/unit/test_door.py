"""A listener's door: its name, and who has to go when too many wait to log in."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from edge.config import Listener, Stream
from edge.errors import ConfigError
from edge.stream.door import Door
from edge.stream.hub import Hub
from edge.stream.server import StreamServer
from tests.streaming import IDENTITY


def test_who_comes_again_and_again_crowds_out_itself() -> None:
    """[EDGE-3-8]"""
    sessions: list[Any] = [object() for _ in range(12)]
    with contextlib.closing(Door(Listener(host="127.0.0.1", port=0, auth="hmac"), 1, Stream(max_pending=4))) as door:
        hosts = ["10.0.0.1", *["10.0.0.9"] * 11]
        went: list[Any] = []
        for session, host in zip(sessions, hosts, strict=True):
            went.append(door.await_login(session, host))
            door.leave(went[-1], 0.0)
        assert went == [None] * 4 + sessions[1:9]
        assert list(door.pending) == [sessions[0], *sessions[9:]]


def test_of_one_each_the_oldest_goes() -> None:
    """[EDGE-3-8]"""
    sessions: list[Any] = [object() for _ in range(3)]
    with contextlib.closing(Door(Listener(host="127.0.0.1", port=0, auth="hmac"), 1, Stream(max_pending=2))) as door:
        went = [door.await_login(session, f"10.0.0.{number}") for number, session in enumerate(sessions)]
        assert went == [None, None, sessions[0]]


@pytest.mark.parametrize("names", [("door", "door"), ("listener-2", "")])
def test_two_listeners_of_one_name_are_refused(names: tuple[str, str]) -> None:
    """A login holds for one listener: its name is in the mac."""
    listeners = [Listener(name=name, host="127.0.0.1", port=0) for name in names]
    server = StreamServer(listeners, Stream(), Hub(IDENTITY))
    with pytest.raises(ConfigError, match=f"two have the name {names[0]}; give each one of its own"):
        server.start()
    server.close()
