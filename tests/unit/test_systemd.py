"""What systemd is told, over a real socket, and who is seen to hang."""

from __future__ import annotations

import io
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge import workers
from edge.systemd import JournalLines, Systemd, is_journal
from edge.watchdog import Watchdog
from edge.workers import Worker, wait_for
from tests.notices import listening
from tests.support import wait_until


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("abstract", [False, True])
def test_each_message_arrives(tmp_path: Path, abstract: bool) -> None:
    with listening(tmp_path, abstract=abstract) as listener:
        systemd = Systemd({"NOTIFY_SOCKET": listener.name})
        for tell in (systemd.ready, systemd.alive, systemd.hung, systemd.stopping):
            tell()
        assert listener.listen() == ["READY=1", "WATCHDOG=1", "WATCHDOG=trigger", "STOPPING=1\nSTATUS=stopping"]


def test_a_status_is_sent_when_it_changes_and_once_a_second(tmp_path: Path) -> None:
    clock = Clock()
    with listening(tmp_path) as listener:
        systemd = Systemd({"NOTIFY_SOCKET": listener.name}, clock=clock)
        for text, after in (("one", 0.5), ("two", 0.5), ("two", 5.0), ("two", 0.0), ("of others\nREADY=1", 0.0)):
            systemd.status(text)
            clock.now += after
        assert listener.listen() == ["STATUS=one", "STATUS=two", "STATUS=of others\\nREADY=1"]


@pytest.mark.parametrize("address", ["", "no/path", "vsock:2:1234"])
def test_outside_systemd_nothing_is_sent(address: str, caplog: pytest.LogCaptureFixture) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": address})
    systemd.ready()
    systemd.status("watching")
    assert (systemd.watchdog_s, caplog.text) == (None, "")


def test_a_socket_that_is_gone_ends_nothing_and_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with listening(tmp_path) as listener:
        systemd = Systemd({"NOTIFY_SOCKET": listener.name})
    systemd.ready()
    systemd.alive()
    assert caplog.text.count("systemd cannot be told READY=1") == 1
    assert caplog.text.count("systemd cannot be told") == 1


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "20000000"}, 20.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": ""}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_time_that_systemd_gives(environ: dict[str, str], seconds: float | None) -> None:
    assert Systemd(environ).watchdog_s == seconds


def test_a_line_of_the_journal_has_its_priority_and_no_time() -> None:
    lines = JournalLines()
    record = logging.LogRecord("edge", logging.ERROR, __file__, 1, "blind: %s", ("camera lost",), None)
    assert lines.format(record) == "<3>ERROR   blind: camera lost"
    record.exc_text = "Traceback\n  of two lines"
    assert lines.format(record).splitlines()[1:] == ["<3>Traceback", "<3>  of two lines"]


def test_a_stream_that_is_the_journal_is_known(tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("w") as stream:
        at = os.fstat(stream.fileno())
        here = {"JOURNAL_STREAM": f"{at.st_dev}:{at.st_ino}"}
        assert is_journal(stream, here)
        assert not is_journal(stream, {"JOURNAL_STREAM": f"{at.st_dev}:{at.st_ino + 1}"}), "it was redirected"
        assert not is_journal(stream, {})
    assert not is_journal(stream, here), "closed"
    assert not is_journal(io.StringIO(), here)


class Turns:
    """A thread whose loop comes round once for each ``turn``."""

    def __init__(self, limit_s: float) -> None:
        self._turn = threading.Semaphore(0)
        self.worker = Worker("turns", self._run, limit_s=limit_s)
        self.worker.start()

    def turn(self) -> None:
        before = self.worker.passes
        self._turn.release()
        wait_until(lambda: self.worker.passes > before)

    def end(self) -> None:
        self.worker.stop()
        self._turn.release()
        assert self.worker.join(10)

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            self._turn.acquire()


class Bench:
    """A watchdog that looks once a second of its own clock, at a thread that may take 5 s for a turn."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.clock = Clock()
        self.turns = Turns(5.0)
        self.watchdog = Watchdog(Systemd(environ), clock=self.clock)
        self.watchdog.watch(self.turns.worker)
        wait_until(lambda: self.turns.worker.passes == 1)

    def look(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.now += 1.0
            self.watchdog.look()


@contextmanager
def bench(environ: dict[str, str]) -> Iterator[Bench]:
    made = Bench(environ)
    try:
        yield made
    finally:
        made.turns.end()


def test_systemd_hears_of_life_as_long_as_the_thread_passes(tmp_path: Path) -> None:
    with listening(tmp_path) as listener, bench({"NOTIFY_SOCKET": listener.name, "WATCHDOG_USEC": "8000000"}) as it:
        assert it.watchdog.longest_wait(0.5) == 0.5
        assert it.watchdog.longest_wait(60.0) == 2.0
        for _ in range(5):
            it.look(4)
            it.turns.turn()
        assert listener.listen() == 10 * ["WATCHDOG=1"], "each two seconds, half of the half of what is given"


def test_a_thread_that_hangs_is_named_with_its_stack_and_systemd_is_asked_to_end_the_program(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with listening(tmp_path) as listener, bench({"NOTIFY_SOCKET": listener.name, "WATCHDOG_USEC": "1000000"}) as it:
        it.look(6)
        assert listener.listen() == 6 * ["WATCHDOG=1"]
        it.look(20)
        assert listener.listen()[6:] == ["WATCHDOG=trigger"], "once, and no sign of life any more"
    assert "the turns thread hangs: for more than 5 s it did not pass its loop; systemd is to end" in caplog.text
    assert "in _run" in capfd.readouterr().err


def test_without_systemd_the_log_tells_of_a_hang_and_of_its_end(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with bench({}) as it:
        it.look(30)
        it.turns.turn()
        it.look(1)
        it.look(30)
    assert caplog.text.count("the turns thread hangs: for more than 5 s it did not pass its loop\n") == 2
    assert caplog.text.count("the turns thread passes its loop again") == 1
    assert capfd.readouterr().err.count("Current thread") == 2


def test_a_pause_of_the_whole_program_is_no_threads_fault(caplog: pytest.LogCaptureFixture) -> None:
    with bench({}) as it:
        it.look(1)
        it.clock.now += 3600.0
        it.watchdog.look()
        assert "hangs" not in caplog.text
        it.turns.turn()


def test_a_thread_that_has_ended_does_not_hang(caplog: pytest.LogCaptureFixture) -> None:
    with bench({}) as it:
        it.turns.end()
        it.look(30)
    assert caplog.text == ""


def test_who_waits_without_end_passes_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PASS_S", 0.01)
    changed, asked = threading.Condition(), list[bool]()

    def run(stopping: threading.Event) -> None:
        with changed:
            asked.append(wait_for(changed, stopping.is_set))
            asked.append(wait_for(changed, lambda: False, 0.02))

    worker = Worker("sleeper", run)
    worker.start()
    wait_until(lambda: worker.passes > 5)
    assert not asked
    worker.stop()
    assert worker.join(10)
    assert asked == [True, False]
