"""A wire that breaks: a TCP proxy that chops, delays, and cuts connections in the middle of whatever they carry."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
from typing import Literal, TypeAlias

LONGEST_WRITE = 20_000
NO_LINGER = struct.pack("ii", 1, 0)  # close() then sends a reset, and what was not sent yet is lost
ALERT_BYTES = 560  # of one alert on the wire, about: what a run has to carry is planned with it
EARLY = 0.15  # share of the cuts that fall into the first bytes: welcome, hello, hello_ok
EARLY_BYTES = 2500
LEAST_MEAN = 4000.0  # bytes between cuts: enough for a hello and some alerts, else the client only ever backs off
LONGEST_DELAY_S = 0.05
DELAYED = 0.05  # share of the writes

Way: TypeAlias = Literal["close", "reset client", "reset device", "reset both"]
WAYS: tuple[Way, ...] = ("close", "reset client", "reset device", "reset both")


class CuttingProxy:
    """Listens on 127.0.0.1 and carries every connection to ``target``, cutting ``cuts`` of them.

    ``plan`` says how much is still to be carried, so that the cuts are spread over all of it.

    Synchronization: any thread may call any method.
    """

    def __init__(self, target: tuple[str, int], cuts: int, seed: int) -> None:
        self._target = target
        self._random = random.Random(seed)
        self._stopping = threading.Event()
        # Guards everything below, and the random numbers.
        self._lock = threading.Lock()
        self._left = cuts
        self._mean = 8000.0
        self._carriers: set[_Carrier] = set()
        self.done = dict.fromkeys(WAYS, 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.2)
        self.address = ("127.0.0.1", int(self._listener.getsockname()[1]))
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def left(self) -> int:
        with self._lock:
            return self._left

    def plan(self, alerts: int) -> None:
        """So many alerts are still to come."""
        with self._lock:
            self._mean = max(LEAST_MEAN, 0.8 * alerts * ALERT_BYTES / max(1, self._left))

    def cut_now(self) -> None:
        """Cut what stands, wherever it is."""
        with self._lock:
            carriers = list(self._carriers)
        for carrier in carriers:
            carrier.cut()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(5)
        self._listener.close()
        with self._lock:
            carriers = list(self._carriers)
        for carrier in carriers:
            carrier.end("close")

    def draw(self) -> tuple[int, Way]:
        """After how many bytes, and how, a new connection will be cut."""
        with self._lock:
            early = self._random.random() < EARLY
            size = self._random.uniform(1, EARLY_BYTES) if early else self._random.expovariate(1 / self._mean)
            return int(size) + 1, self._random.choice(WAYS)

    def piece(self) -> tuple[int, float]:
        """Size of the next write, and the wait before it."""
        with self._lock:
            delay = self._random.uniform(0, LONGEST_DELAY_S) if self._random.random() < DELAYED else 0.0
            return int(LONGEST_WRITE ** self._random.random()), delay

    def spend(self, way: Way) -> bool:
        """Whether there is a cut left to be made; it is counted."""
        with self._lock:
            if self._left <= 0:
                return False
            self._left -= 1
            self.done[way] += 1
            return True

    def forget(self, carrier: _Carrier) -> None:
        with self._lock:
            self._carriers.discard(carrier)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            try:
                device = socket.create_connection(self._target, timeout=5)
            except OSError:
                client.close()  # the device was just killed
                continue
            carrier = _Carrier(self, client, device)
            with self._lock:
                self._carriers.add(carrier)
            carrier.start()


class _Carrier:
    """One connection: a thread for each direction."""

    def __init__(self, proxy: CuttingProxy, client: socket.socket, device: socket.socket) -> None:
        self._proxy = proxy
        self._client, self._device = client, device
        for sock in (client, device):
            sock.settimeout(None)
        self._limit, self._way = proxy.draw()
        self._passed = 0
        self._lock = threading.Lock()  # guards _passed and _over
        self._over = False

    def start(self) -> None:
        for source, sink in ((self._device, self._client), (self._client, self._device)):
            threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def cut(self) -> None:
        with self._lock:
            standing = not self._over
        if standing and self._proxy.spend(self._way):
            self.end(self._way)

    def end(self, way: Way) -> None:
        with self._lock:
            if self._over:
                return
            self._over = True
        for sock, name in ((self._client, "client"), (self._device, "device")):
            with contextlib.suppress(OSError):
                if way in (f"reset {name}", "reset both"):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
                    sock.shutdown(socket.SHUT_RD)  # says nothing to the peer, and wakes the thread that reads
                else:
                    sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._proxy.forget(self)

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                view = memoryview(data)
                while view:
                    size, delay = self._proxy.piece()
                    if delay:
                        self._proxy._stopping.wait(delay)
                    allowed = self._allowed(len(view[:size]))
                    sink.sendall(view[:allowed])
                    if allowed < len(view[:size]) and self._proxy.spend(self._way):
                        self.end(self._way)
                        return
                    sink.sendall(view[allowed:size])
                    view = view[size:]
        except OSError:
            pass  # the other thread has cut it, or an end is gone
        self.end("close")

    def _allowed(self, size: int) -> int:
        with self._lock:
            allowed = max(0, min(size, self._limit - self._passed))
            self._passed += size
            return allowed
