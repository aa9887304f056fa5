"""What a bad disk and a bad clock do to alerts: they go out live all the same, and numbered when the disk is back.

    sudo .venv/bin/python -m tests.chaos.disk

It enters a mount namespace of its own and makes its disks there: one that becomes full, one that is read-only, one
whose file system fails while it is written (ext4, aborted), a database that is damaged while it is in use. Then the
clock jumps by years. A plain client and a session listen all the while. One line for each; exit 1 where one fails, 2
where there can be no such namespace.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge import config
from edge.health.board import HealthBoard
from edge.outbox.files import DATABASE
from edge.outbox.outbox import Outbox
from edge.stream.hub import Hub
from edge.stream.publisher import Publisher
from edge.stream.server import StreamServer
from edge.wire import replies
from edge.workers import Worker
from tests.bench.device import IDENTITY, ROOT, make_result
from tests.bench.taps import frame
from tests.support import wait_until
from tests.values import make_alert

INSIDE = "--inside"
YEAR_S = 365 * 86400.0
SOON_S = 3.0  # for an alert that has to come live; a retry of the disk and a reconnect fit too


class Listener:
    """A client in a thread; a session where it has topics. It connects again when it is told goodbye."""

    def __init__(self, port: int, topics: tuple[str, ...] = ()) -> None:
        self.messages: list[dict[str, Any]] = []
        self._port, self._topics = port, topics
        self._resume: dict[str, Any] = {"stream": "", "after": 0}
        self._socket = socket.socket()
        self._ended = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def has(self, uid: str, **fields: object) -> bool:
        """Whether this alert came, as a message with these fields."""
        wanted = {"type": "alert", "event_uid": uid, **fields}
        return any(wanted.items() <= message.items() for message in list(self.messages))

    def health(self, component: str) -> str:
        told = [message for message in list(self.messages) if message["type"] == "health"]
        return str(told[-1]["components"][component]["state"]) if told else ""

    def close(self) -> None:
        self._ended = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)

    def _run(self) -> None:
        while not self._ended:
            with (
                contextlib.suppress(OSError, EOFError),
                socket.create_connection(("127.0.0.1", self._port), 10) as sock,
            ):
                self._socket = sock
                sock.settimeout(30)
                self._listen(sock)

    def _listen(self, sock: socket.socket) -> None:
        with sock.makefile("rb") as file:
            while (size := file.read(4)) and not self._ended:
                message = json.loads(file.read(int.from_bytes(size, "big")))
                self.messages.append(message)
                if message["type"] == "welcome" and self._topics:
                    hello = {"type": "hello", "protocol": 1, "subscribe": self._topics, "resume": self._resume}
                    sock.sendall(frame(hello))
                elif message["type"] == "ping":
                    sock.sendall(frame({"type": "pong", "t": message["t"]}))
                elif message.get("seq"):
                    self._resume = {"stream": message["stream"], "after": message["seq"]}


class Rig:
    """A device on ``folder`` with a plain client and a session; ``jump`` is added to its clock."""

    def __init__(self, folder: Path, on_death: Callable[[Worker], None]) -> None:
        self.jump = 0.0
        self._number = 0
        self.hub = Hub(IDENTITY)
        self.board = HealthBoard(lambda parts: self.hub.publish_health(replies.health(parts, time.time())))
        self.outbox = Outbox(
            folder,
            config.Outbox(max_alerts=1000),
            on_stored=lambda batch: self.publisher.on_stored(batch),
            on_state=lambda state, reason: self.board.set("outbox", state, reason),
            on_death=on_death,
            clock=lambda: time.time() + self.jump,
            synchronised=lambda: True,
            machine_id="disk",
        )
        self.publisher = Publisher(self.hub, self.outbox)
        self.server = StreamServer(
            [config.Listener(host="127.0.0.1", port=0)],
            config.Stream(),
            self.hub,
            publisher=self.publisher,
            outbox=self.outbox,
            health=self.board.components,
            on_death=on_death,
        )
        self.outbox.start()
        self.server.start()
        port = self.server.addresses[0][1]
        self.plain, self.session = Listener(port), Listener(port, ("alerts", "health"))
        wait_until(lambda: self.plain.messages and self.session.health("outbox"))

    def alert(self) -> str:
        """Publish one, and wait until both clients have it, numbered or not; its event."""
        self._number += 1
        uid = f"disk-{id(self)}-{self._number}"
        self.publisher.publish_result(make_result(self._number, "disk", make_alert(self._number, uid, time.time())))
        wait_until(lambda: self.plain.has(uid) and self.session.has(uid), SOON_S)
        return uid

    def numbered(self, *events: str) -> None:
        """Wait until the session has all of these with a number."""
        wait_until(lambda: all(self.session.has(uid, durable=True) for uid in events))

    def state(self, *wanted: str) -> None:
        """Wait until the session was told that the outbox is in one of these."""
        wait_until(lambda: self.session.health("outbox") in wanted)

    def close(self) -> None:
        self.plain.close()
        self.session.close()
        self.server.close()
        self.outbox.close()


@contextlib.contextmanager
def rig(folder: Path) -> Iterator[Rig]:
    dead: list[str] = []
    made = Rig(folder, lambda worker: dead.append(worker.name))
    try:
        yield made
        assert not dead, f"the {dead[0]} thread died"
    finally:
        made.close()


@contextlib.contextmanager
def mounted(folder: Path, *what: str) -> Iterator[Path]:
    folder.mkdir()
    _do("mount", *what, str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def full(folder: Path) -> None:
    """The disk fills up while alerts come."""
    with mounted(folder / "full", "-t", "tmpfs", "-o", "size=2m", "none") as disk, rig(disk) as device:
        device.numbered(device.alert())
        ballast = disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        for _ in range(64):  # the log file still has room in its last page
            if device.session.health("outbox") == "failed":
                break
            device.alert()
        device.state("failed")
        waiting = [device.alert() for _ in range(5)]
        assert not any(device.session.has(uid, durable=True) for uid in waiting)
        ballast.unlink()
        device.numbered(*waiting)
        device.state("ok")


def read_only(folder: Path) -> None:
    """A card that is read-only at the start, and is made writable later."""
    with mounted(folder / "worn", "-t", "tmpfs", "-o", "size=4m", "none") as disk:
        with rig(disk) as device:
            device.numbered(device.alert())
        _do("mount", "-o", "remount,ro", str(disk))
        with rig(disk) as device:
            device.state("failed")
            waiting = [device.alert() for _ in range(5)]
            _do("mount", "-o", "remount,rw", str(disk))
            device.state("ok")
            device.numbered(*waiting)


def aborted(folder: Path) -> None:
    """The kernel gives a file system up while the outbox is open on it; then another card is put in."""
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    _do("mkfs.ext4", "-q", "-F", str(image))
    with mounted(folder / "card", "-o", "loop", str(image)) as disk, rig(disk) as device:
        device.numbered(device.alert())
        _do("mount", "-o", "remount,abort", str(disk))
        with contextlib.suppress(OSError):
            (disk / "anything").touch()
        waiting = [device.alert() for _ in range(5)]
        device.state("failed")
        _do("umount", "-l", str(disk))
        _do("mount", "-t", "tmpfs", "-o", "size=4m", "none", str(disk))
        device.state("degraded")  # it works again, and the numbers are new ones
        device.numbered(*waiting)
        device.numbered(device.alert())


def damaged(folder: Path) -> None:
    """The middle of the database is overwritten while it is open; somebody who resumes comes across it."""
    with mounted(folder / "damaged", "-t", "tmpfs", "-o", "size=16m", "none") as disk, rig(disk) as device:
        device.numbered(*[device.alert() for _ in range(100)])
        for name in (DATABASE, f"{DATABASE}-wal"):
            size = (disk / name).stat().st_size
            with (disk / name).open("r+b") as file:
                file.seek(4096)
                file.write(os.urandom(max(0, size - 4096)))
        late = Listener(device.server.addresses[0][1], ("alerts",))
        try:
            wait_until(lambda: _pushed(device).board.components()["outbox"]["state"] == "degraded", 20)
            device.state("degraded")
            device.numbered(device.alert())
        finally:
            late.close()
        assert list(disk.glob(f"{DATABASE}.damaged-*")), "the damaged file is not kept"


def clock(folder: Path) -> None:
    """The clock jumps forth and back by years, and nothing that a consumer still wants goes."""
    with mounted(folder / "clock", "-t", "tmpfs", "-o", "size=4m", "none") as disk, rig(disk) as device:
        stream = device.outbox.bounds.stream if device.outbox.bounds else ""
        events = []
        for device.jump in (0.0, 20 * YEAR_S, -30 * YEAR_S, 0.0):
            events += [device.alert() for _ in range(3)]
            device.numbered(*events)
        device.state("ok")
        bounds = device.outbox.bounds
        assert bounds is not None
        assert (bounds.stream, bounds.oldest_seq, bounds.next_seq) == (stream, 1, len(events) + 1)


STORIES: tuple[Callable[[Path], None], ...] = (full, read_only, aborted, damaged, clock)


def _pushed(device: Rig) -> Rig:
    """The same, after one more alert: a damaged page is found by who reads or writes it."""
    device.alert()
    return device


def _do(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def missing(story: str = "") -> str:
    """Why this cannot be done here; empty where it can."""
    if os.geteuid() != 0:
        return "mounting needs root"
    if shutil.which("unshare") is None or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        return "there can be no mount namespace"
    if story == aborted.__name__ and not (shutil.which("mkfs.ext4") and Path("/dev/loop-control").exists()):
        return "a loop device and mkfs.ext4 are needed"
    return ""


def enter(story: str) -> subprocess.CompletedProcess[str]:
    """Play one story in a mount namespace of its own."""
    command = ["unshare", "--mount", sys.executable, "-m", "tests.chaos.disk", INSIDE, story]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=100)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(INSIDE, choices=[story.__name__ for story in STORIES], help=argparse.SUPPRESS)
    inside = parser.parse_args().inside
    if inside:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            next(story for story in STORIES if story.__name__ == inside)(Path(folder))
        return 0
    worst = 0
    for story in STORIES:
        if reason := missing(story.__name__):
            print(f"{story.__name__:10} left out: {reason}")
            worst = worst or 2
            continue
        began, done = time.monotonic(), enter(story.__name__)
        print(f"{story.__name__:10} {'good' if not done.returncode else 'FAILED'}, {time.monotonic() - began:.1f} s")
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            worst = 1
    return worst


if __name__ == "__main__":
    sys.exit(main())
