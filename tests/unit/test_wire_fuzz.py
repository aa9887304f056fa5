"""A share of `python -m tests.fuzz`, and that it would notice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edge.wire.requests import decode_request
from tests.fuzz.fuzzing import fuzz
from tests.fuzz.targets import TARGETS, Broken, Connection, Target

SHARE = 300_000


def test_nothing_but_faults_comes_of_broken_bytes() -> None:
    """[EDGE-8-1] [EDGE-8-2]"""
    figures = fuzz(SHARE, seed=3)
    assert figures.fed >= SHARE
    found = {outcome for counted in figures.outcomes.values() for outcome in counted}
    kinds = {"hello", "ack", "ping", "pong", "subscribe", "unsubscribe", "command"}
    faults = {"fault bad_json", "fault bad_frame", "fault too_large", "fault unsupported_version"}
    assert found == kinds | faults | {"bad_message", "unknown_type", "message", "picture", "refused"}


def test_the_same_seed_feeds_the_same_bytes() -> None:
    assert fuzz(20_000, seed=5) == fuzz(20_000, seed=5)
    assert fuzz(20_000, seed=5) != fuzz(20_000, seed=6)


@pytest.mark.parametrize("raised", [KeyError("planted"), AssertionError("planted"), MemoryError(), RecursionError()])
def test_whatever_else_is_raised_is_reported_with_its_bytes(raised: Exception) -> None:
    def connect() -> Connection:
        def take(piece: bytes) -> Iterator[str]:
            if b'"ping"' in piece:
                raise raised
            yield "fine"

        return take

    target = Target("planted", "client", ("newline", "big"), connect)
    with pytest.raises(Broken, match=r"planted, fed \['") as caught:
        fuzz(200_000, targets=[target])
    assert caught.value.__cause__ is raised
    assert b'"ping"'.hex() in str(caught.value)


def test_a_device_that_lets_a_complaint_out_is_reported() -> None:
    """Every error of the protocol is a ProtocolError: only the expected ones may end a connection."""

    def connect() -> Connection:
        def take(piece: bytes) -> Iterator[str]:
            decode_request(piece)
            yield "fine"

        return take

    with pytest.raises(Broken):
        fuzz(200_000, targets=[Target("planted", "client", ("newline", "big"), connect)])


def test_every_framing_is_fuzzed_at_both_ends() -> None:
    assert {(target.speaker, *target.form) for target in TARGETS} == {
        (speaker, framing, byteorder)
        for speaker in ("client", "device")
        for framing in ("length", "newline")
        for byteorder in ("big", "little")
    }
