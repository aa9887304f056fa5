"""Waking a thread that waits in select."""

from __future__ import annotations

import contextlib
import socket


class Waker:
    """A pair of sockets: ``wake`` makes the other end readable, once however often it is called.

    Synchronization: any thread may wake; the waiting thread alone calls ``clear``.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._awake = False

    def fileno(self) -> int:
        return self._reader.fileno()

    def wake(self) -> None:
        """Make ``fileno`` readable; after ``close`` nothing happens."""
        if self._awake:
            return
        self._awake = True
        with contextlib.suppress(OSError):
            self._writer.send(b"\0")

    def clear(self) -> None:
        """Take the wake-up; whatever was done before a ``wake`` that found it untaken is visible after this."""
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(64)
        # Last: a wake before this line adds no byte, and its cause is looked at after it.
        self._awake = False

    def close(self) -> None:
        self._reader.close()
        self._writer.close()
