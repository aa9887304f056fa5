"""What eight clients cost, beside `websockets`' own broadcast() in the same run; needs the extra `bench`.

    .venv/bin/python -m tests.bench.broadcast [--rounds 5] [--seconds 6]

Steady: results of 1 KB 30 times a second and pictures of 60 KB 15 times a second to eight clients; the CPU time of the
server's process, plain and over TLS 1.3. Flat out: results of 1 KB as fast as every client takes them, none left out:
a server publishes when no client has more than 32 of them waiting in its process. Both servers run in a process of
their own, one after the other in each round; one other process reads for both, and only takes the bytes. Both make and
encode the same results; `websockets` has no compression and no pings.
"""

from __future__ import annotations

import argparse
import base64
import os
import selectors
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.config import Listener, Security
from edge.security.issue import Fleet, Terms
from tests.bench.device import IDENTITY, ROOT, Device, Plan
from tests.bench.taps import connect

CLIENTS = 8
SETTLE_S = 1.0
SERVERS = ("device", "websockets")
STEADY = {"results_hz": 30.0, "video_hz": 15.0}
FLAT_OUT = {"results_hz": -1.0, "video_hz": 0.0}


def drain(text: str) -> None:
    """The reading process: take what comes, until stdin ends."""
    kind, host, port, authority = text.split(",")
    context = None
    if authority:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(authority)
    socks = [_reader(kind, (host, int(port)), context) for _ in range(CLIENTS)]
    room = memoryview(bytearray(1 << 18))
    with selectors.DefaultSelector() as selector:
        for sock in socks:
            selector.register(sock, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        print("ready", flush=True)
        while True:
            for key, _ in selector.select():
                if key.fileobj is sys.stdin:
                    return
                _take(key.fileobj, room)


def _reader(kind: str, address: tuple[str, int], context: ssl.SSLContext | None) -> socket.socket:
    sock = connect(address)
    if context is not None:
        sock = context.wrap_socket(sock)
    if kind == "websockets":
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ("GET / HTTP/1.1", "Host: bench", "Upgrade: websocket", "Connection: Upgrade")
        sock.sendall("\r\n".join([*lines, f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]).encode())
    sock.setblocking(False)
    return sock


def _take(sock: Any, room: memoryview) -> None:
    try:
        while sock.recv_into(room):
            if not isinstance(sock, ssl.SSLSocket):
                return
    except (BlockingIOError, ssl.SSLWantReadError):
        return
    raise SystemExit("the server ended")


class Papers:
    """A device's certificate, for both servers."""

    def __init__(self, folder: Path) -> None:
        fleet = Fleet(folder, time.time)
        fleet.create()
        fleet.device(IDENTITY.device_id, Terms(days=2))
        self.authority = str(fleet.certificate)
        self.certificate = str(folder / f"device-{IDENTITY.device_id}.pem")
        self.key = str(folder / f"device-{IDENTITY.device_id}.key")


def start(server: str, rates: dict[str, float], papers: Papers | None) -> Device:
    if server == "device":
        listener = Listener(host="127.0.0.1", port=0, video=True, tls=papers is not None)
        security = Security(certificate=papers.certificate, private_key=papers.key) if papers else Security()
        return Device(
            Plan(listeners=(listener,), security=security, results_hz=rates["results_hz"], video_hz=rates["video_hz"])
        )
    words = [word for key, value in rates.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    words += ["--certificate", papers.certificate, "--key", papers.key] if papers else []
    return Device(Plan(), instead=("tests.bench.wsdevice", *words))


def measure(server: str, rates: dict[str, float], papers: Papers | None, seconds: float) -> dict[str, float]:
    with start(server, rates, papers) as running:
        host, port = running.address
        what = f"{server},{host},{port},{papers.authority if papers else ''}"
        command = [sys.executable, "-m", "tests.bench.broadcast", "--drain", what]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as reader:
            assert reader.stdout is not None
            reader.stdout.readline()
            time.sleep(SETTLE_S)
            running.ask()
            time.sleep(seconds)
            figures = running.ask()
            reader.communicate(b"")
    rate = figures["published"] / figures["seconds"]
    return {
        "cpu": 100 * figures["cpu"] / figures["seconds"],
        "rate": rate,
        "deliveries": rate * CLIENTS,
        "dropped": figures["results_dropped"],
    }


def compare(title: str, unit: str, key: str, runs: Sequence[dict[str, dict[str, float]]]) -> None:
    middle = {server: statistics.median(run[server][key] for run in runs) for server in SERVERS}
    ratio = statistics.median(run["device"][key] / run["websockets"][key] for run in runs)
    dropped = sum(run["device"]["dropped"] for run in runs)
    print(f"{title:27} device {middle['device']:8.1f}  websockets {middle['websockets']:8.1f} {unit}", end="")
    print(f"  median ratio {ratio:.2f}" + (f"  DROPPED {dropped:.0f}" if dropped else ""), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--drain", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.drain:
        drain(args.drain)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        made = Papers(Path(folder))
        for name, papers in (("plain", None), ("TLS", made)):
            for load, rates in (("steady", STEADY), ("flat out", FLAT_OUT)):
                order = [SERVERS if number % 2 == 0 else SERVERS[::-1] for number in range(args.rounds)]
                runs = [{one: measure(one, rates, papers, args.seconds) for one in servers} for servers in order]
                if load == "steady":
                    compare(f"{name}, steady, CPU", "% of a core", "cpu", runs)
                else:
                    compare(f"{name}, flat out, messages", "/s", "rate", runs)
                    compare(f"{name}, flat out, deliveries", "/s", "deliveries", runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
