"""What the tests of the stream share: values to publish, servers to connect to, a session with no thread behind it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from edge.config import Listener, Stream, Video
from edge.config import Outbox as OutboxSettings
from edge.geometry import Box
from edge.outbox.outbox import Outbox
from edge.stream.answers import Answers
from edge.stream.desk import Desk
from edge.stream.dialogue import Services
from edge.stream.hub import Hub
from edge.stream.mailbox import Form
from edge.stream.publisher import MAX_WAITING, Publisher
from edge.stream.reception import Reception, Trust
from edge.stream.server import StreamServer
from edge.stream.session import Session
from edge.stream.transport import prepare
from edge.types import Alert, Detection, Frame, Latency, Result, VideoFrame
from edge.wire.framing import Framing
from edge.wire.messages import AlertsMode, Identity, Terms
from tests.support import wait_until
from tests.talking import PlainClient, Talker
from tests.values import make_alert

IDENTITY = Identity("edge-01", "main")
PERSON = Detection(0, "person", 0.92, Box(412.0, 133.5, 563.25, 590.0))


def make_result(number: int = 1, *alerts: Alert, padding: int = 0) -> Result:
    """A look at frame ``number``; ``padding`` makes its message longer by so many bytes."""
    image = np.zeros((720, 1280, 3), np.uint8)
    return Result(
        timestamp=1710000001.456,
        camera_id="main",
        status="ok",
        model="bundled" + "x" * padding,
        frame=Frame(number, 1710000001.4, 100.0, image),
        detections=(PERSON,),
        crime_relevant=(True,),
        alerts=alerts,
        latency=Latency(2.5, 21.25, 23.75),
        dropped=3,
    )


def make_video(number: int = 1, size: int = 1000) -> VideoFrame:
    """A picture of ``size`` bytes with a JPEG's first and last two."""
    return VideoFrame(number, 1710000001.4, "main", 640, 360, True, b"\xff\xd8" + bytes(size - 4) + b"\xff\xd9")


@dataclass
class Served:
    """A running server and its hub."""

    hub: Hub
    server: StreamServer

    @property
    def port(self) -> int:
        return self.server.addresses[0][1]

    def client(self, listener: int = 0, **options: Any) -> PlainClient:
        """A client that the hub already counts."""
        client = PlainClient(self.server.addresses[listener], **options)
        client.socket.recv(1, socket.MSG_PEEK)  # its welcome is there
        return client

    def talker(self, listener: int = 0, **options: Any) -> Talker:
        """A client that has read its welcome."""
        return Talker(self.server.addresses[listener], **options)

    def session(self, listener: int = 0, **hello: Any) -> Talker:
        """A client that has said hello with these fields."""
        client = self.talker(listener)
        try:
            client.hello(**hello)
        except BaseException:
            client.close()
            raise
        return client


@contextlib.contextmanager
def serving(
    *listeners: Listener, alerts: AlertsMode = "separate", parts: dict[str, Any] | None = None, **limits: Any
) -> Iterator[Served]:
    """A server on free ports of 127.0.0.1, closed at the end; ``parts`` are further arguments of StreamServer."""
    parts = dict(parts or {})
    hub = parts.pop("hub", None) or Hub(IDENTITY, alerts)
    chosen = listeners or (Listener(host="127.0.0.1", port=0),)
    server = StreamServer(chosen, Stream(alerts=alerts, **limits), hub, **parts)
    server.start()
    try:
        yield Served(hub, server)
    finally:
        server.close()


@contextlib.contextmanager
def own_port() -> Iterator[int]:
    """A port that nobody else gets, also while no server has it: no other program, and no connection to itself."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as a server's own socket: one may listen
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        yield port


def stages(served: Served) -> list[str]:
    return [mailbox.stage for mailbox in list(served.hub._mailboxes)]


@dataclass
class Keeping(Served):
    """A running server with a real outbox behind it."""

    publisher: Publisher
    outbox: Outbox

    def publish(self, *numbers: int) -> None:
        """A look with an alert for each of these, in their order, no faster than the disk takes them."""
        for number in numbers:
            wait_until(lambda: len(self.publisher._waiting) < MAX_WAITING // 2)
            self.publisher.publish_result(make_result(number, make_alert(number)))

    def stored(self, *numbers: int) -> None:
        """As publish, until they are on disk and were sent."""
        before = self.outbox.bounds
        assert before is not None
        self.publish(*numbers)
        wait_until(lambda: self.outbox.bounds and self.outbox.bounds.next_seq == before.next_seq + len(numbers))
        wait_until(lambda: self.publisher.check() is None)


@contextlib.contextmanager
def keeping(
    folder: Path,
    *listeners: Listener,
    outbox: OutboxSettings | None = None,
    slow_s: float = 5.0,
    alerts: AlertsMode = "separate",
    parts: dict[str, Any] | None = None,
    **limits: Any,
) -> Iterator[Keeping]:
    """A server whose alerts are stored in ``folder``, with a commit that may take ``slow_s``."""
    hub = Hub(IDENTITY, alerts)
    store = Outbox(
        folder,
        outbox or OutboxSettings(),
        on_stored=lambda batch: publisher.on_stored(batch),
        synchronised=lambda: False,
        machine_id="this",
    )
    publisher = Publisher(hub, store, slow_s)
    store.start()
    try:
        parts = {"hub": hub, "publisher": publisher, "outbox": store} | (parts or {})
        with serving(*listeners, alerts=alerts, parts=parts, **limits) as served:
            yield Keeping(served.hub, served.server, publisher, store)
    finally:
        store.close()


@dataclass
class Gate:
    """Lets everybody in."""

    terms: Terms
    form: Form
    tls: bool = False
    dialled: bool = False

    def enter(self, session: Session, host: str) -> None:
        """There is always a place."""


def make_session(
    sock: socket.socket,
    hub: Hub,
    *,
    framing: Framing = "length",
    video: bool = False,
    now: float = 0.0,
    outbox: Outbox | None = None,
) -> Session:
    """A session of the plain stream on a socket of one's own, with no thread behind it."""
    prepare(sock)
    desk = Desk("unused", lambda _: None)
    services = Services(hub, Video, outbox, dict, Answers({}, desk), desk)
    gate = Gate(Terms("test", "none", 4.0), Form(framing, "big", video))
    return Reception(services, Trust(), lambda: None).receive(gate, sock, ("127.0.0.1", 1), now)


T = TypeVar("T")


def in_thread(work: Callable[[], T]) -> Callable[[], T]:
    """Begin the work in a thread; calling what is returned waits for it and gives its result."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def wait() -> T:
        thread.join(60)
        assert not thread.is_alive()
        if errors:
            raise errors[0]
        return results[0]

    return wait


class Pair:
    """A session with no thread behind it, and a client at the other end of a real pair of sockets."""

    def __init__(self, framing: Framing = "length", outbox: Outbox | None = None) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.theirs.settimeout(5)
        self.framing, self.now = framing, time.monotonic()
        self.hub = Hub(IDENTITY)
        self.session: Session = make_session(self.ours, self.hub, framing=framing, now=self.now, outbox=outbox)
        self.session.pump(self.now)
        self.now = time.monotonic()  # later than anything that the session took from the clock itself
        assert self.read()["type"] == "welcome"

    def say(self, message: dict[str, Any], after: float = 0.0) -> None:
        self.feed(self.framed(message), after)

    def feed(self, data: bytes, after: float = 0.0) -> None:
        self.now += after
        self.theirs.sendall(data)
        self.session.read(self.now)

    def pass_by(self, seconds: float) -> None:
        """Let time go by in steps of a second, as the server looks at its sessions."""
        for _ in range(round(seconds)):
            self.now += 1.0
            self.session.check(self.now)

    def framed(self, message: dict[str, Any]) -> bytes:
        text = json.dumps(message).encode()
        return text + b"\n" if self.framing == "newline" else len(text).to_bytes(4, "big") + text

    def read(self) -> dict[str, Any]:
        data = b""
        while not self._whole(data):
            data += self.theirs.recv(1)
        message: dict[str, Any] = json.loads(data if self.framing == "newline" else data[4:])
        return message

    def waiting(self) -> bool:
        self.theirs.setblocking(False)
        try:
            return bool(self.theirs.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False
        finally:
            self.theirs.settimeout(5)

    def _whole(self, data: bytes) -> bool:
        if self.framing == "newline":
            return data.endswith(b"\n")
        return len(data) >= 4 and len(data) == 4 + int.from_bytes(data[:4], "big")

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()
        self.theirs.close()


@contextlib.contextmanager
def running(command: list[str], stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """A process that does not outlive the block."""
    with subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True, encoding="utf-8") as process:
        try:
            yield process
        finally:
            process.kill()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """Fail when threads or descriptors that were not there before are there after."""
    threads, files = threading.active_count(), open_files()
    yield
    wait_until(lambda: threading.active_count() <= threads)
    wait_until(lambda: open_files() <= files)
