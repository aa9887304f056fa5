"""The reference client: connects, finds the framing by itself, and gives the messages one by one."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from edge.errors import ProtocolError, StreamError
from edge.stream.address import show
from edge.wire.framing import Message, MessageReader

IDLE_S = 25.0  # a device says something every 5 s; one that is quiet for so long is gone
CONNECT_S = 10.0
RETRY_MIN_S = 0.25
RETRY_MAX_S = 30.0
READ_SIZE = 65536


@dataclass(frozen=True, slots=True)
class Connected:
    """The connection stands; the welcome follows."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Lost:
    """There is no connection, for the reason given; the next attempt comes in ``retry_s`` seconds."""

    reason: str
    retry_s: float

    def __str__(self) -> str:
        return f"{self.reason}; trying again in {self.retry_s:.1f} s"


Event: TypeAlias = Connected | Lost | Message


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


class Watch:
    """An endless iterator over a device's messages that connects again whenever the connection is lost.

    Between the messages it gives Connected and Lost. The waits have full jitter: each is drawn between RETRY_MIN_S
    and a bound that doubles up to RETRY_MAX_S, so that many clients do not come back at one moment; a message
    received sets the bound back. With ``patience`` it raises StreamError when that many seconds went by without a
    message.

    Synchronization: one thread iterates; any thread may close, which ends the iteration.
    """

    def __init__(self, host: str, port: int, *, patience: float | None = None, idle: float = IDLE_S) -> None:
        self.host, self.port = host, port
        self._patience = patience
        self._idle = idle
        self._closing = threading.Event()
        self._client: Client | None = None
        self._failures = 0
        self._heard_at = time.monotonic()

    def __iter__(self) -> Iterator[Event]:
        self._heard_at = time.monotonic()
        reason = ""
        while not self._closing.is_set():
            self._check_patience(reason)
            try:
                yield from self._connection()
                reason = "closed by the device"
            except StreamError as error:
                reason = str(error)
            finally:
                self._hang_up()
            if not self._closing.is_set() and self._left() > 0:
                lost = Lost(reason, self._next_wait())
                yield lost
                self._closing.wait(min(lost.retry_s, max(0.0, self._left())))

    def close(self) -> None:
        """End the iteration, also one that waits; one that is just connecting ends within CONNECT_S."""
        self._closing.set()
        self._hang_up()

    def _connection(self) -> Iterator[Event]:
        left = max(self._left(), 0.01)
        self._client = client = connect(self.host, self.port, min(CONNECT_S, left), idle=min(self._idle, left))
        if self._closing.is_set():  # close() came while connecting and found nothing to hang up
            return
        yield Connected(self.host, self.port)
        for message in client:
            self._failures = 0
            self._heard_at = time.monotonic()
            client.idle = min(self._idle, self._left())
            yield message

    def _left(self) -> float:
        """Seconds until patience ends."""
        if self._patience is None:
            return float("inf")
        return self._heard_at + self._patience - time.monotonic()

    def _check_patience(self, reason: str) -> None:
        if self._left() <= 0:
            raise StreamError(f"no message from {show((self.host, self.port))} for {self._patience:g} s: {reason}")

    def _next_wait(self) -> float:
        bound = min(RETRY_MAX_S, RETRY_MIN_S * 2 ** (self._failures + 1))
        self._failures = min(self._failures + 1, 16)
        return random.uniform(RETRY_MIN_S, bound)  # noqa: S311 (spreads load, guards no secret)

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
