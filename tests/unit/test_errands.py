"""Errands: done by the owner's thread, or not at all."""

from __future__ import annotations

import threading

import pytest

from edge.errands import MOST, Errands
from edge.errors import ConfigError, EdgeError
from edge.workers import Worker
from tests.support import wait_until


def serving(errands: Errands) -> Worker:
    def run(stopping: threading.Event) -> None:
        while not stopping.wait(0.01):
            errands.serve()

    worker = Worker("owner", run)
    worker.start()
    return worker


def end(worker: Worker) -> None:
    worker.stop()
    assert worker.join(5)


def test_an_errand_is_done_by_the_owner() -> None:
    errands = Errands("owner")
    worker = serving(errands)
    assert errands.ask(lambda: threading.current_thread().name, 5) == "owner"
    end(worker)


def test_what_it_raises_is_raised_where_it_was_asked_and_the_owner_goes_on() -> None:
    errands = Errands("owner")
    worker = serving(errands)

    def refuse() -> None:
        raise ConfigError("no")

    with pytest.raises(ConfigError, match="no"):
        errands.ask(refuse, 5)
    with pytest.raises(ZeroDivisionError):
        errands.ask(lambda: 1 // 0, 5)
    assert errands.ask(lambda: 7, 5) == 7
    end(worker)


def test_an_errand_that_was_not_begun_in_time_is_never_done() -> None:
    errands, done = Errands("owner"), []
    with pytest.raises(EdgeError, match=r"the owner did not answer within 0\.05 s; nothing was done"):
        errands.ask(lambda: done.append(1), 0.05)
    errands.serve()
    assert done == []


def test_an_errand_that_has_begun_is_waited_for() -> None:
    errands, begun, go = Errands("owner"), threading.Event(), threading.Event()
    worker = serving(errands)

    def slow() -> str:
        begun.set()
        assert go.wait(5)
        return "done"

    threading.Timer(1.1, go.set).start()
    assert errands.ask(slow, 1.0) == "done"
    end(worker)


def test_an_errand_that_hangs_is_said() -> None:
    errands, go = Errands("owner"), threading.Event()
    worker = serving(errands)
    with pytest.raises(EdgeError, match="the owner hangs"):
        errands.ask(lambda: go.wait(5), 1.0)
    go.set()
    end(worker)


def test_too_many_are_refused_and_those_that_wait_at_the_end_are_told() -> None:
    errands, refused = Errands("owner"), []

    def ask() -> None:
        try:
            errands.ask(lambda: None, 30)
        except EdgeError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(MOST)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(errands._waiting) == MOST)
    with pytest.raises(EdgeError, match="the owner is busy"):
        errands.ask(lambda: None, 30)
    errands.close()
    for thread in threads:
        thread.join(5)
    assert refused == ["the owner has ended"] * MOST
    with pytest.raises(EdgeError, match="the owner has ended"):
        errands.ask(lambda: None, 30)
