"""Who has to go when too many wait to log in."""

from __future__ import annotations

import contextlib
from typing import Any

from edge.config import Listener, Stream
from edge.stream.door import Door


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
