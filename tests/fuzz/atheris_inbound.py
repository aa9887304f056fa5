"""The same targets, led by coverage: `python -m tests.fuzz.atheris_inbound -runs=200000 -seed=1`.

Needs atheris (`pip install .[fuzz]`, CPython 3.11 on x86-64). It ends with another code than 0 when anything was raised
that should not be, and prints the input.
"""

from __future__ import annotations

import sys
from collections import Counter
from itertools import pairwise

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["edge.wire", "edge.stream.dialogue", "edge.stream.greeting"]):
    from tests.fuzz.fuzzing import TARGETS
    from tests.fuzz.inputs import said_by_clients, said_by_devices
    from tests.fuzz.targets import feed, framed

SAID = {"client": said_by_clients(), "device": said_by_devices()}
MAX_PIECES = 6
outcomes: Counter[str] = Counter()


def one_input(data: bytes) -> None:
    """A connection to one of the targets: said as in a vector, with some of it replaced, in pieces."""
    provider = atheris.FuzzedDataProvider(data)
    target = TARGETS[provider.ConsumeIntInRange(0, len(TARGETS) - 1)]
    said = SAID[target.speaker]
    stream = b"".join(
        framed(said[provider.ConsumeIntInRange(0, len(said) - 1)], target.form)
        for _ in range(provider.ConsumeIntInRange(0, 3))
    )
    start = provider.ConsumeIntInRange(0, len(stream))
    end = provider.ConsumeIntInRange(start, len(stream))
    cuts = [provider.ConsumeIntInRange(0, len(stream)) for _ in range(provider.ConsumeIntInRange(0, MAX_PIECES))]
    stream = stream[:start] + provider.ConsumeBytes(provider.remaining_bytes()) + stream[end:]
    ends = [0, *sorted(cuts), len(stream)]
    feed(target, [stream[a:b] for a, b in pairwise(ends)], outcomes)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
