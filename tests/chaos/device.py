"""A device in a storm: no camera, and one alert after the other, numbered `storm-1` onwards.

    .venv/bin/python -m tests.chaos.device FOLDER PORT --alerts 10000 --rate 60

It may be killed at any moment and started again: it goes on after the last alert that its outbox holds. One that was
never committed is offered again. It ends when its stdin does.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from edge.config import Listener, Outbox, Stream
from edge.outbox.outbox import Outbox as AlertsOnDisk
from edge.stream.hub import Hub
from edge.stream.publisher import Publisher
from edge.stream.server import StreamServer
from edge.wire.framing import Framing
from tests.bench.device import IDENTITY, make_result
from tests.values import make_alert

PREFIX = "storm-"
MOST_WAITING = 100  # for the disk; then the storm rests: the outbox would give up the oldest of more than 1024


class StormDevice:
    """Hub, outbox, publisher and server as the program builds them."""

    def __init__(self, folder: Path, port: int, framing: Framing, max_alerts: int) -> None:
        hub = Hub(IDENTITY)
        self.outbox = AlertsOnDisk(
            folder,
            Outbox(max_alerts=max_alerts),
            on_stored=lambda batch: self.publisher.on_stored(batch),
            machine_id="storm",
        )
        self.publisher = Publisher(hub, self.outbox)
        listener = Listener(host="127.0.0.1", port=port, framing=framing)
        self.server = StreamServer([listener], Stream(), hub, publisher=self.publisher, outbox=self.outbox)

    def start(self) -> int:
        """Serve; returns the number of the last alert that is on disk."""
        if not self.outbox.start():
            raise SystemExit("the outbox does not open")
        self.server.start()
        bounds = self.outbox.bounds
        newest = self.outbox.read(bounds.next_seq - 2, 1) if bounds and bounds.next_seq > 1 else ()
        return int(newest[0].alert.event_uid.removeprefix(PREFIX)) if newest else 0

    def storm(self, numbers: range, rate: float, stopping: threading.Event) -> None:
        """Offer each of these alerts once."""
        for number in numbers:
            while stopping.wait(1 / rate) or self.outbox.counters().waiting > MOST_WAITING:
                if stopping.is_set():
                    return
            alert = make_alert(number, f"{PREFIX}{number}", time.time())
            self.publisher.publish_result(make_result(number, "storm", alert))

    def close(self) -> None:
        self.server.close()
        self.outbox.close()


@contextlib.contextmanager
def serving(folder: Path, port: int, framing: Framing, max_alerts: int) -> Iterator[StormDevice]:
    device = StormDevice(folder, port, framing, max_alerts)
    try:
        yield device
    finally:
        device.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--alerts", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=60.0)
    parser.add_argument("--framing", choices=("length", "newline"), default="length")
    args = parser.parse_args()
    stopping = threading.Event()
    with serving(args.folder, args.port, cast("Framing", args.framing), args.alerts + 1000) as device:
        numbers = range(device.start() + 1, args.alerts + 1)
        thread = threading.Thread(target=device.storm, args=(numbers, args.rate, stopping))
        thread.start()
        sys.stdin.read()
        stopping.set()
        thread.join()


if __name__ == "__main__":
    main()
