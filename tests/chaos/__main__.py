"""Alerts, cuts and kills by the number; exit 1 when an alert was lost, or given twice.

    .venv/bin/python -m tests.chaos [--alerts 10000] [--cuts 500] [--kills 50] [--client python|node|witness]

With --client-kills the client is killed too. Then an alert may be given twice: exactly those that it had been given and
not yet written into its cursor. Without, none may.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from tests.chaos.clients import KINDS, missing
from tests.chaos.storm import Plan, run

TELL_S = 1.0


class Progress:
    """One line that is written over, on a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        self._at = 0.0

    def __call__(self, text: str) -> None:
        if sys.stderr.isatty() and time.monotonic() - self._at > TELL_S:
            self._at = time.monotonic()
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alerts", type=int, default=10_000)
    parser.add_argument("--cuts", type=int, default=500)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--client", choices=KINDS, default="python")
    parser.add_argument("--client-kills", type=int, default=0)
    parser.add_argument("--rate", type=float, default=60.0, help="alerts a second")
    parser.add_argument("--framing", choices=("length", "newline"), default="length")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="an empty folder for database, cursor and logs, which stays")
    args = vars(parser.parse_args())
    keep: Path | None = args.pop("keep")
    plan = Plan(**args)
    if reason := missing(plan.client):
        print(f"left out: {reason}", file=sys.stderr)
        return 2
    if keep is not None:
        return storm(plan, keep)
    with tempfile.TemporaryDirectory() as folder:
        return storm(plan, Path(folder))


def storm(plan: Plan, folder: Path) -> int:
    began, progress = time.monotonic(), Progress()
    try:
        verdict, happened = run(plan, folder, progress)
    finally:
        progress.end()
    print(f"{plan.client} client, seed {plan.seed}, {time.monotonic() - began:.0f} s")
    for name, count in (happened | asdict(verdict)).items():
        if name != "faults":
            print(f"{name:20} {count}")
    for fault in verdict.faults[:20]:
        print(f"  {fault}")
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())
