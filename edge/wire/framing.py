"""Bytes on the wire: how a message and a picture are framed, and a reader that finds the framing by itself.

The specification is docs/protocol.md, section 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import msgspec

from edge.errors import ProtocolError

Framing: TypeAlias = Literal["length", "newline"]
ByteOrder: TypeAlias = Literal["big", "little"]

SIZE_BYTES = 4  # of the number before a length-framed message and before a picture
MAX_JSON = 1 << 20  # 1000 detections with long names are a fifth of this; more is no message of ours
MAX_JPEG = 8 << 20  # an 8K picture at quality 80 fits
PROBE_BYTES = 5  # of the welcome, which tell its framing


class Message(dict[str, Any]):
    """One decoded message; ``jpeg`` holds the picture of a video_frame, else None."""

    jpeg: bytes | None = None

    @property
    def type(self) -> str:
        return str(self["type"])


def encode(message: bytes, framing: Framing, byteorder: ByteOrder) -> bytes:
    """Frame one JSON message; ProtocolError when it is longer than MAX_JSON."""
    _check_size("a message", len(message), MAX_JSON)
    if framing == "newline":
        return message + b"\n"
    return len(message).to_bytes(SIZE_BYTES, byteorder) + message


def blob_prefix(size: int, byteorder: ByteOrder) -> bytes:
    """The bytes between a video_frame message and its ``size`` bytes of JPEG; ProtocolError above MAX_JPEG."""
    _check_size("a picture", size, MAX_JPEG)
    return size.to_bytes(SIZE_BYTES, byteorder)


def detect(probe: bytes) -> tuple[Framing, ByteOrder | None]:
    """Tell the framing from the first PROBE_BYTES of a welcome; the order is None where they do not show it.

    The fifth byte is the opening brace when four bytes of length precede it, and a letter of the first key when the
    message starts at once. Of the two readings of a length the smaller is meant: a welcome is under 64 KiB, and such
    a number read the wrong way round is never smaller.
    """
    if probe[SIZE_BYTES : SIZE_BYTES + 1] != b"{":
        return "newline", None
    size = probe[:SIZE_BYTES]
    return "length", "big" if int.from_bytes(size, "big") <= int.from_bytes(size, "little") else "little"


class MessageReader:
    """Turns the bytes of one connection, in pieces of any size, into messages. It does no I/O.

    ``framing`` and ``byteorder`` are None until the stream has shown them. After a ProtocolError the place in the
    stream is lost, and the reader repeats the error.
    """

    def __init__(self) -> None:
        self.framing: Framing | None = None
        self.byteorder: ByteOrder | None = None
        self._buffer = bytearray()
        self._searched = 0  # bytes of the buffer known to hold no newline
        self._header: Message | None = None  # a video_frame whose picture has not come in full
        self._error: str | None = None

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take ``data`` and yield every message that is complete now; ProtocolError on bytes that are none."""
        self._buffer += data
        return self._messages()

    @property
    def between_messages(self) -> bool:
        """True when an end of the stream now would cut nothing off."""
        return not self._buffer and self._header is None

    def _messages(self) -> Iterator[Message]:
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> Message | None:
        if self._error is not None:
            raise ProtocolError(self._error)
        try:
            return self._read_one()
        except ProtocolError as error:
            self._error = str(error)
            self._buffer.clear()
            raise

    def _read_one(self) -> Message | None:
        if self.framing is None and not self._probe():
            return None
        if self._header is None:
            text = self._take_line() if self.framing == "newline" else self._take_sized()
            if text is None:
                return None
            message = _decode(text)
            if message.type != "video_frame":
                return message
            _check_size("a picture", message.get("size"), MAX_JPEG)
            self._header = message
        return self._take_picture(self._header)

    def _probe(self) -> bool:
        if len(self._buffer) < PROBE_BYTES:
            return False
        self.framing, self.byteorder = detect(bytes(self._buffer[:PROBE_BYTES]))
        return True

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._searched)
        _check_size("a message", len(self._buffer) if end < 0 else end, MAX_JSON)
        if end < 0:
            self._searched = len(self._buffer)
            return None
        self._searched = 0
        line = self._take(end + 1)
        return line[:-1]

    def _take_sized(self) -> bytes | None:
        if len(self._buffer) < SIZE_BYTES:
            return None
        size = int.from_bytes(self._buffer[:SIZE_BYTES], self.byteorder or "big")
        _check_size("a message", size, MAX_JSON)
        if len(self._buffer) < SIZE_BYTES + size:
            return None
        return self._take(SIZE_BYTES + size)[SIZE_BYTES:]

    def _take_picture(self, header: Message) -> Message | None:
        size: int = header["size"]
        if len(self._buffer) < SIZE_BYTES + size:
            if len(self._buffer) >= SIZE_BYTES:
                self._check_prefix(size)
            return None
        self._check_prefix(size)
        header.jpeg = self._take(SIZE_BYTES + size)[SIZE_BYTES:]
        self._header = None
        return header

    def _check_prefix(self, size: int) -> None:
        """The prefix repeats ``size``; on a newline listener that is also what shows its byte order."""
        prefix = self._buffer[:SIZE_BYTES]
        orders: tuple[ByteOrder, ...] = ("big", "little") if self.byteorder is None else (self.byteorder,)
        for order in orders:
            if int.from_bytes(prefix, order) == size:
                return
        raise ProtocolError(f"a picture of {size} bytes was announced, and its size is given as {prefix.hex()}")

    def _take(self, count: int) -> bytes:
        taken = bytes(memoryview(self._buffer)[:count])
        del self._buffer[:count]
        return taken


def _decode(text: bytes) -> Message:
    try:
        fields = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a message is not JSON: {error}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
        raise ProtocolError("a message is not a JSON object with a text in `type`")
    return Message(fields)


def _check_size(what: str, size: object, limit: int) -> None:
    """Refuse before anything is allocated."""
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ProtocolError(f"{what} has no size in bytes")
    if size > limit:
        raise ProtocolError(f"{what} of {size} bytes: at most {limit} are allowed")
