"""The bytes of one connection, plain or encrypted. Nothing here waits."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any, Protocol

from edge.errors import StreamError
from edge.security.tls import handshake_fault
from edge.stream.room import PIECE, Room

READ_SIZE = 16384
RECORD = 16384  # bytes of plain text in a TLS record, at most
OPTIONS = (  # those that a system does not know are left out
    ("IPPROTO_TCP", "TCP_NODELAY", 1),
    ("IPPROTO_TCP", "TCP_NOTSENT_LOWAT", 16384),  # messages wait here, where newer ones can overtake, not in the kernel
    ("IPPROTO_TCP", "TCP_USER_TIMEOUT", 10_000),
    ("SOL_SOCKET", "SO_KEEPALIVE", 1),
    ("IPPROTO_TCP", "TCP_KEEPIDLE", 10),
    ("IPPROTO_TCP", "TCP_KEEPINTVL", 5),
    ("IPPROTO_TCP", "TCP_KEEPCNT", 3),
)


class Transport(Protocol):
    """A connection's bytes. Every method raises StreamError when the connection is lost.

    ``blocked`` is set while the kernel takes no more bytes: whoever has more to send waits until it can be written to.
    ``passed`` counts the bytes that the kernel took, ``came`` those that it gave. ``ended`` is set when the peer has
    said that no more comes.

    Synchronization: one thread alone.
    """

    socket: socket.socket
    blocked: bool
    passed: int
    came: int
    ended: bool

    def handshake(self) -> bool:
        """Go on with whatever comes before the first message; True when that is done."""

    def certificate(self) -> dict[str, Any]:
        """The peer's certificate as ``ssl.SSLSocket.getpeercert`` gives it; empty where there is none."""

    def send(self, views: list[memoryview]) -> int:
        """Send some of these bytes, in their order; how many of them were taken."""

    def fit(self) -> None:
        """Look how much the link takes: to be called before a picture is sent."""

    def receive(self) -> bytes | None:
        """What came, b"" at the end of the stream, None when nothing is there."""

    def shut(self) -> bool:
        """Say that no more comes; True when that is on its way, False to be called again once not ``blocked``."""


class Plain:
    """TCP as it is."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.blocked = False
        self.passed = self.came = 0
        self.ended = False
        self._room = Room(sock)

    def handshake(self) -> bool:
        return True

    def certificate(self) -> dict[str, Any]:
        return {}

    def send(self, views: list[memoryview]) -> int:
        if not self._room.size:
            return self._hand_over(views)
        sent = 0
        for view in views:
            for start in range(0, len(view), PIECE):
                sent += self._hand_over([view[start : start + PIECE]])
                if self.blocked:
                    return sent
        return sent

    def fit(self) -> None:
        self._room.fit()

    def receive(self) -> bytes | None:
        try:
            data = self.socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            raise _lost(error) from error
        self.came += len(data)
        self.ended = not data
        return data

    def shut(self) -> bool:
        """Closing with input unread would reset the connection and lose what is on its way: this does not."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise _lost(error) from error
        return True

    def _hand_over(self, views: list[memoryview]) -> int:
        try:
            sent = self.socket.sendmsg(views)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            raise _lost(error) from error
        self.passed += sent
        self.blocked = sent < sum(map(len, views))
        return sent


class Encrypted:
    """TLS over memory buffers: OpenSSL never touches the socket, so a write is taken whole or not at all.

    At most one record waits in ``_unsent``: what follows can still be overtaken.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, server_side: bool) -> None:
        self.socket = sock
        self.blocked = False
        self.passed = self.came = 0
        self.ended = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)
        self._unsent = memoryview(b"")
        self._room = Room(sock)
        self._shaken = False

    def handshake(self) -> bool:
        while not self._shaken:
            try:
                self._tls.do_handshake()
                self._shaken = True
            except ssl.SSLWantReadError:
                self._flush()
                if not self._fill():
                    if self.ended:
                        raise StreamError("it left during the TLS handshake") from None
                    return False
            except ssl.SSLError as error:
                with contextlib.suppress(StreamError):
                    self._flush()  # the alert that tells the peer why
                raise _refused(error) from error
        self._flush()
        return True

    def certificate(self) -> dict[str, Any]:
        return self._tls.getpeercert() or {}

    def send(self, views: list[memoryview]) -> int:
        if not self._flush():
            return 0
        sent = 0
        for view in views:
            for start in range(0, len(view), RECORD):
                sent += self._write(view[start : start + RECORD])
                if self.blocked:
                    return sent
        return sent

    def fit(self) -> None:
        self._room.fit()

    def receive(self) -> bytes | None:
        self._fill()
        parts = []
        try:
            while data := self._tls.read(READ_SIZE):
                parts.append(data)
            self.ended = True  # the peer's goodbye of TLS: nothing can follow it
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            raise _refused(error) from error
        if parts:
            return b"".join(parts)
        return b"" if self.ended else None

    def shut(self) -> bool:
        """TLS's own goodbye, then that of TCP."""
        if not self._flush():
            return False
        with contextlib.suppress(ssl.SSLError):  # it wants the peer's goodbye, which is not waited for
            self._tls.unwrap()
        self._flush()
        try:
            if not self.blocked:
                self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise _lost(error) from error
        return not self.blocked

    def _write(self, record: memoryview) -> int:
        try:
            sent = self._tls.write(record)
        except ssl.SSLError as error:
            raise _refused(error) from error
        self._flush()
        return sent

    def _flush(self) -> bool:
        """Hand the kernel what is encrypted; True when nothing of it is left."""
        while True:
            if not self._unsent:
                self._unsent = memoryview(self._outgoing.read())
            if not self._unsent:
                self.blocked = False
                return True
            try:
                sent = self.socket.send(self._unsent)
            except (BlockingIOError, InterruptedError):
                self.blocked = True
                return False
            except OSError as error:
                raise _lost(error) from error
            self.passed += sent
            self._unsent = self._unsent[sent:]

    def _fill(self) -> bool:
        """Take what the kernel has; False when there is nothing."""
        try:
            data = self.socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            raise _lost(error) from error
        self.ended = self.ended or not data
        self.came += len(data)
        self._incoming.write(data)
        return bool(data)


def prepare(sock: socket.socket) -> None:
    """Set what a client's connection needs: never waiting, small delays, and noticing a peer that is gone."""
    sock.setblocking(False)
    for level, option, value in OPTIONS:
        with contextlib.suppress(OSError, AttributeError):
            sock.setsockopt(getattr(socket, level), getattr(socket, option), value)


def _lost(error: OSError) -> StreamError:
    return StreamError(f"connection lost: {error.strerror or error}")


def _refused(error: ssl.SSLError) -> StreamError:
    return StreamError(f"TLS: {handshake_fault(error)}")
