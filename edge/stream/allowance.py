"""How much of something may still come."""

from __future__ import annotations


class Allowance:
    """Lets through ``burst`` at once and ``rate`` a second after that; times are in seconds of a monotonic clock.

    Synchronization: none; it belongs to one thread.
    """

    def __init__(self, burst: float, rate: float, now: float) -> None:
        self._burst = self._left = float(burst)
        self._rate = rate
        self._at = now

    def take(self, amount: float, now: float) -> bool:
        """Count what came; False when it was too much. What was too much is paid off first."""
        self._left = min(self._left + (now - self._at) * self._rate, self._burst) - amount
        self._at = now
        return self._left >= 0

    def allows(self, amount: float, now: float) -> bool:
        """Count ``amount`` if it may come, and say so; what may not is not counted."""
        if self.take(amount, now):
            return True
        self._left += amount
        return False
