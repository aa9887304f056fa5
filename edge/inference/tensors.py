"""What a model says about one of its inputs or outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output; ``scale`` is 0 where its values are not quantized."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float
    zero_point: int

    @classmethod
    def from_details(cls, details: dict[str, Any]) -> Tensor:
        """From an entry of the interpreter's ``get_input_details()`` or ``get_output_details()``."""
        scale, zero_point = details["quantization"]
        dtype = np.dtype(details["dtype"])
        scale = float(scale) if dtype.kind in "iu" else 0.0
        shape = tuple(int(size) for size in details["shape"])
        return cls(details["index"], details["name"], shape, dtype, scale, int(zero_point))

    @property
    def quantized(self) -> bool:
        return self.scale > 0

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def real_range(self) -> tuple[float, float]:
        """The smallest and the largest real value that a quantized tensor can hold."""
        limits = np.iinfo(self.dtype)
        return (limits.min - self.zero_point) * self.scale, (limits.max - self.zero_point) * self.scale

    def real(self, values: Array) -> NDArray[np.float32]:
        """``values`` of this tensor as real numbers: (q - zero_point) * scale where it is quantized."""
        if not self.quantized:
            return values.astype(np.float32)
        return np.asarray((values.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale))

    def at_least(self, values: Array, real: float) -> NDArray[np.bool_]:
        """Where ``values`` are ``real`` or more, told without dequantizing; a NaN is not."""
        if not self.quantized:
            return np.asarray(values >= values.dtype.type(real))
        lowest = int(np.ceil(real / self.scale + self.zero_point - 1e-6))
        limits = np.iinfo(self.dtype)
        if lowest > limits.max:
            return np.zeros(values.shape, dtype=np.bool_)
        return np.asarray(values >= self.dtype.type(max(lowest, limits.min)))

    def __str__(self) -> str:
        return f"{self.dtype.name}{list(self.shape)}"
