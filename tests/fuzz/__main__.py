"""`python -m tests.fuzz BYTES [--seed N]`: ends with 1 when anything was raised that should not be."""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from tests.fuzz.fuzzing import Figures, fuzz
from tests.fuzz.targets import Broken

PROGRESS_S = 2.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Feed broken bytes to the protocol.")
    parser.add_argument("bytes", type=int, metavar="BYTES", help="how many to feed in all, 10000000 for example")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes (default 0)")
    args = parser.parse_args()
    began = shown = time.monotonic()

    def progress(figures: Figures) -> None:
        nonlocal shown
        if time.monotonic() - shown > PROGRESS_S:
            shown = time.monotonic()
            print(f"{figures.fed:>12,} of {args.bytes:,} bytes, {shown - began:.0f} s", file=sys.stderr, flush=True)

    try:
        figures = fuzz(args.bytes, args.seed, progress)
    except Broken as broken:
        traceback.print_exception(broken)
        print(f"seed {args.seed}: {broken}", file=sys.stderr)
        return 1
    print(figures.report(), f"seed {args.seed}, {time.monotonic() - began:.1f} s, 0 uncaught exceptions", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
