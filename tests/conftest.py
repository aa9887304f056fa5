"""What holds for every test."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import settings

from edge import life

# The same examples in every run: what is new in the code breaks a test, and not the draw.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that a test runs in this process sets up the log of a whole program."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def _time_to_end() -> Iterator[None]:
    """A program whose threads do not end in time leaves at once: in a test that would be all tests, with code 0."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(life, "STOP_S", 60.0)
        yield


@pytest.fixture
def leaves_nothing() -> Iterator[None]:
    """No thread and no descriptor is left after the test."""
    from tests.streaming import nothing_left

    with nothing_left():
        yield


@pytest.fixture
def tries_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients do not wait before they connect again."""
    from edge.stream.client import link

    monkeypatch.setattr(link, "RETRY_MIN_S", 0.001)
    monkeypatch.setattr(link, "RETRY_MAX_S", 0.05)
