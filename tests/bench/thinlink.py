"""How old alerts are behind a thin link, with pictures on a connection of their own and on the same one.

    sudo .venv/bin/python -m tests.bench.thinlink [--seconds 60]

Two network namespaces, 4 Mbit/s between them (tbf, burst 16 KB, latency 100 ms). The device publishes 30 results of
1 KB, 15 pictures of 60 KB (more than the link carries) and 5 alerts a second. Goal: alerts p99 at most 100 ms with
pictures on a connection of their own. Exit 1 where that fails, 2 where there can be no namespaces.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile

from edge.config import Listener
from tests import netns
from tests.bench.device import ROOT, Device, Plan, quantile
from tests.bench.taps import Tap, read_for

GOAL_S = 0.1
RATE, BURST, LATENCY = "4mbit", "16kb", "100ms"
SETTLE_S = 5.0


def hello(*topics: str) -> dict[str, object]:
    return {"type": "hello", "protocol": 1, "subscribe": list(topics)}


def listen(address: tuple[str, int], seconds: float, *, apart: bool) -> dict[str, list[float]]:
    """In the far namespace: what came, by type, each with its age."""
    ages: dict[str, list[float]] = {}

    def note(kind: str, age: float) -> None:
        ages.setdefault(kind, []).append(age)

    words = [("alerts", "detections"), ("frames",)] if apart else [("alerts", "detections", "frames")]
    taps = [Tap(address, note, hello=hello(*topics)) for topics in words]
    read_for(SETTLE_S, taps)
    ages.clear()
    read_for(seconds, taps)
    for tap in taps:
        tap.close()
    return ages


def measure(wire: netns.Wire, device: Device, seconds: float, *, apart: bool) -> dict[str, list[float]]:
    host, port = device.address
    words = [sys.executable, "-m", "tests.bench.thinlink", "--listen", f"{host}:{port}:{int(apart)}"]
    command = [*wire.at(wire.far), *words, "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--listen", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.listen:
        host, port, apart = args.listen.rsplit(":", 2)
        print(json.dumps(listen((host, int(port)), args.seconds, apart=apart == "1")))
        return 0
    if reason := netns.missing():
        print(f"left out: {reason}", file=sys.stderr)
        return 2
    return compare(args.seconds)


def compare(seconds: float) -> int:
    worst = {}
    with netns.wire() as wire, tempfile.TemporaryDirectory() as state:
        listener = Listener(host=netns.NEAR_ADDRESS, port=0, video=True, allow_insecure=True)
        plan = Plan(listeners=(listener,), results_hz=30, video_hz=15, alerts_hz=5, state=state)
        wire.shape(RATE, BURST, LATENCY)
        with Device(plan, wire.at(wire.near)) as device:
            for apart in (True, False):
                ages = measure(wire, device, seconds, apart=apart)
                worst[apart] = quantile(ages.get("alert", []), 0.99)
                print("pictures on a connection of their own" if apart else "all on one connection")
                for kind in ("alert", "detection_result", "video_frame"):
                    report(kind, ages.get(kind, []), seconds)
    print(f"alerts p99 {worst[True] * 1e3:.0f} ms (goal {GOAL_S * 1e3:.0f})")
    return 0 if 0 < worst[True] <= GOAL_S else 1


def report(kind: str, ages: list[float], seconds: float) -> None:
    p50, p99 = quantile(ages, 0.5) * 1e3, quantile(ages, 0.99) * 1e3
    print(f"  {kind:17} {len(ages) / seconds:5.1f}/s  p50 {p50:6.1f} ms  p99 {p99:6.1f} ms", flush=True)


if __name__ == "__main__":
    sys.exit(main())
