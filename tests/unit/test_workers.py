"""Threads and the slot between them."""

from __future__ import annotations

import threading

import pytest

from edge.workers import Latest, Worker
from tests.support import wait_until


def test_the_newest_item_wins() -> None:
    slot: Latest[int] = Latest()
    for item in (1, 2, 3):
        slot.put(item)
    assert slot.take(0) == 3
    assert slot.take(0) is None
    assert slot.dropped == 2


def test_hand_waits_until_the_item_is_taken() -> None:
    slot: Latest[int] = Latest()
    assert slot.hand(1, timeout=0)
    assert not slot.hand(2, timeout=0.01)
    taker = threading.Timer(0.05, lambda: slot.take(0))
    taker.start()
    assert slot.hand(2, timeout=5)
    taker.join()
    assert slot.take(0) == 2
    assert slot.dropped == 0


def test_close_wakes_whoever_waits_and_keeps_the_last_item() -> None:
    slot: Latest[int] = Latest()
    slot.put(7)
    slot.close()
    assert not slot.closed, "an item is still to be taken"
    assert slot.take(60) == 7
    assert slot.take(60) is None
    assert slot.closed
    assert not slot.hand(8, timeout=60)


def test_a_dead_worker_is_logged_kept_and_told(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: threading.Event) -> None:
        raise RuntimeError("broken on purpose")

    deaths: list[Worker] = []
    worker = Worker("eye", fail, on_death=deaths.append)
    worker.start()
    wait_until(lambda: deaths)
    assert worker.join(2)
    assert deaths == [worker]
    assert str(worker.error) == "broken on purpose"
    assert "the eye thread died" in caplog.text


def test_stop_ends_a_worker_that_waits() -> None:
    worker = Worker("sleeper", lambda stopping: stopping.wait() and None)
    worker.start()
    assert worker.alive
    worker.stop()
    worker.stop()
    assert worker.join(2)


def test_joining_a_worker_that_never_started_is_harmless() -> None:
    assert Worker("never", lambda _: None).join(0)
