"""What a stalled client and one that reads a byte a second cost the seven others; exit 1 when that is too much.

    .venv/bin/python -m tests.bench.fairness [--rounds 5] [--seconds 8]

The device publishes 30 results of 1 KB and 15 pictures of 60 KB a second. Each round reads seven clients alone and
with the two beside them, in an order that alternates. The latency is from publish() to the message in the reader's
hands. Goals: the others' p99 at most 1.5 times that without the two, publish() p99 under 1 ms (medians of the rounds),
and nothing dropped for the seven.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from typing import Any

from tests.bench.device import Device, Plan, quantile
from tests.bench.taps import Tap, read_for

RATIO, PUBLISH_S = 1.5, 0.001
OTHERS = 7
SMALL_BUFFER = 4096  # so that the kernel does not read for them


class Nuisance:
    """One client that never reads and one that reads a byte a second; they come again when they are thrown out."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._stalled, self._slow = self._connect(), self._connect()
        self._read_at = self._renew_at = time.monotonic()
        self.thrown_out = 0

    def turn(self) -> None:
        now = time.monotonic()
        if now - self._read_at < 1.0:
            return
        self._read_at = now
        if self._lost(self._slow, take=True):
            self._slow = self._connect()
        if now - self._renew_at > 12.0:  # it never reads, so it never learns that it was thrown out
            self._renew_at = now
            self._stalled.close()
            self._stalled = self._connect()

    def close(self) -> None:
        self._stalled.close()
        self._slow.close()

    def _connect(self) -> Tap:
        return Tap(self._address, receive_buffer=SMALL_BUFFER)

    def _lost(self, tap: Tap, *, take: bool) -> bool:
        try:
            gone = take and not tap.socket.recv(1)
        except BlockingIOError:
            return False
        except OSError:
            gone = True
        if gone:
            self.thrown_out += 1
            tap.close()
        return gone


def measure(device: Device, seconds: float, *, disturbed: bool) -> dict[str, Any]:
    ages: list[float] = []
    frames = results = 0

    def note(kind: str, age: float) -> None:
        nonlocal frames, results
        frames += kind == "video_frame"
        if kind == "detection_result":
            results += 1
            ages.append(age)

    taps = [Tap(device.address, note) for _ in range(OTHERS)]
    nuisance = Nuisance(device.address) if disturbed else None
    turn = nuisance.turn if nuisance else lambda: None
    try:
        read_for(3.0, taps, turn)  # the kernel's own buffers fill up
        ages.clear()
        results = frames = 0
        before = device.ask()
        read_for(seconds, taps, turn)
        after = device.ask()
    finally:
        for tap in taps:
            tap.close()
        if nuisance:
            nuisance.close()
    expected = after["published"] * OTHERS
    return {
        "p50": quantile(ages, 0.5),
        "p99": quantile(ages, 0.99),
        "publish_median": after["publish_median"],
        "publish_p99": after["publish_p99"],
        "missing": max(0, expected - results - OTHERS * 2),  # those under way when the reading ends
        "frames": frames,
        "dropped": after["results_dropped"] - before["results_dropped"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    args = parser.parse_args()
    alone: list[dict[str, Any]] = []
    beside: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as state:
        plan = Plan(results_hz=30, video_hz=15, alerts_hz=1, state=state)
        with Device(plan) as device:
            for number in range(args.rounds):
                for disturbed in (False, True) if number % 2 == 0 else (True, False):
                    (beside if disturbed else alone).append(measure(device, args.seconds, disturbed=disturbed))
                print(f"round {number + 1}: {_line(alone[-1])} alone; {_line(beside[-1])} beside the two", flush=True)
    return report(alone, beside)


def _line(row: dict[str, Any]) -> str:
    return f"p50 {row['p50'] * 1e3:.2f} p99 {row['p99'] * 1e3:.2f} ms, publish p99 {row['publish_p99'] * 1e6:.0f} us"


def report(alone: list[dict[str, Any]], beside: list[dict[str, Any]]) -> int:
    ratio = statistics.median(b["p99"] / a["p99"] for a, b in zip(alone, beside, strict=True))
    ratio50 = statistics.median(b["p50"] / a["p50"] for a, b in zip(alone, beside, strict=True))
    publish = statistics.median(row["publish_p99"] for row in beside)
    middle = statistics.median(row["publish_median"] for row in beside)
    missing = sum(row["missing"] for row in beside)
    for name, rows in (("alone", alone), ("beside", beside)):
        p50, p99 = (statistics.median(row[key] for row in rows) * 1e3 for key in ("p50", "p99"))
        print(f"{name:7} p50 {p50:.2f} ms  p99 {p99:.2f} ms  pictures {sum(row['frames'] for row in rows)}")
    print(f"ratio p50 {ratio50:.2f}  p99 {ratio:.2f} (goal {RATIO})")
    print(f"publish median {middle * 1e6:.0f} us  p99 {publish * 1e6:.0f} us (goal {PUBLISH_S * 1e6:.0f})")
    print(f"results lost by the seven: {missing}")
    return 0 if ratio <= RATIO and publish < PUBLISH_S and not missing else 1


if __name__ == "__main__":
    sys.exit(main())
