"""A share of `python -m tests.fuzz`, and that it would notice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edge.stream.mailbox import Mailbox
from edge.wire.requests import decode_request
from tests.fuzz.fuzzing import Figures, fuzz
from tests.fuzz.sessions import SESSIONS, Log
from tests.fuzz.targets import READERS, Broken, Connection, Target

SHARE = 300_000


def outcomes(figures: Figures) -> set[str]:
    return {outcome for counted in figures.outcomes.values() for outcome in counted}


KINDS = {"hello", "ack", "ping", "pong", "subscribe", "unsubscribe", "command"}
FAULTS = {"fault bad_json", "fault bad_frame", "fault too_large", "fault unsupported_version"}
COMPLAINTS = {"bad_message", "unknown_type"}
RARE = {"fault auth_failed", "too_many_consumers", "rate_limited"}


def test_nothing_but_faults_comes_of_broken_bytes() -> None:
    """[EDGE-8-1] [EDGE-8-2] [EDGE-8-4] Every way to read a client's bytes, and a device's, was gone."""
    figures = fuzz(SHARE, seed=3, targets=READERS)
    assert figures.fed >= SHARE
    assert outcomes(figures) == KINDS | FAULTS | COMPLAINTS | {"message", "picture", "refused"}


def test_whole_dialogues_follow_the_rules_whatever_comes() -> None:
    """[EDGE-3-2] [EDGE-3-10] [EDGE-9-7] [EDGE-11-3] What the device says is read, and judged by tests.fuzz.sessions."""
    figures = fuzz(SHARE, seed=4, targets=SESSIONS)
    said = {"welcome", "hello_ok", "alert", "detection_result", "health", "pong", "command_result"}
    assert outcomes(figures) - RARE == said | FAULTS | COMPLAINTS | {"fault auth_required"}


def test_an_alert_that_a_replay_leaves_out_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Log.read
    monkeypatch.setattr(Log, "read", lambda log, after, limit: whole(log, after, limit)[1:])
    with pytest.raises(Broken, match="session"):
        fuzz(SHARE, targets=SESSIONS)


def test_an_alert_that_is_sent_before_a_login_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mailbox, "wants", lambda *_: True)
    with pytest.raises(Broken, match="session"):
        fuzz(SHARE, targets=SESSIONS)


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
    assert {(target.speaker, *target.form) for target in READERS} == {
        (speaker, framing, byteorder)
        for speaker in ("client", "device")
        for framing in ("length", "newline")
        for byteorder in ("big", "little")
    }
