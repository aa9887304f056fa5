"""Bytes from a client: cut into messages, with a limit that is checked before anything is kept."""

from __future__ import annotations

from collections.abc import Iterator

from edge.wire.faults import Fault
from edge.wire.framing import SIZE_BYTES, ByteOrder, Framing

LIMIT_BEFORE = 4096  # bytes of one message before hello: a login is 400
LIMIT_AFTER = 65536  # after it: a list of rules for set_config fits a hundred times


class InboundReader:
    """Cuts the bytes of one client, in pieces of any size, into messages of the listener's framing. It does no I/O.

    ``limit`` is the longest message allowed, in bytes; it may be raised between messages. After a Fault the place in
    the stream is lost: feed it no more.
    """

    def __init__(self, framing: Framing, byteorder: ByteOrder, limit: int = LIMIT_BEFORE) -> None:
        self.limit = limit
        self._framing = framing
        self._byteorder = byteorder
        self._buffer = bytearray()
        self._searched = 0  # bytes of the buffer known to hold no newline

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take ``data`` and yield each message that is complete now; raises Fault."""
        self._buffer += data
        return self._messages()

    def _messages(self) -> Iterator[bytes]:
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> bytes | None:
        return self._take_line() if self._framing == "newline" else self._take_sized()

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._searched)
        self._check(len(self._buffer) if end < 0 else end)
        if end < 0:
            self._searched = len(self._buffer)
            return None
        self._searched = 0
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _take_sized(self) -> bytes | None:
        if len(self._buffer) < SIZE_BYTES:
            return None
        size = int.from_bytes(self._buffer[:SIZE_BYTES], self._byteorder)
        if not size:
            raise Fault("bad_frame", "a message of 0 bytes")
        self._check(size)
        end = SIZE_BYTES + size
        if len(self._buffer) < end:
            return None
        message = bytes(self._buffer[SIZE_BYTES:end])
        del self._buffer[:end]
        return message

    def _check(self, size: int) -> None:
        if size > self.limit:
            raise Fault("too_large", f"a message of {size} bytes or more: at most {self.limit} are allowed")
