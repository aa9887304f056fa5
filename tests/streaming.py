"""What the tests of the stream share: values to publish, a server to connect to, and a client written by hand."""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from edge.config import Listener, Security, Stream, Video
from edge.config import Outbox as OutboxSettings
from edge.geometry import Box
from edge.outbox.outbox import Outbox
from edge.stream.answers import Answers
from edge.stream.desk import Desk
from edge.stream.dialogue import Services
from edge.stream.hub import Hub
from edge.stream.mailbox import Form
from edge.stream.publisher import Publisher
from edge.stream.reception import Reception, Trust
from edge.stream.server import StreamServer
from edge.stream.session import Session
from edge.stream.transport import prepare
from edge.types import Alert, Detection, Frame, Latency, Result, VideoFrame
from edge.wire.framing import ByteOrder, Framing
from edge.wire.messages import AlertsMode, Identity, Terms
from tests.certificates import FleetFiles
from tests.support import wait_until

IDENTITY = Identity("edge-01", "main")
PERSON = Detection(0, "person", 0.92, Box(412.0, 133.5, 563.25, 590.0))
HELLO: dict[str, Any] = {"type": "hello", "protocol": 1}
SECRET, OTHER = "5ec4e7" * 11, "0ddba1" * 11
KEYS = f"""
[keys.backend-1]
role = "viewer"
secret = "{SECRET}"

[keys.desk]
role = "control"
secret = "{SECRET.upper()}"
"""


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


def stages(served: Served) -> list[str]:
    return [mailbox.stage for mailbox in list(served.hub._mailboxes)]


@dataclass
class Keeping(Served):
    """A running server with a real outbox behind it."""

    publisher: Publisher
    outbox: Outbox

    def publish(self, *numbers: int) -> None:
        """A look with an alert for each of these, in their order."""
        for number in numbers:
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
    sock: socket.socket, hub: Hub, *, framing: Framing = "length", video: bool = False, now: float = 0.0
) -> Session:
    """A session of the plain stream on a socket of one's own, with no thread behind it."""
    prepare(sock)
    desk = Desk("unused", lambda _: None)
    services = Services(hub, Video, None, dict, Answers({}, desk), desk)
    gate = Gate(Terms("test", "none", 4.0), Form(framing, "big", video))
    return Reception(services, Trust(), lambda: None).receive(gate, sock, ("127.0.0.1", 1), now)


ClientT = TypeVar("ClientT", bound="PlainClient")


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
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.framing, self.byteorder = framing, byteorder
        self.tls = tls is not None
        self.socket = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(10)
        try:
            self.socket.connect(address)
            if tls is not None:
                self.socket = tls.wrap_socket(self.socket)
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

    def __enter__(self: ClientT) -> ClientT:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def client_tls(fleet: FleetFiles, own: Security | None = None, **versions: ssl.TLSVersion) -> ssl.SSLContext:
    """A backend's own context, made without the program's code."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(fleet.ca)
    if own is not None:
        context.load_cert_chain(own.certificate, own.private_key)
    for name, version in versions.items():
        setattr(context, name, version)
    return context


T = TypeVar("T")


class Talker(PlainClient):
    """A client that says hello and more, still written by hand; its welcome is read. ``passed`` is what came before
    hello_ok."""

    def __init__(self, address: tuple[str, int], **options: Any) -> None:
        super().__init__(address, **options)
        self.passed: list[dict[str, Any]] = []
        try:
            self.welcome = self.read()
        except BaseException:
            self.close()
            raise

    def frame(self, message: dict[str, Any] | bytes) -> bytes:
        text = message if isinstance(message, bytes) else json.dumps(message).encode()
        return text + b"\n" if self.framing == "newline" else len(text).to_bytes(4, self.byteorder) + text

    def send(self, *messages: dict[str, Any] | bytes) -> None:
        """All of them in one write."""
        self.socket.sendall(b"".join(map(self.frame, messages)))

    def hello(self, **fields: Any) -> dict[str, Any]:
        """Say hello; the hello_ok."""
        self.send(HELLO | fields)
        return self.until("hello_ok", self.passed)

    def log_in(self, secret: str, key_id: str = "backend-1", **changes: str) -> dict[str, Any]:
        """The auth of a hello; ``changes`` replace what goes into the mac."""
        parts = {
            "label": "preact-edge-v1 client",
            "key_id": key_id,
            "device_id": self.welcome["device_id"],
            "listener": f"{'tls' if self.tls else 'tcp'}:{self.welcome['protocol']['listener']}",
            "server_nonce": self.welcome["protocol"]["nonce"],
            "client_nonce": secrets.token_hex(32),
        } | changes
        self.proof = self._mac(secret, parts | {"label": "preact-edge-v1 server"})
        return {"key_id": key_id, "nonce": parts["client_nonce"], "mac": self._mac(secret, parts)}

    def _mac(self, secret: str, parts: dict[str, str]) -> str:
        return hmac.new(bytes.fromhex(secret), "\0".join(parts.values()).encode(), "sha256").hexdigest()

    def until(self, kind: str, passed: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        """The next message of that type; what comes before it goes into ``passed``. An error in its place fails."""
        while (message := self.read())["type"] != kind:
            assert message["type"] != "error", message
            if passed is not None:
                passed.append(message)
        return message

    def ask(self, command: str, command_id: str = "1", **args: Any) -> dict[str, Any]:
        """Give a command; its answer."""
        self.send({"type": "command", "id": command_id, "cmd": command, "args": args})
        while (answer := self.until("command_result"))["id"] != command_id:
            pass
        return answer

    def round_trip(self) -> list[dict[str, Any]]:
        """What came before the answer to a ping: after it the device has dealt with all that was sent."""
        passed: list[dict[str, Any]] = []
        mark = secrets.randbelow(1 << 40)
        self.send({"type": "ping", "t": mark})
        while (message := self.read()) != {"type": "pong", "t": mark}:
            passed.append(message)
        return passed

    def alerts(self, count: int) -> list[dict[str, Any]]:
        """The next so many, all else left out."""
        return [self.until("alert") for _ in range(count)]

    def seqs(self, count: int) -> list[int]:
        return [alert["seq"] for alert in self.alerts(count)]

    def end(self) -> list[dict[str, Any]]:
        """All up to the end of the stream, or of the connection."""
        messages: list[dict[str, Any]] = []
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                messages.append(self.read())
        return messages


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

    def __init__(self, framing: Framing = "length") -> None:
        self.ours, self.theirs = socket.socketpair()
        self.theirs.settimeout(5)
        self.framing, self.now = framing, time.monotonic()
        self.hub = Hub(IDENTITY)
        self.session: Session = make_session(self.ours, self.hub, framing=framing, now=self.now)
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
