"""How much of a connection lies in the network: on a thin link little, or all that shares the link waits behind it."""

from __future__ import annotations

import contextlib
import socket
import struct

QUEUE_S = 0.02  # of bytes that may stand in the network's queues for the sake of one connection's pictures
LEAST = 8192  # bytes
MOST = 1 << 20  # beyond this a connection is as good as free
GROWTH = 1.25  # at each picture that finds no queue
PIECE = 4096  # bytes that a bounded connection hands over at once: the kernel takes a piece whole or not at all
_INFO_BYTES = 168
_INFO = struct.Struct("=68xI76xI8xQ")  # Linux's struct tcp_info: tcpi_rtt, tcpi_min_rtt (us), tcpi_delivery_rate (B/s)


class Room:
    """The kernel's send buffer of one connection, fitted to the link.

    TCP fills whatever queue stands before a thin link, and an alert on another connection then waits in that queue (on
    4 Mbit/s: 110 ms). Where a round trip takes QUEUE_S longer than the shortest did, the connection may have as much
    under way as the link carries in that time, and no more; where it does not, a bounded one is given more again. One
    that never meets a queue is left to the kernel. ``size`` is 0 for that, else bytes.

    Synchronization: one thread alone.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.size = 0
        self._socket = sock

    def fit(self) -> None:
        """Look at the link; where the system does not tell about it nothing happens."""
        with contextlib.suppress(OSError, AttributeError, struct.error):
            told = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
            rtt, shortest, rate = _INFO.unpack(told)
            size = fitted(self.size, rtt / 1e6, shortest / 1e6, rate)
            if size != self.size:
                self.size = size
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)


def fitted(size: int, rtt: float, shortest: float, rate: float) -> int:
    """The next size: ``rtt`` and its ``shortest`` in seconds, ``rate`` in bytes a second; 0 is unbounded."""
    if rtt - shortest > QUEUE_S:
        # Half: the kernel takes twice what it is told, for its own bookkeeping, of which large pieces need little.
        return min(MOST, max(LEAST, int(rate * (shortest + QUEUE_S) / 2)))
    return min(MOST, int(size * GROWTH))
