"""What the tests of the stream share: values to publish, a server to connect to, and a client written by hand."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from edge.config import Listener, Stream, Video
from edge.geometry import Box
from edge.stream.answers import Answers
from edge.stream.desk import Desk
from edge.stream.dialogue import Services
from edge.stream.hub import Hub
from edge.stream.mailbox import Form
from edge.stream.reception import Reception, Trust
from edge.stream.server import StreamServer
from edge.stream.session import Session
from edge.stream.transport import prepare
from edge.types import Alert, Detection, Frame, Latency, Result, VideoFrame
from edge.wire.framing import ByteOrder
from edge.wire.messages import AlertsMode, Identity, Terms
from tests.support import wait_until

IDENTITY = Identity("edge-01", "main")
PERSON = Detection(0, "person", 0.92, Box(412.0, 133.5, 563.25, 590.0))


def make_alert(number: int = 1) -> Alert:
    return Alert(
        alert_id=f"alert_{1710000000 + number}",
        timestamp=1710000000.789 + number,
        camera_id="main",
        rule="armed person",
        threat_level="critical",
        confidence=0.95,
        threat_types=("knife", "person"),
        location=(640, 360),
        detection_count=2,
        frame_id=number,
        event_uid=f"event-{number}",
    )


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


@dataclass
class Gate:
    """Lets everybody in."""

    terms: Terms
    form: Form
    tls: bool = False
    dialled: bool = False

    def enter(self, session: Session, host: str) -> None:
        """There is always a place."""


def make_session(sock: socket.socket, hub: Hub, *, video: bool = False, now: float = 0.0) -> Session:
    """A session of the plain stream on a socket of one's own, with no thread behind it."""
    prepare(sock)
    desk = Desk("unused", lambda _: None)
    services = Services(hub, Video, None, dict, Answers({}, desk), desk)
    gate = Gate(Terms("test", "none", 4.0), Form("length", "big", video))
    return Reception(services, Trust(), lambda: None).receive(gate, sock, ("127.0.0.1", 1), now)


class PlainClient:
    """What a backend engineer would write from the guide alone; it shares no code with the program.

    ``receive_buffer`` bytes of kernel buffer make a client that soon takes no more.
    """

    def __init__(
        self,
        address: tuple[str, int],
        *,
        framing: str = "length",
        byteorder: ByteOrder = "big",
        receive_buffer: int | None = None,
    ) -> None:
        self.framing, self.byteorder = framing, byteorder
        self.socket = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(10)
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise
        self.file = self.socket.makefile("rb")

    def read(self) -> dict[str, Any]:
        """The next message, a picture under ``jpeg``; EOFError at the end of the stream."""
        if self.framing == "newline":
            text = self.file.readline()
            if not text:
                raise EOFError
            assert text.endswith(b"\n")
        else:
            text = self.read_sized()
        message = cast("dict[str, Any]", json.loads(text))
        if message["type"] == "video_frame":
            message["jpeg"] = self.read_sized()
        return message

    def read_sized(self) -> bytes:
        size = int.from_bytes(self.read_exactly(4), self.byteorder)
        return self.read_exactly(size)

    def read_exactly(self, count: int) -> bytes:
        data = self.file.read(count)
        if len(data) < count:
            raise EOFError
        return data

    def read_all(self) -> list[dict[str, Any]]:
        """Everything up to the end of the stream, which must lie between two messages."""
        messages = []
        with contextlib.suppress(EOFError):
            while True:
                messages.append(self.read())
        return messages

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def __enter__(self) -> PlainClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
