"""A device without a camera for benches: hub, publisher, outbox and server as the program builds them, fed by a clock.

`Device` starts it in a process of its own and asks it for figures; that process runs `main` below. Every result,
picture and alert carries the moment of its publishing, by the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, cast

import msgspec
import numpy as np

from edge.config import Listener, Security, Settings, Stream
from edge.config import Outbox as OutboxSettings
from edge.geometry import Box
from edge.outbox.outbox import Outbox
from edge.stream.hub import Hub
from edge.stream.publisher import Publisher
from edge.stream.reception import Trust
from edge.stream.server import StreamServer
from edge.types import Alert, Detection, Frame, Latency, Result, VideoFrame
from edge.wire.messages import Identity, detection_result
from tests.values import make_alert

IDENTITY = Identity("edge-01", "main", "bench")
STAMP_DIGITS = 20
DEEP = 32  # results that may wait for a client while the device publishes as fast as clients take them
ROOT = Path(__file__).resolve().parents[2]


class Plan(Settings, frozen=True):
    """What a device serves and how fast; a rate of 0 is never, of -1 as fast as every client takes it, none dropped."""

    listeners: tuple[Listener, ...] = (Listener(host="127.0.0.1", port=0, video=True),)
    stream: Stream = Stream(max_clients=64, max_clients_per_address=64)
    security: Security = Security()
    state: str = ""  # folder of the outbox; empty: none
    results_hz: float = 0.0
    result_bytes: int = 1024
    video_hz: float = 0.0
    video_bytes: int = 60_000
    alerts_hz: float = 0.0


class Device:
    """A running one. ``address`` is that of its first listener."""

    def __init__(self, plan: Plan, before: Sequence[str] = (), instead: Sequence[str] = ()) -> None:
        """``before`` are words to put in front of the command, such as those that enter a namespace; ``instead`` is
        another module and its arguments, which answers in the same way."""
        words = instead or ("tests.bench.device", msgspec.json.encode(plan).decode())
        command = [*before, sys.executable, "-m", *words]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self.addresses = [(str(host), int(port)) for host, port in self._read()["addresses"]]

    @property
    def address(self) -> tuple[str, int]:
        return self.addresses[0]

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, what: str = "report") -> dict[str, Any]:
        """The figures since the last time: see _Figures."""
        stdin = cast("IO[str]", self._process.stdin)
        stdin.write(what + "\n")
        stdin.flush()
        return self._read()

    def close(self) -> None:
        self._process.communicate(timeout=10)

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> dict[str, Any]:
        line = cast("IO[str]", self._process.stdout).readline()
        if not line:
            raise RuntimeError("the device ended")
        return cast("dict[str, Any]", json.loads(line))


def quantile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of them do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def stamp() -> str:
    return f"{time.monotonic_ns():0{STAMP_DIGITS}d}"


def make_result(number: int, model: str, *alerts: Alert) -> Result:
    now = time.time()
    return Result(
        timestamp=now,
        camera_id="main",
        status="ok",
        model=model,
        frame=Frame(number, now, time.monotonic(), _PIXELS),
        frame_size=(1280, 720),
        detections=(Detection(0, "person", 0.92, Box(412.0, 133.5, 563.25, 590.0)),),
        crime_relevant=(True,),
        alerts=alerts,
        latency=Latency(2.5, 21.25, 23.75),
        dropped=3,
    )


def make_video(number: int, size: int) -> VideoFrame:
    """A picture of ``size`` bytes whose first ones are the stamp."""
    body = stamp().encode()
    return VideoFrame(number, time.time(), "main", 1280, 720, True, body + bytes(size - len(body)))


_PIXELS = np.empty((0, 0, 3), np.uint8)


@dataclasses.dataclass
class _Figures:
    """Since the last report: seconds of each publish(), what was published, CPU; now: memory, threads, descriptors."""

    publish: list[float] = dataclasses.field(default_factory=list)
    results: int = 0
    cpu: float = 0.0
    at: float = 0.0

    def report(self, hub: Hub) -> dict[str, Any]:
        usage, now = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
        cpu, taken = usage.ru_utime + usage.ru_stime, self.publish
        answer = {
            "publish_median": quantile(taken, 0.5),
            "publish_p99": quantile(taken, 0.99),
            "published": self.results,
            "cpu": cpu - self.cpu,
            "seconds": now - self.at,
            "rss_mb": _rss_mb(),
            "threads": threading.active_count(),
            "files": len(os.listdir("/proc/self/fd")),
        }
        self.publish, self.results, self.cpu, self.at = [], 0, cpu, now
        return answer | dataclasses.asdict(hub.counters())


def _rss_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class _Feeder:
    """The threads that publish: one for results and alerts, as the inference thread does, one for pictures."""

    def __init__(self, plan: Plan, hub: Hub, publisher: Publisher) -> None:
        self.figures = _Figures(at=time.monotonic())
        self.stopping = threading.Event()
        self._plan = plan
        self._hub = hub
        self._publisher = publisher
        self._number = 0
        self._alert_due = 0.0
        bare = len(detection_result(make_result(1, stamp()), IDENTITY.device_id))
        self._padding = "x" * (plan.result_bytes - bare)

    def start(self) -> None:
        jobs = [(self._plan.results_hz, self._result), (self._plan.video_hz, self._video)]
        for rate, job in jobs:
            if rate > 0:
                threading.Thread(target=self._pace, args=(rate, job), daemon=True).start()
            elif rate < 0:
                threading.Thread(target=self._flat_out, args=(job,), daemon=True).start()

    def _pace(self, rate: float, job: Callable[[], None]) -> None:
        due = time.monotonic()
        while not self.stopping.wait(max(0.0, due - time.monotonic())):
            due += 1 / rate
            job()

    def _flat_out(self, job: Callable[[], None]) -> None:
        while not self.stopping.is_set():
            boxes = list(self._hub._mailboxes)
            if boxes and max(len(box._results) for box in boxes) < DEEP:
                job()
            else:
                self.stopping.wait(0.0002)

    def _result(self) -> None:
        self._number += 1
        alerts: list[Alert] = []
        if self._plan.alerts_hz and time.monotonic() >= self._alert_due:
            self._alert_due = time.monotonic() + 1 / self._plan.alerts_hz
            alerts.append(make_alert(self._number, stamp(), time.time()))
        result = make_result(self._number, stamp() + self._padding, *alerts)
        began = time.perf_counter()
        self._publisher.publish_result(result)
        self.figures.publish.append(time.perf_counter() - began)
        self.figures.results += 1

    def _video(self) -> None:
        self._hub.publish_video(make_video(self._number, self._plan.video_bytes))


def main() -> None:
    """Serve until stdin ends; each line on it is answered with the figures since the line before."""
    from edge.app import SWITCH_INTERVAL_S  # here: it brings OpenCV, which who only imports this file does without

    logging.basicConfig(level=logging.ERROR)
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    hub = Hub(IDENTITY)
    outbox = None
    if plan.state:
        outbox = Outbox(
            Path(plan.state), OutboxSettings(), on_stored=lambda batch: publisher.on_stored(batch), machine_id=""
        )
    publisher = Publisher(hub, outbox)
    if outbox is not None:
        outbox.start()
    trust = Trust.open(plan.security, plan.listeners, ())
    server = StreamServer(plan.listeners, plan.stream, hub, publisher=publisher, outbox=outbox, trust=trust)
    server.start()
    print(json.dumps({"addresses": server.addresses}), flush=True)
    feeder = _Feeder(plan, hub, publisher)
    feeder.start()
    for line in sys.stdin:
        if line.strip() == "collect":
            gc.collect()
        print(json.dumps(feeder.figures.report(hub)), flush=True)
    feeder.stopping.set()
    server.close()
    if outbox is not None:
        outbox.close()


if __name__ == "__main__":
    main()
