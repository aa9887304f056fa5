"""Names of alerts."""

from __future__ import annotations

import math

REMEMBERED_SECONDS = 4096  # more than an hour of one alert a second: clocks step back by less, or by much more


class AlertLabels:
    """Makes ``alert_<Unix second>``, and ``alert_<Unix second>_2``, ``_3``, ... for more alerts of one second.

    No label is given twice, also when the clock steps back, for the last REMEMBERED_SECONDS different seconds that
    had an alert; older ones are forgotten, the longest unused first. Nothing is known of labels given before the
    program started: what keeps alerts on disk has to see to that.

    Synchronization: none; it belongs to the thread that runs the rules.
    """

    def __init__(self) -> None:
        self._given: dict[int, int] = {}  # Unix second -> labels given; in the order of last use

    def label(self, timestamp: float) -> str:
        """The label for an alert at ``timestamp``, Unix seconds."""
        second = math.floor(timestamp)
        count = self._given.pop(second, 0) + 1
        self._given[second] = count
        if len(self._given) > REMEMBERED_SECONDS:
            del self._given[next(iter(self._given))]
        return f"alert_{second}" if count == 1 else f"alert_{second}_{count}"
