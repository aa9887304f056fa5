"""What the log tells of each alert, and of the program's end."""

from __future__ import annotations

import logging

from edge.health.tally import Figures
from edge.types import Result

logger = logging.getLogger(__name__)


def log_alerts(result: Result) -> None:
    """A sink of the pipeline: a line for each alert."""
    for alert in result.alerts:
        level = logging.WARNING if alert.state == "firing" else logging.INFO
        logger.log(level, "%s %s (%.2f, rule %s)", alert.alert_id, alert.message, alert.confidence, alert.rule)


def log_end(figures: Figures, results_dropped: int, pictures_dropped: int) -> None:
    """The closing line; what was dropped for slow clients is given."""
    logger.info(
        "stopped after %d frames and %d alerts; dropped %d frames, and for slow clients %d results and %d pictures",
        figures.frames,
        figures.alerts,
        figures.dropped,
        results_dropped,
        pictures_dropped,
    )
