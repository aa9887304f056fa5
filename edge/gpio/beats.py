"""A buzzer's pattern as the times that its pin is on and off."""

from __future__ import annotations

from edge.config import Pattern

SHORTEST_S = 0.001  # what rounding leaves of the longest time must not be heard as a click


def beats(pattern: Pattern, longest_s: float) -> tuple[tuple[bool, float], ...]:
    """What one sounding does: (on, seconds) in turn, beginning and ending with on.

    The pause after the last beat is left out. All together last at most ``longest_s``: what goes beyond is cut, and a
    pause that would then come last is left out too. Beats without a pause between them stay apart here, though nobody
    hears it. A pattern without repeats gives nothing.
    """
    left = longest_s
    cut: list[tuple[bool, float]] = []
    for on, seconds in ((True, pattern.on_s), (False, pattern.off_s)) * pattern.repeats:
        if left < SHORTEST_S:
            break
        if seconds > 0:
            cut.append((on, min(seconds, left)))
            left -= seconds
    while cut and not cut[-1][0]:
        cut.pop()
    return tuple(cut)
