"""What ends the program, and a stop that waits for nobody too long."""

from __future__ import annotations

import threading

import pytest

from edge import life as lives
from edge.life import Life
from edge.workers import Worker


def test_a_dead_worker_ends_it_with_a_failure() -> None:
    def die(_: threading.Event) -> None:
        raise ValueError("broken on purpose")

    life = Life()
    worker = Worker("capture", die, on_death=life.on_death)
    life.add("capture", worker)
    worker.start()
    life.wait(lambda: None, 0.01)
    assert life.stop() == []
    assert str(life.failure) == "the capture thread died: broken on purpose"
    assert life.exit_code == 1


def test_a_part_that_hangs_is_named_and_the_others_are_asked_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "STOP_S", 0.05)
    release, life = threading.Event(), Life()
    hung, good = (
        Worker("hung", lambda _: bool(release.wait(10))),
        Worker("good", lambda stopping: bool(stopping.wait(10))),
    )
    for worker in (hung, good):
        life.add(worker.name, worker)
        worker.start()
    life.started = True
    assert life.running
    try:
        assert "hung" in life.stop()
        assert good.join(10)
    finally:
        release.set()
    assert hung.join(10)
    assert not life.running
    assert (life.stop(), life.exit_code) == ([], 0)


def test_what_ends_it_before_it_waits_is_not_forgotten() -> None:
    life, looks = Life(), list[None]()
    life.end()
    life.wait(lambda: looks.append(None), 60.0)
    assert looks == []
