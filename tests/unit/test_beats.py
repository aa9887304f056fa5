"""The buzzer's patterns, as pure lists of times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import Pattern
from edge.gpio.beats import SHORTEST_S, beats


@pytest.mark.parametrize(
    ("pattern", "longest_s", "expected"),
    [
        (Pattern(on_s=0.5, off_s=0.25, repeats=2), 30.0, ((True, 0.5), (False, 0.25), (True, 0.5))),
        (Pattern(on_s=0.5, off_s=0.25, repeats=1), 30.0, ((True, 0.5),)),
        (Pattern(on_s=60, repeats=1), 30.0, ((True, 30.0),)),
        (Pattern(on_s=1.0, off_s=1.0, repeats=9), 2.5, ((True, 1.0), (False, 1.0), (True, 0.5))),
        (Pattern(on_s=1.0, off_s=1.0, repeats=9), 1.5, ((True, 1.0),)),
        (Pattern(on_s=1.0, off_s=0.0, repeats=2), 30.0, ((True, 1.0), (True, 1.0))),
        (Pattern(repeats=0), 30.0, ()),
    ],
)
def test_beats(pattern: Pattern, longest_s: float, expected: tuple[tuple[bool, float], ...]) -> None:
    assert beats(pattern, longest_s) == expected


def test_rounding_leaves_no_click_at_the_end() -> None:
    assert len(beats(Pattern(on_s=0.1, off_s=0.1, repeats=9), 0.1 + 0.1 + 0.1 + 0.1)) == 3


@given(
    st.builds(Pattern, on_s=st.floats(0.001, 60), off_s=st.floats(0, 60), repeats=st.integers(0, 50)),
    st.floats(0.01, 600),
)
def test_every_sounding_is_bounded_and_ends_on_a_beat(pattern: Pattern, longest_s: float) -> None:
    times = beats(pattern, longest_s)
    assert sum(seconds for _, seconds in times) <= longest_s + SHORTEST_S
    assert all(seconds > 0 for _, seconds in times)
    assert sum(on for on, _ in times) <= pattern.repeats
    assert bool(times) == bool(pattern.repeats)
    assert not times or (times[0][0] and times[-1][0])
