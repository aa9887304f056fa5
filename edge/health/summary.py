"""How the device does, in one line for people."""

from __future__ import annotations

from edge.health.board import Components
from edge.health.tally import Figures

SHOWN = frozenset({"degraded", "failed"})
OF_THE_RESULT = frozenset({"camera", "detector"})  # their trouble is the result's own status


def summary(figures: Figures, clients: int, components: Components) -> str:
    """``watching, 9.8 frames/s, 2 clients``; or ``blind: ...; 2 clients``, ``degraded: ...; 9.8 frames/s, 2 clients``.

    What else is not well stands behind it: ``; outbox failed: the disk is full``.
    """
    head = "watching, " if figures.status == "ok" else f"{figures.status}: {figures.reason}; "
    if figures.status != "blind":
        head += f"{figures.frames_per_s:.1f} frames/s, " if figures.frames else "no frame yet, "
    troubles = (
        f"; {name} {each['state']}: {each['reason']}"
        for name, each in components.items()
        if each["state"] in SHOWN and name not in OF_THE_RESULT
    )
    return f"{head}{clients} client{'' if clients == 1 else 's'}{''.join(troubles)}"
