"""A peer that vanishes without a word, in network namespaces; skipped, saying so, where there can be none."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests import netns
from tests.bench import deadpeer


@pytest.fixture(scope="module", autouse=True)
def _namespaces() -> None:
    if reason := netns.missing():
        if os.environ.get("CI") == "true" and os.geteuid() == 0:
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.mark.parametrize(
    ("topics", "limit"), [(("alerts", "detections"), deadpeer.SENDING_S), (("health",), deadpeer.IDLE_S)]
)
def test_a_vanished_peer_is_noticed(topics: tuple[str, ...], limit: float) -> None:
    """The limits are promises: TCP_USER_TIMEOUT while something is sent [EDGE-5-7], heartbeats else [EDGE-3-11]."""
    took = deadpeer.noticed_after(*topics)
    assert 1.0 < took <= limit


def test_a_namespace_is_gone_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    names: Callable[[], set[str]] = lambda: set(os.listdir("/run/netns"))  # noqa: E731 - two uses, one line
    with netns.wire() as wire:
        assert {wire.near, wire.far} <= names()
    assert not {wire.near, wire.far} & names()
    assert capfd.readouterr().err == ""
