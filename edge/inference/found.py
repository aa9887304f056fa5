"""What a decoder hands on: boxes in the input's own measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.inference.tensors import Array


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """``n`` objects, best first: boxes (n, 4) as xmin, ymin, xmax, ymax in 0..1 of the input; scores and ids (n,)."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]


_FAR = 1e6
NOTHING = Found(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))


def sane(scores: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which rows hold usable numbers: no NaN, no infinity, no box so far out that arithmetic on it overflows."""
    return np.asarray(np.isfinite(scores) & (np.abs(boxes) < _FAR).all(axis=1))


class Decoder(Protocol):
    """Reads a model's raw outputs; what scores less than ``score_threshold``, which may change, is left out."""

    score_threshold: float

    def decode(self, outputs: Sequence[Array]) -> Found: ...
