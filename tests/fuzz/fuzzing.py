"""The loop: connection after connection, target after target, until so many bytes were fed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.fuzz.inputs import Inputs
from tests.fuzz.sessions import SESSIONS
from tests.fuzz.targets import READERS, Target, feed

TARGETS: tuple[Target, ...] = (*READERS, *SESSIONS)


@dataclass
class Figures:
    """What was fed, and by target what came of it."""

    fed: int = 0
    connections: int = 0
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)

    def report(self) -> str:
        lines = [f"{self.fed:,} bytes in {self.connections:,} connections"]
        for name, counted in self.outcomes.items():
            lines.append(f"  {name}: " + ", ".join(f"{what} {count:,}" for what, count in sorted(counted.items())))
        return "\n".join(lines)


def fuzz(
    total: int,
    seed: int = 0,
    progress: Callable[[Figures], None] = lambda _: None,
    targets: Sequence[Target] = TARGETS,
) -> Figures:
    """Feed ``total`` bytes, or a few more; the same ``seed`` feeds the same ones. Raises Broken."""
    inputs = Inputs(Random(seed))
    figures = Figures(outcomes={target.name: Counter() for target in targets})
    while figures.fed < total:
        target = targets[figures.connections % len(targets)]
        figures.fed += feed(target, inputs.pieces(target), figures.outcomes[target.name])
        figures.connections += 1
        progress(figures)
    return figures
