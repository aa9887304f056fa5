"""How soon a device notices a peer that vanished, and how soon 32 clients that come at once all stream.

    sudo .venv/bin/python -m tests.bench.deadpeer [--rounds 3]

In a network namespace the peer's packets stop, without a FIN, a reset or an ICMP message: once while the device sends
30 results of 1 KB a second (goal 12 s), once in a session that is subscribed to nothing but health (goal 27 s). Then 32
clients connect at the same moment (goal: each has a result within 2 s; they come 30 a second). Exit 1 where a goal is
missed, 2 where there can be no namespaces.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from functools import partial

from edge.config import Listener
from tests import netns
from tests.bench.device import ROOT, Device, Plan
from tests.bench.taps import Tap, read_for
from tests.bench.thinlink import hello
from tests.support import wait_until

SENDING_S, IDLE_S, ALL_S = 12.0, 27.0, 2.0
CROWD = 32


def hold(address: tuple[str, int], topics: list[str]) -> None:
    """In the far namespace: one session, for as long as it is let."""
    tap = Tap(address, lambda kind, _: print(kind, flush=True), hello=hello(*topics))
    while not tap.ended:
        read_for(1.0, [tap])


def noticed_after(*topics: str) -> float:
    """Seconds from the vanishing of the only client to its end on the device."""
    listener = Listener(host=netns.NEAR_ADDRESS, port=0, allow_insecure=True)
    with netns.wire() as wire, Device(Plan(listeners=(listener,), results_hz=30), wire.at(wire.near)) as device:
        host, port = device.address
        words = [sys.executable, "-m", "tests.bench.deadpeer", "--hold", f"{host}:{port}:{','.join(topics)}"]
        command = [*wire.at(wire.far), *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as far:
            assert far.stdout is not None
            while far.stdout.readline().strip() != "hello_ok":
                pass
            wire.vanish()
            began = time.monotonic()
            wait_until(lambda: not device.ask()["clients"], 2 * IDLE_S)
            took = time.monotonic() - began
            far.kill()
            return took


def all_stream_after(device: Device) -> float:
    """Seconds until the last of the crowd has its first result."""
    waiting: set[int] = set(range(CROWD))
    began = time.monotonic()
    last = 0.0

    def on_message(number: int, kind: str, _: float) -> None:
        nonlocal last
        if kind == "detection_result" and number in waiting:
            waiting.discard(number)
            last = time.monotonic() - began

    topics = hello("alerts", "detections")
    taps = [Tap(device.address, partial(on_message, number), hello=topics) for number in range(CROWD)]
    while waiting and time.monotonic() - began < 10:
        read_for(0.05, taps)
    for tap in taps:
        tap.close()
    return last if not waiting else float("inf")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hold", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.hold:
        host, port, topics = args.hold.rsplit(":", 2)
        hold((host, int(port)), topics.split(","))
        return 0
    with Device(Plan(results_hz=30)) as device:
        crowd = [all_stream_after(device) for _ in range(args.rounds)]
    print(f"{CROWD} clients at once: all stream after {statistics.median(crowd):.3f} s, at worst {max(crowd):.3f} s")
    if reason := netns.missing():
        print(f"the rest is left out: {reason}", file=sys.stderr)
        return 2
    sending = [noticed_after("alerts", "detections") for _ in range(args.rounds)]
    print(f"noticed while sending after {statistics.median(sending):.1f} s, at worst {max(sending):.1f} s")
    idle = [noticed_after("health") for _ in range(args.rounds)]
    print(f"noticed in a quiet session after {statistics.median(idle):.1f} s, at worst {max(idle):.1f} s")
    return 0 if max(crowd) <= ALL_S and max(sending) <= SENDING_S and max(idle) <= IDLE_S else 1


if __name__ == "__main__":
    sys.exit(main())
