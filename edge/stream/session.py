"""One connection of a client: what it is sent, what it may send, and how it ends. It owns the socket."""

from __future__ import annotations

import contextlib
import socket

from edge.stream.hub import Hub, Unit
from edge.stream.mailbox import Mailbox

STALL_S = 10.0  # a started unit that makes no progress for so long ends the connection
READ_SIZE = 16384
INBOUND_BURST = 65536  # bytes; this version reads what clients send and throws it away, up to ...
INBOUND_RATE = 4096  # ... so many bytes a second on average
OPTIONS = (  # those that a system does not know are left out
    ("IPPROTO_TCP", "TCP_NODELAY", 1),
    ("IPPROTO_TCP", "TCP_NOTSENT_LOWAT", 16384),  # messages wait here, where newer ones can overtake, not in the kernel
    ("IPPROTO_TCP", "TCP_USER_TIMEOUT", 10_000),
    ("SOL_SOCKET", "SO_KEEPALIVE", 1),
    ("IPPROTO_TCP", "TCP_KEEPIDLE", 10),
    ("IPPROTO_TCP", "TCP_KEEPINTVL", 5),
    ("IPPROTO_TCP", "TCP_KEEPCNT", 3),
)


class Session:
    """A client's connection, from its welcome to its end.

    ``ended`` is empty while it lives, then says why it is over; ``at_fault`` is set when that was this client's
    doing. ``blocked`` is set while the kernel takes no more bytes. Nothing here waits.

    Synchronization: the stream thread alone.
    """

    def __init__(self, sock: socket.socket, peer: str, hub: Hub, mailbox: Mailbox, welcome: bytes, now: float) -> None:
        self.socket = sock
        self.peer = peer
        self.mailbox = mailbox
        self.ended = ""
        self.at_fault = False
        self.blocked = False
        self._hub = hub
        self._unit: list[memoryview] = [memoryview(welcome)]  # what is left of the unit being sent
        self._progress_at = now
        self._allowance = float(INBOUND_BURST)
        self._allowance_at = now
        self._finishing = False
        self._sent_all = False

    def pump(self, now: float) -> None:
        """Send what waits until there is nothing left or the kernel takes no more."""
        if self.mailbox.overflow:
            self._end(self.mailbox.overflow, at_fault=True)
        self.blocked = False
        while not self.ended and not self.blocked and self._load(now):
            self._send(now)
        if self._finishing and not self._unit and not self._sent_all:
            self._shut()

    def read(self, now: float) -> None:
        """Take what the client sent: an end of its stream is its goodbye, anything else is thrown away."""
        try:
            received = len(self.socket.recv(READ_SIZE))
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(f"connection lost: {error.strerror or error}")
            return
        if not received:
            self._end("closed by the client" if not self._finishing else "closed")
            return
        elapsed = now - self._allowance_at
        self._allowance_at = now
        self._allowance = min(self._allowance + elapsed * INBOUND_RATE, INBOUND_BURST) - received
        if self._allowance < 0:
            self._end(f"flood: it sent more than {INBOUND_RATE} bytes a second", at_fault=True)

    def check(self, now: float) -> None:
        """End the connection when a started unit has made no progress for STALL_S."""
        if self.blocked and now - self._progress_at > STALL_S:
            self._end(f"slow_consumer: it took nothing for {STALL_S:.0f} s", at_fault=True)

    def finish(self, now: float) -> None:
        """Begin a polite end: what waits is still sent, then the sending side is closed; ``read`` sees the answer."""
        self._finishing = True
        self.pump(now)

    def close(self) -> None:
        """Free the socket."""
        self.socket.close()

    def _load(self, now: float) -> bool:
        """Have a unit to send; False when there is none."""
        if not self._unit:
            unit: Unit | None = self._hub.take(self.mailbox)
            if unit is None:
                return False
            self._unit = [memoryview(part) for part in unit]
            self._progress_at = now
        return True

    def _send(self, now: float) -> None:
        try:
            sent = self.socket.sendmsg(self._unit)
        except (BlockingIOError, InterruptedError):
            self.blocked = True
            return
        except OSError as error:
            # The place in the stream is lost: nothing can be sent after this.
            self._end(f"connection lost: {error.strerror or error}")
            return
        self._progress_at = now
        while self._unit and sent >= len(self._unit[0]):
            sent -= len(self._unit.pop(0))
        if self._unit:
            self._unit[0] = self._unit[0][sent:]
            self.blocked = True

    def _shut(self) -> None:
        """Say that no more comes. Closing with input unread would reset the connection and lose what is on its way."""
        self._sent_all = True
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._end("closed")

    def _end(self, reason: str, *, at_fault: bool = False) -> None:
        if not self.ended:
            self.ended, self.at_fault = reason, at_fault


def prepare(sock: socket.socket) -> None:
    """Set what a client's connection needs: never waiting, small delays, and noticing a peer that is gone."""
    sock.setblocking(False)
    for level, option, value in OPTIONS:
        with contextlib.suppress(OSError, AttributeError):
            sock.setsockopt(getattr(socket, level), getattr(socket, option), value)
