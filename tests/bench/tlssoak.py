"""The server's TLS both ways at full rate: every record must be sound, and every byte the one that was sent.

    .venv/bin/python -m tests.bench.tlssoak [--bytes 100M] [--seed 1]     (10G for the long run)

Two edge.stream.transport.Encrypted, joined by TCP on 127.0.0.1, in one select loop. Each sends units of random sizes, 1
byte to 200 KB, as long as the kernel takes them, and reads whatever comes. Exit 1 on a record error or wrong bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import selectors
import socket
import ssl
import sys
import tempfile
import time
from pathlib import Path

from edge.config import Security
from edge.errors import StreamError
from edge.security.issue import Fleet, Terms
from edge.security.tls import TlsContexts
from edge.stream.transport import Encrypted, prepare

LARGEST = 200_000
QUIET_S = 10.0
UNITS = {"K": 10**3, "M": 10**6, "G": 10**9}


class End:
    """One side: what it still has to send, and the hashes of what it sent and what came."""

    def __init__(self, transport: Encrypted, total: int, seed: int) -> None:
        self.transport = transport
        self.sent, self.came = hashlib.blake2b(), hashlib.blake2b()
        self.received = 0
        self._left = total
        self._random = random.Random(seed)
        self._noise = memoryview(self._random.randbytes(4 * LARGEST))
        self._unit: list[memoryview] = []

    @property
    def done(self) -> bool:
        return not self._left and not self._unit and not self.transport.blocked

    def write(self) -> None:
        """Send until the kernel takes no more; an empty list of views moves what TLS has left over."""
        while not self.done:
            if not self._unit and self._left:
                self._unit = self._next()
            taken = self.transport.send(self._unit)
            while self._unit and taken >= len(self._unit[0]):
                taken -= len(self._unit.pop(0))
            if self._unit and taken:
                self._unit[0] = self._unit[0][taken:]
            if self.transport.blocked:
                return

    def read(self) -> None:
        data = self.transport.receive()
        if data == b"":
            raise StreamError("the other side ended early")
        if data:
            self.came.update(data)
            self.received += len(data)

    def _next(self) -> list[memoryview]:
        """As a picture is: a header and a body, two buffers."""
        size = min(self._left, self._random.randint(1, LARGEST))
        self._left -= size
        start = self._random.randrange(len(self._noise) - size)
        unit = self._noise[start : start + size]
        self.sent.update(unit)
        return [part for part in (unit[: size // 50], unit[size // 50 :]) if part]


def soak(total: int, seed: int, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> tuple[int, bool, float]:
    """Record errors, whether both got what was sent, and seconds."""
    ends = [End(transport, total, seed + number) for number, transport in enumerate(_joined(*contexts))]
    began = time.monotonic()
    errors = 0
    with selectors.DefaultSelector() as selector:
        for end in ends:
            selector.register(end.transport.socket, selectors.EVENT_READ, end)
        try:
            _carry(ends, selector, total)
        except StreamError as error:
            print(f"record error: {error}")
            errors += 1
    took = time.monotonic() - began
    same = ends[0].sent.digest() == ends[1].came.digest() and ends[1].sent.digest() == ends[0].came.digest()
    for end in ends:
        end.transport.socket.close()
    return errors, same, took


def _carry(ends: list[End], selector: selectors.BaseSelector, total: int) -> None:
    for end in ends:
        while not end.transport.handshake():
            other = ends[1 - ends.index(end)]
            other.transport.handshake()
    moved_at, before = time.monotonic(), -1
    while any(end.received < total or not end.done for end in ends):
        for end in ends:
            if not end.transport.blocked:
                end.write()
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if end.transport.blocked else 0)
            selector.modify(end.transport.socket, events, end)
        for key, events in selector.select(1.0):
            if events & selectors.EVENT_READ:
                key.data.read()
            if events & selectors.EVENT_WRITE:
                key.data.write()
        passed = sum(end.received for end in ends)
        if passed != before:
            if passed * 100 // total != before * 100 // total:
                _tell(passed, 2 * total)
            before, moved_at = passed, time.monotonic()
        elif time.monotonic() - moved_at > QUIET_S:
            raise StreamError(f"nothing moves any more after {passed} bytes")


def _tell(passed: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if passed == total else ""
        print(f"\r\x1b[K{passed / 1e6:.0f} of {total / 1e6:.0f} MB", end=end, file=sys.stderr, flush=True)


def _joined(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[Encrypted, Encrypted]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    for sock in (near, far):
        prepare(sock)
    return Encrypted(far, server, server_side=True), Encrypted(near, client, server_side=False)


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of a device's listener, and of a backend, each with a certificate."""
    fleet = Fleet(folder, time.time)
    fleet.create()
    fleet.device("edge-01", Terms(days=2))
    fleet.backend("viewer", "viewer", Terms(days=2))
    made = [
        TlsContexts(Security(certificate=f"{pem}.pem", private_key=f"{pem}.key", ca=str(fleet.certificate)))
        for pem in (folder / "device-edge-01", folder / "backend-viewer")
    ]
    return made[0].server("mtls"), made[1].client()


def size(text: str) -> int:
    return int(float(text.rstrip("KMG")) * UNITS.get(text[-1], 1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=size, default=size("100M"), help="in all, half of them each way")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        errors, same, took = soak(args.bytes // 2, args.seed, contexts(Path(folder)))
    print(f"{args.bytes / 1e6:.0f} MB in {took:.1f} s, {args.bytes / took / 1e6:.0f} MB/s, half each way")
    print(f"record errors {errors}; every byte as sent: {'yes' if same else 'NO'}")
    return 0 if not errors and same else 1


if __name__ == "__main__":
    sys.exit(main())
