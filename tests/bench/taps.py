"""Light readers for benches: many connections in one thread, messages told apart without parsing them."""

from __future__ import annotations

import json
import re
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Sequence

from tests.bench.device import STAMP_DIGITS

STAMP = re.compile(rb'"(?:model|event_uid)":"(\d{%d})' % STAMP_DIGITS)
TYPE = re.compile(rb'"type":"([a-z_]+)"')
SIZE = re.compile(rb'"size":(\d+)')


def frame(message: dict[str, object]) -> bytes:
    """A message with big-endian ``length`` framing."""
    body = json.dumps(message).encode()
    return len(body).to_bytes(4, "big") + body


class Tap:
    """One connection, ``length`` framing. ``on_message`` is told type and age in seconds (0 where it has no stamp).

    ``hello``, where given, is sent when the welcome has come.
    """

    def __init__(
        self,
        address: tuple[str, int],
        on_message: Callable[[str, float], None] = lambda *_: None,
        *,
        hello: dict[str, object] | None = None,
        receive_buffer: int | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.on_message = on_message
        self.ended = False
        self._hello = hello
        self._buffer = bytearray()
        self._picture = 0
        self.socket = connect(address, receive_buffer)
        if context is not None:
            self.socket = context.wrap_socket(self.socket)
        self.socket.setblocking(False)

    def fileno(self) -> int:
        return self.socket.fileno()

    def read(self) -> None:
        """Take what is there."""
        try:
            while True:
                data = self.socket.recv(1 << 18)
                if not data:
                    self.ended = True
                    return
                self._buffer += data
                if not isinstance(self.socket, ssl.SSLSocket):
                    break
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError:
            self.ended = True
            return
        while (unit := self._unit()) is not None:
            self._take(unit)

    def close(self) -> None:
        self.socket.close()

    def _unit(self) -> bytes | None:
        if len(self._buffer) < 4:
            return None
        end = 4 + int.from_bytes(self._buffer[:4], "big")
        if len(self._buffer) < end:
            return None
        unit = bytes(memoryview(self._buffer)[4:end])
        del self._buffer[:end]
        return unit

    def _take(self, unit: bytes) -> None:
        now = time.monotonic_ns()
        if self._picture:
            self._picture = 0
            self.on_message("video_frame", (now - int(unit[:STAMP_DIGITS])) / 1e9)
            return
        found = TYPE.search(unit)
        kind = found.group(1).decode() if found else ""
        if kind == "video_frame":
            size = SIZE.search(unit)
            self._picture = int(size.group(1)) if size else 0
            return
        mark = STAMP.search(unit)
        if kind == "welcome" and self._hello is not None:
            self.socket.send(frame(self._hello))
        elif kind == "ping":
            self.socket.send(frame({"type": "pong", "t": 0}))
        self.on_message(kind, (now - int(mark.group(1))) / 1e9 if mark else 0.0)


def connect(address: tuple[str, int], receive_buffer: int | None = None, source: str | None = None) -> socket.socket:
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if source is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((source, 0))
    sock.settimeout(10)
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def read_for(seconds: float, taps: Sequence[Tap], each_turn: Callable[[], None] = lambda: None) -> None:
    """Read all of them for so long, or until none is left."""
    end = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for each in taps:
            if not each.ended:
                selector.register(each, selectors.EVENT_READ, each)
        while selector.get_map() and (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(min(left, 0.2)):
                tap: Tap = key.data
                tap.read()
                if tap.ended:
                    selector.unregister(tap)
            each_turn()
