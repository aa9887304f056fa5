"""What to change when a rule did not fire, for each reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from edge.rules.condition import Reason

ORDER: tuple[Reason, ...] = get_args(Reason)  # in which a rule looks: the later, the nearer to an alert
ADVICE: Mapping[str, str] = {
    "mask": "make the excluded zone smaller, if that is the wrong place to look away",
    "score": "lower that threshold, light the place better, or take a better model",
    "size": "change min_size or max_size: shares of the picture's height",
    "zone": "draw the zone larger, or decide by another anchor; right, where the object is elsewhere",
    "class": "right, where it was not there; else take it out of `all`, or lower min_confidence",
    "near": "raise near",
    "none": "right, where it was there; else take it out of `none`",
    "count": "lower min_count",
    "schedule": "change the schedule's times, or time_zone; to try another hour: --at",
    "hold": "right at the beginning of an event; too often: lower hold_hits or hold_s, or raise hold_frames",
    "dwell": "right for who passes by; else lower dwell_s",
    "cooldown": "lower cooldown_s or track_cooldown_s",
}


def advice(reason: str) -> str:
    """What to change, in words; empty for a reason that is not known here."""
    return ADVICE.get(reason, "")


def nearest(counts: Mapping[Reason, int]) -> Reason | None:
    """The reason that stood nearest to an alert, of those that were met."""
    return max((reason for reason in counts if counts[reason]), key=ORDER.index, default=None)
