"""How the device does, in one line for people."""

from __future__ import annotations

from edge.health.board import Components
from edge.health.tally import Figures

SHOWN = frozenset({"degraded", "failed"})
OF_THE_RESULT = frozenset({"camera", "detector"})  # their trouble is the result's own status


def summary(figures: Figures, clients: int, components: Components) -> str:
    """``watching, 9.8 frames/s, 2 clients``; or ``blind: ...``, ``degraded: ...``, each with the reason.

    What else is not well stands behind it: ``; outbox failed: the disk is full``.
    """
    if figures.status == "blind":
        head = f"blind: {figures.reason}"
    elif figures.frames == 0:
        head = "no frame yet"
    else:
        state = f"degraded: {figures.reason}" if figures.status == "degraded" else "watching"
        head = f"{state}, {figures.frames_per_s:.1f} frames/s"
    troubles = (
        f"; {name} {each['state']}: {each['reason']}"
        for name, each in components.items()
        if each["state"] in SHOWN and name not in OF_THE_RESULT
    )
    return f"{head}, {clients} client{'' if clients == 1 else 's'}{''.join(troubles)}"
