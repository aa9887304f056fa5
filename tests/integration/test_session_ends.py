"""The end of a session that is sent more than it may read."""

from __future__ import annotations

import contextlib

import pytest

from edge.stream import server as servers
from edge.stream import session as sessions
from tests.streaming import nothing_left, serving
from tests.support import wait_until
from tests.talking import HELLO, Talker


@pytest.mark.parametrize("behind", [200_000, 100])
def test_one_that_sent_too_much_is_told_why_and_leaves_no_place_taken(
    monkeypatch: pytest.MonkeyPatch, behind: int
) -> None:
    """Its own end is seen while it is being ended, however much it sent."""
    monkeypatch.setattr(sessions, "SESSION_RATE", 0.0)
    monkeypatch.setattr(sessions, "FAREWELL_S", 60.0)
    with nothing_left(), serving() as served:
        with Talker(served.server.addresses[0]) as client:
            client.send(HELLO | {"subscribe": []})
            assert client.until("hello_ok")
            with contextlib.suppress(ConnectionError):
                client.socket.sendall(client.frame(b"no json") + bytes(behind))
            assert [message["code"] for message in client.end()] == ["bad_json"]
        wait_until(lambda: not served.server._sessions)


def test_one_that_rests_sees_the_goodbye_and_is_seen_to_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SESSION_RATE", 0.0)  # it rests for ever
    monkeypatch.setattr(sessions, "FAREWELL_S", 60.0)
    monkeypatch.setattr(servers, "CLOSE_S", 60.0)
    with nothing_left(), serving() as served:
        with Talker(served.server.addresses[0]) as client:
            client.hello(subscribe=[])
            pong = client.frame({"type": "pong", "t": 1})
            client.socket.sendall(pong * (sessions.SESSION_BURST // len(pong) + 2))
            wait_until(lambda: any(session.resting for session in served.server._sessions))
            served.server.stop()
            assert client.end()[-1]["type"] == "goodbye"
        assert served.server.join(10.0), "it does not wait out the time for the farewell"
