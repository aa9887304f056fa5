"""A device made of a script: what it says and does is the test's, byte for byte."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

from edge.wire.framing import ByteOrder, Framing, blob_prefix, encode
from edge.wire.inbound import InboundReader

STREAM = "5f0c2a51"
FEATURES = ["resume", "acks", "commands", "frames", "health"]


def alert(seq: int | None, **fields: Any) -> dict[str, Any]:
    """An alert, durable where it has a number."""
    found: dict[str, Any] = {
        "type": "alert",
        "alert_id": f"alert_{seq}",
        "event_uid": f"event-{seq}",
        "state": "firing",
        "threat_level": "critical",
        "durable": seq is not None,
        "replay": False,
    }
    if seq is not None:
        found |= {"stream": STREAM, "seq": seq}
    return found | fields


class Caller:
    """One client's connection, from the device's side."""

    def __init__(self, sock: socket.socket, framing: Framing, byteorder: ByteOrder) -> None:
        self.socket = sock
        self.framing, self.byteorder = framing, byteorder
        self._reader = InboundReader(framing, byteorder, 1 << 20)
        self._heard: list[dict[str, Any]] = []
        sock.settimeout(20)

    def send(self, *messages: dict[str, Any] | bytes) -> None:
        for message in messages:
            data = message if isinstance(message, bytes) else self.framed(message)
            self.socket.sendall(data)

    def framed(self, message: dict[str, Any]) -> bytes:
        return encode(json.dumps(message).encode(), self.framing, self.byteorder)

    def picture(self, frame_id: int, jpeg: bytes) -> None:
        self.send({"type": "video_frame", "frame_id": frame_id, "size": len(jpeg), "format": "jpeg"})
        self.send(blob_prefix(len(jpeg), self.byteorder) + jpeg)

    def hear(self) -> dict[str, Any]:
        """The client's next message; EOFError when it has closed."""
        while not self._heard:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self._heard += [json.loads(text) for text in self._reader.feed(data)]
        return self._heard.pop(0)

    def wait_for_end(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                self.hear()

    def welcome(self, **protocol: Any) -> None:
        terms = {"version": 1, "features": FEATURES, "auth": "none", "listener": "main", "stream": STREAM}
        self.send({"type": "welcome", "device_id": "edge-01", "camera_id": "main", "protocol": terms | protocol})

    def accept(self, start: int = 1, status: str = "ok", missed: int = 0, **fields: Any) -> dict[str, Any]:
        """Welcome, hear hello, answer; the hello."""
        self.welcome()
        hello = self.hear()
        hello.setdefault("subscribe", ["alerts", "detections", "health"])
        self.hello_ok(start, status, missed, **({"subscribed": hello["subscribe"]} | fields))
        return hello

    def hello_ok(self, start: int = 1, status: str = "ok", missed: int = 0, **fields: Any) -> None:
        resume = {"status": status, "from": start, "missed": missed}
        given = {"type": "hello_ok", "session": "5e55", "role": "control", "stream": STREAM, "resume": resume}
        self.send(given | {"heartbeat_s": 10.0, "max_inbound": 65536} | fields)

    def reset(self) -> None:
        """End as a cut does: at once, with whatever lies in the buffers lost."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


Script = Callable[[Caller], None]


class Peer:
    """Serves each connection by the next script, the last one for all that follow; keeps what failed in a script."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None, framing: Framing, byteorder: ByteOrder) -> None:
        self.scripts = scripts
        self.failures: list[Exception] = []
        self.connections = 0
        self._tls = tls
        self._form: tuple[Framing, ByteOrder] = framing, byteorder
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._door = threading.Thread(target=self._accept)
        self._door.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._door.join(5)
        self._listener.close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(25)
        for sock in self._sockets:
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                script = self.scripts[min(self.connections, len(self.scripts) - 1)]
                self.connections += 1
                self._sockets.append(sock)
                thread = threading.Thread(target=self._serve, args=(sock, script))
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket, script: Script) -> None:
        try:
            if self._tls is not None:
                sock.settimeout(20)
                sock = self._tls.wrap_socket(sock, server_side=True)
                self._sockets.append(sock)
            script(Caller(sock, *self._form))
        except (EOFError, OSError):
            pass  # the client left first: what the test asserts tells whether it should have
        except Exception as error:  # noqa: BLE001 (a thread's top: the test is told at its end)
            self.failures.append(error)
        finally:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


@contextlib.contextmanager
def scripted(
    *scripts: Script,
    tls: ssl.SSLContext | None = None,
    framing: Framing = "length",
    byteorder: ByteOrder = "big",
) -> Iterator[Peer]:
    """A device that follows scripts; a script that fails fails the test."""
    peer = Peer(*scripts, tls=tls, framing=framing, byteorder=byteorder)
    try:
        yield peer
    finally:
        peer.close()
    if peer.failures:
        raise peer.failures[0]
