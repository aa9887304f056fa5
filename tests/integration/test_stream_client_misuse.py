"""The subscriber in hands that do not know it: wrong settings, a shared cursor, closing at any moment."""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
from pathlib import Path
from typing import Any, TypeVar

import pytest

from edge.errors import ConfigError, StateError, StreamError
from edge.stream.client import Alert, Cursor, FileCursor, Lost, Reset, Subscriber, Welcome
from tests.scripted import STREAM, Caller, alert, scripted
from tests.streaming import own_port, running
from tests.support import wait_until

pytestmark = pytest.mark.usefixtures("leaves_nothing", "tries_again_soon")


T = TypeVar("T")


def upto(kind: type[T], client: Subscriber) -> T:
    """Go on to the next event of a kind."""
    return next(event for event in client if isinstance(event, kind))


def two_alerts(caller: Caller) -> None:
    caller.accept()
    caller.send(alert(1), alert(2))
    caller.wait_for_end()


@pytest.mark.parametrize(
    ("host", "port"), [("h", 0), ("h", 65536), ("h", -1), ("h", "8080"), ("h", None), ("", 1), (None, 1)]
)
def test_an_address_that_cannot_be_is_refused(host: Any, port: Any) -> None:
    with pytest.raises(ConfigError, match=r"no name or address|no whole number from 1 to 65535"):
        Subscriber(host, port)


def test_what_was_closed_before_it_began_stays_closed() -> None:
    client = Subscriber("127.0.0.1", 1)
    client.close()
    client.start()
    assert list(client) == []
    with pytest.raises(StreamError, match="closed before the command get_status was answered"):
        client.command("get_status")
    client.close()


def test_a_command_says_why_there_is_no_connection() -> None:
    with own_port() as port, Subscriber("127.0.0.1", port) as client:
        upto(Lost, client)
        with pytest.raises(StreamError, match=rf"within 0\.05 s: cannot connect to 127\.0\.0\.1:{port}: .*refused"):
            client.command("get_status", timeout=0.05)


def test_two_programs_cannot_keep_their_places_in_one_file(tmp_path: Path) -> None:
    ours, theirs = FileCursor(tmp_path / "cursor"), FileCursor(tmp_path / "cursor")
    assert (ours.load(), theirs.load()) == (None, None)
    ours.save(Cursor("s", 1))
    with pytest.raises(StateError, match="another program writes to it, too"):
        theirs.save(Cursor("s", 1))
    ours.save(Cursor("s", 2))
    assert theirs.load() == Cursor("s", 2)  # who begins anew has it
    theirs.save(Cursor("s", 3))
    with pytest.raises(StateError, match="another program writes to it, too"):
        ours.save(Cursor("s", 3))
    theirs.path.unlink()
    theirs.save(Cursor("s", 4))  # to remove it is allowed


@pytest.mark.parametrize("durable", [True, False])
def test_a_durable_cursor_is_on_the_disk_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    synced = []
    really = os.fsync

    def watched(handle: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(handle).st_mode))
        really(handle)

    monkeypatch.setattr(os, "fsync", watched)
    FileCursor(tmp_path / "cursor", durable=durable).save(Cursor("s", 1))
    assert synced == ([False, True] if durable else [])


def test_a_place_that_cannot_be_kept_is_told_at_the_start_and_the_application_goes_on(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot be written"):
        Subscriber("127.0.0.1", 1, cursor=FileCursor("/proc/nowhere/cursor"))

    store = FileCursor(tmp_path / "folder" / "cursor", durable=False)
    with scripted(two_alerts) as peer, Subscriber(*peer.address, cursor=store) as client:
        assert upto(Alert, client).seq == 1
        store.path.unlink()
        store.path.parent.rmdir()
        store.path.parent.write_text("")  # in the way
        with pytest.raises(StateError, match="cannot be written"):
            next(client)
        store.path.parent.unlink()
        assert upto(Alert, client).seq == 2
        client.take(0.0)
        assert store.load() == Cursor(STREAM, 2)


def test_an_exception_in_the_loop_ends_the_connection_and_the_alert_comes_again(tmp_path: Path) -> None:
    store = FileCursor(tmp_path / "cursor", durable=False)

    def device(caller: Caller) -> None:
        caller.welcome()
        start = caller.hear()["resume"]["after"] + 1
        caller.hello_ok(start)
        caller.send(*[alert(seq) for seq in range(start, 4)])
        caller.wait_for_end()

    given = []

    def follow(address: tuple[str, int]) -> None:
        with Subscriber(*address, cursor=store, start="oldest") as client:
            for event in client:
                if isinstance(event, Alert):
                    given.append(event.seq)
                    if event.seq == 2:
                        raise KeyError("the application's own")

    with scripted(device) as peer:
        with pytest.raises(KeyError):
            follow(peer.address)
        with Subscriber(*peer.address, cursor=store) as client:
            given += [upto(Alert, client).seq, upto(Alert, client).seq]
    assert given == [1, 2, 2, 3]


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_another_thread_ends_a_wait(timeout: float | None) -> None:
    with scripted(two_alerts) as peer:
        client = Subscriber(*peer.address)
        upto(Alert, client)
        upto(Alert, client)
        closing = threading.Timer(0.1, client.close)
        closing.start()
        assert client.take(timeout) is None
        assert client.closed
        closing.join()


def test_ctrl_c_leaves_the_loop_with_what_was_done_kept(tmp_path: Path) -> None:
    program = tmp_path / "follow.py"
    program.write_text(
        "import sys\n"
        "from edge.stream.client import Alert, FileCursor, Subscriber\n"
        "with Subscriber(sys.argv[1], int(sys.argv[2]), cursor=FileCursor(sys.argv[3])) as client:\n"
        "    for event in client:\n"
        "        if isinstance(event, Alert):\n"
        "            print(event.seq, flush=True)\n"
    )
    file = tmp_path / "cursor"
    command = [sys.executable, str(program)]
    with scripted(two_alerts) as peer, running([*command, *map(str, peer.address), str(file)]) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["1\n", "2\n"]
        wait_until(lambda: FileCursor(file).load() == Cursor(STREAM, 2))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert errors.endswith("KeyboardInterrupt\n")
    assert errors.count("Traceback") == 1


def test_a_signals_handler_may_close() -> None:
    with scripted(two_alerts) as peer:
        client = Subscriber(*peer.address)
        before = signal.signal(signal.SIGUSR1, lambda *_: client.close())
        try:
            for event in client:
                if isinstance(event, Alert) and event.seq == 2:
                    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert client.closed


def test_another_device_on_the_same_address_is_told_and_followed() -> None:
    def first(caller: Caller) -> None:
        caller.accept()
        caller.send(alert(1))

    def second(caller: Caller) -> None:
        terms = {"version": 1, "features": ["resume"], "stream": "other"}
        caller.send({"type": "welcome", "device_id": "edge-02", "protocol": terms})
        assert caller.hear()["resume"] == {"stream": STREAM, "after": 1}
        caller.hello_ok(7, "reset", stream="other")
        caller.send(alert(7) | {"stream": "other"})
        caller.wait_for_end()

    with scripted(first, second) as peer, Subscriber(*peer.address) as client:
        assert upto(Welcome, client).device_id == "edge-01"
        assert upto(Welcome, client).device_id == "edge-02"
        assert upto(Reset, client) == Reset("other")
        assert upto(Alert, client).seq == 7
