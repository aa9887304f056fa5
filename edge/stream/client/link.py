"""One connection of a client that never waits: connecting, TLS, bytes in and out."""

from __future__ import annotations

import contextlib
import os
import random
import selectors
import socket
import ssl
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from edge.errors import StreamError
from edge.stream.address import show
from edge.stream.client.refusals import Untrusted
from edge.stream.client.tls import Tls
from edge.wire.framing import Message, MessageReader, encode

CONNECT_S = 10.0  # for one address: connecting and TLS
MAX_OUTGOING = 1 << 20  # bytes that wait to be sent; a device that takes none of them is as good as gone
READ_SIZE = 65536
RETRY_MIN_S = 0.25
RETRY_MAX_S = 30.0
USER_TIMEOUT_MS = 10_000
# What OpenSSL says, by version, of bytes that are no TLS record.
SPEAKS_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"})
AddressInfo: TypeAlias = tuple[Any, ...]


def resolve(host: str, port: int) -> list[AddressInfo]:
    """Every address of a host, by the system's resolver, which may take its time; StreamError when there is none."""
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:
        raise StreamError(f"cannot connect to {show((host, port))}: {_reason(error)}") from error


class Backoff:
    """Waits with full jitter: each is drawn between RETRY_MIN_S and a bound that doubles up to RETRY_MAX_S.

    So many clients do not come back at one moment. ``reset`` sets the bound back.

    Synchronization: one thread.
    """

    def __init__(self) -> None:
        self.failures = 0

    def reset(self) -> None:
        self.failures = 0

    def next_wait(self) -> float:
        bound = min(RETRY_MAX_S, RETRY_MIN_S * 2 ** (self.failures + 1))
        self.failures = min(self.failures + 1, 16)
        return random.uniform(RETRY_MIN_S, bound)  # noqa: S311 (spreads load, guards no secret)


class Link:
    """A connection, tried at each of ``addresses`` in turn; ``open`` once bytes may flow.

    ``handle`` does what ``socket`` is ready for, as ``events`` asked; ``socket`` is another one after an address that
    failed. ``deadline`` is when ``check`` must be called while it is not open yet. Nothing here waits; every method
    raises StreamError when the connection is over.

    Synchronization: the thread that owns it alone; a TLS socket that two threads use breaks.
    """

    def __init__(self, host: str, addresses: Sequence[AddressInfo], tls: Tls | None, now: float) -> None:
        self.open = False
        self.ended = False  # the device has closed its side
        self.deadline = now
        self.encryption = ""
        self.peer: AddressInfo = ()
        self._host = host
        self._remaining = list(addresses)
        self._tls = tls
        self._context = tls.context() if tls is not None else None
        self._reader = MessageReader()
        self._outgoing = bytearray()
        self._offered = b""  # given to send and not taken in full: the same bytes must be offered again
        self._wants_write = True
        self._connected = False
        self.socket = self._dial(now)

    @property
    def events(self) -> int:
        """What to wait for."""
        if not self._connected:
            return selectors.EVENT_WRITE
        writing = self._wants_write or bool(self._outgoing or self._offered)
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)

    def handle(self, events: int, now: float) -> Iterator[Message]:
        """Go on; yields the messages that are complete now."""
        if not self._connected:
            self._connect(now)
        elif not self.open:
            self._shake_hands()
        else:
            if events & selectors.EVENT_WRITE:
                self.flush()
            if events & selectors.EVENT_READ:
                yield from self._read()

    def check(self, now: float) -> None:
        """Give up an address that has not answered in time."""
        if not self.open and now >= self.deadline:
            self._failed(StreamError("no answer"), now)

    def send(self, message: bytes) -> None:
        """Frame a message as the device's are and send what goes now; the rest follows when ``handle`` is called."""
        self._outgoing += encode(message, self._reader.framing or "length", self._reader.byteorder or "big")
        if len(self._outgoing) > MAX_OUTGOING:
            raise StreamError("the device takes nothing any more")
        self.flush()

    def flush(self) -> None:
        """Send until nothing is left or the kernel takes no more."""
        self._wants_write = False
        while self._offered or self._outgoing:
            if not self._offered:
                self._offered = bytes(self._outgoing[:READ_SIZE])
                del self._outgoing[: len(self._offered)]
            try:
                sent = self.socket.send(self._offered)
            except (BlockingIOError, InterruptedError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            except OSError as error:
                raise _broken(error) from error
            self._offered = self._offered[sent:]

    def shut(self) -> None:
        """Say that nothing more comes; what the device still sends can be read until it closes too."""
        with contextlib.suppress(OSError):
            if isinstance(self.socket, ssl.SSLSocket):
                self.socket.unwrap()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()

    def _dial(self, now: float) -> socket.socket:
        """Begin with the next address."""
        family, kind, proto, _, address = self.peer = self._remaining.pop(0)
        self._connected, self._wants_write, self.deadline = False, True, now + CONNECT_S
        sock = None
        try:
            sock = socket.socket(family, kind, proto)
            sock.setblocking(False)
            _prepare(sock)
            with contextlib.suppress(BlockingIOError):
                sock.connect(address)
        except OSError as error:  # no such family here, or no route
            if sock is not None:
                sock.close()
            if not self._remaining:
                raise self._unreachable(error) from error
            return self._dial(now)
        return sock

    def _connect(self, now: float) -> None:
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._failed(OSError(code, os.strerror(code)), now)
            return
        self._connected, self._wants_write = True, False
        if self._context is None:
            self.open = True
            return
        self.socket = self._context.wrap_socket(
            self.socket, server_hostname=self._host.partition("%")[0], do_handshake_on_connect=False
        )
        self._shake_hands()

    def _shake_hands(self) -> None:
        if not isinstance(self.socket, ssl.SSLSocket) or self._tls is None:
            return
        self._wants_write = False
        try:
            self.socket.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLWantWriteError:
            self._wants_write = True
            return
        except ssl.SSLCertVerificationError as error:
            what = f"the certificate of {self._host} is not accepted: {error.verify_message}"
            raise Untrusted("certificate", what) from error
        except OSError as error:
            raise _no_tls(show(self.peer[4]), error) from error
        self._tls.verify(self.socket)
        self.encryption = self.socket.version() or ""
        self.open = True

    def _read(self) -> Iterator[Message]:
        data = self._receive()
        while data:
            yield from self._reader.feed(data)
            pending = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()
            data = self._receive() if pending else None  # what OpenSSL holds is not seen by select
        if data == b"":
            self.ended = True
            if not self._reader.between_messages:
                raise StreamError("the connection ended in the middle of a message")

    def _receive(self) -> bytes | None:
        """Some bytes; empty at the end of the stream, None when there are none now."""
        try:
            return self.socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError):
            return None
        except ssl.SSLWantWriteError:
            self._wants_write = True
            return None
        except OSError as error:
            raise _broken(error) from error

    def _failed(self, error: OSError, now: float) -> None:
        """Try the next address, or give up."""
        self.socket.close()
        if not self._remaining:
            raise self._unreachable(error) from error
        self.socket = self._dial(now)

    def _unreachable(self, error: Exception) -> StreamError:
        return StreamError(f"cannot connect to {show((self._host, *self.peer[4][1:2]))}: {_reason(error)}")


def _prepare(sock: socket.socket) -> None:
    for level, option, value in (
        ("IPPROTO_TCP", "TCP_NODELAY", 1),
        ("IPPROTO_TCP", "TCP_USER_TIMEOUT", USER_TIMEOUT_MS),
        ("SOL_SOCKET", "SO_KEEPALIVE", 1),
    ):
        with contextlib.suppress(OSError, AttributeError):
            sock.setsockopt(getattr(socket, level), getattr(socket, option), value)


def _no_tls(address: str, error: OSError) -> StreamError:
    if isinstance(error, ssl.SSLError) and error.reason in SPEAKS_NO_TLS:
        what = f"no TLS with {address}: what answers there speaks none"
        return Untrusted("no_tls", what, "take the port that does")
    return StreamError(f"no TLS with {address}: {_reason(error)}")


def _broken(error: OSError) -> StreamError:
    if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
        # TLS 1.3 judges the client's certificate after its own handshake is done.
        what = f"the device does not accept this client's certificate, or its lack: {_reason(error)}"
        return Untrusted("client_certificate", what)
    return StreamError(f"the connection broke: {_reason(error)}")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return getattr(error, "strerror", None) or str(error) or "no answer"
