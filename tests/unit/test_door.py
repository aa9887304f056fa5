"""A listener's door: its name, and who has to go when too many wait to log in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from edge.config import Listener, Stream
from edge.errors import ConfigError
from edge.stream.door import Door
from edge.stream.hub import Hub
from edge.stream.server import StreamServer
from tests.streaming import IDENTITY


class Waiting:
    """A session as far as a door looks at it; ``shaken`` is whether TLS's handshake is done."""

    def __init__(self, *, shaken: bool = False) -> None:
        self.dialogue = object() if shaken else None


@contextlib.contextmanager
def door(places: int) -> Iterator[Door]:
    listener = Listener(host="127.0.0.1", port=0, auth="hmac")
    with contextlib.closing(Door(listener, 1, Stream(max_pending=places))) as made:
        yield made


def come(door: Door, host: str, **session: Any) -> Any:
    """One more; the one that went for it has left."""
    made: Any = Waiting(**session)
    gone = door.await_login(made, host)
    if gone is not None:
        door.leave(gone, 0.0)
    return made


def test_who_comes_again_and_again_crowds_out_itself() -> None:
    """[EDGE-3-8]"""
    with door(4) as made:
        first = come(made, "10.0.0.1")
        for _ in range(1000):
            come(made, "10.0.0.9")
            assert len(made.pending) <= 4
        assert first in made.pending


def outlast(stranger: bool, valid: bool, others: int = 16) -> float:
    """The share of valid ones that are still there when ``others`` came after them, from an address each, to a door
    of 16; strangers and valid ones have shaken hands or not."""
    stayed = 0
    for _ in range(400):
        with door(16) as made:
            for number in range(15):
                come(made, f"10.0.0.{number}", shaken=stranger)
            session = come(made, "10.0.1.1", shaken=valid)
            for number in range(others):
                come(made, f"10.0.2.{number}", shaken=stranger)
            stayed += session in made.pending
    return stayed / 400


@pytest.mark.parametrize("shaken", [False, True])
def test_of_one_each_one_goes_by_lot(shaken: bool) -> None:
    """[EDGE-3-8] Of the older half; were it the oldest, none would stay. (7 / 8) ** 8 is 0.34."""
    assert 0.2 < outlast(stranger=shaken, valid=shaken) < 0.5


def test_who_has_just_come_stays_for_a_while() -> None:
    """[EDGE-3-8]"""
    assert outlast(stranger=True, valid=False, others=8) == 1.0


def test_one_that_has_shaken_hands_is_spared() -> None:
    """[EDGE-3-8] (63 / 64) ** 32 is 0.6."""
    assert outlast(stranger=False, valid=True, others=40) > 0.4


def test_strangers_that_shake_hands_do_not_push_out_one_that_has_yet_to() -> None:
    """[EDGE-3-8] It goes twice as soon as by lot, not at once: (49 / 64) ** 8 is 0.12."""
    assert outlast(stranger=True, valid=False) > 0.05


@pytest.mark.parametrize("names", [("door", "door"), ("listener-2", "")])
def test_two_listeners_of_one_name_are_refused(names: tuple[str, str]) -> None:
    """A login holds for one listener: its name is in the mac."""
    listeners = [Listener(name=name, host="127.0.0.1", port=0) for name in names]
    server = StreamServer(listeners, Stream(), Hub(IDENTITY))
    with pytest.raises(ConfigError, match=f"two have the name {names[0]}; give each one of its own"):
        server.start()
    server.close()
