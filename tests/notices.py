"""systemd's end of the socket that a service tells it things by."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from tests.support import wait_until


class Listener:
    """Keeps each message in ``heard``; ``name`` is what NOTIFY_SOCKET is to be."""

    def __init__(self, address: str) -> None:
        self.name = address.replace("\0", "@", 1)
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)

    def listen(self) -> list[str]:
        """All that was heard so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard.append(self._socket.recv(4096).decode())
        return self.heard

    def count(self, message: str) -> int:
        return self.listen().count(message)

    def wait_for(self, message: str, timeout: float = 30.0) -> None:
        wait_until(lambda: message in self.listen(), timeout)

    @property
    def status(self) -> str:
        """The line that `systemctl status` would show."""
        lines = [line for message in self.listen() for line in message.splitlines()]
        return next((line[7:] for line in reversed(lines) if line.startswith("STATUS=")), "")

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def listening(folder: Path, *, abstract: bool = False) -> Iterator[Listener]:
    """A socket in ``folder``, or of an abstract name that no other test has."""
    path = str(folder / "notify")
    listener = Listener(f"\0{path}" if abstract else path)
    try:
        yield listener
    finally:
        listener.close()
