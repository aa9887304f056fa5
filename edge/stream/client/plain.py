"""One connection to a device, as it comes: for who only listens."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Iterator

from edge.errors import ProtocolError, StreamError
from edge.stream.address import show
from edge.stream.client.dialogue import IDLE_S
from edge.stream.client.link import CONNECT_S
from edge.wire.framing import Message, MessageReader

READ_SIZE = 65536


class Client:
    """One connection to a device: an iterator of its messages, which waits for the next one.

    The iteration ends when the device closed the connection. It raises StreamError when the connection broke or was
    silent for ``idle`` seconds, and ProtocolError on bytes that are no message.

    Synchronization: one thread iterates; any thread may close, which ends the iteration.
    """

    def __init__(self, sock: socket.socket, idle: float = IDLE_S) -> None:
        self.idle = idle  # may be changed between messages
        self._socket = sock
        self._reader = MessageReader()
        self._ready: deque[Message] = deque()
        self._failed: ProtocolError | None = None
        self._closed = False

    @property
    def framing(self) -> str:
        """ "length" or "newline"; empty until the welcome has come."""
        return self._reader.framing or ""

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        while not self._ready:
            if self._failed is not None:
                raise self._failed
            data = self._receive()
            if not data:
                self._check_end()
                raise StopIteration
            self._parse(data)
        return self._ready.popleft()

    def close(self) -> None:
        """End the connection; a thread that waits in the iteration is woken."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self) -> bytes:
        try:
            self._socket.settimeout(self.idle)
            return self._socket.recv(READ_SIZE)
        except TimeoutError as error:
            raise StreamError(f"nothing came for {self.idle:g} s") from error
        except OSError as error:
            if self._closed:
                return b""
            raise StreamError(f"the connection broke: {error.strerror or error}") from error

    def _parse(self, data: bytes) -> None:
        """What is complete before a fault is still given."""
        try:
            for message in self._reader.feed(data):
                self._ready.append(message)
        except ProtocolError as error:
            self._failed = error

    def _check_end(self) -> None:
        if not self._closed and not self._reader.between_messages:
            raise StreamError("the connection ended in the middle of a message")


def connect(host: str, port: int, timeout: float = CONNECT_S, *, idle: float = IDLE_S) -> Client:
    """Connect to a device; StreamError when it cannot be reached within ``timeout`` seconds."""
    try:
        sock = socket.create_connection((host, port), timeout)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no answer"
        raise StreamError(f"cannot connect to {show((host, port))}: {reason}") from error
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return Client(sock, idle)
