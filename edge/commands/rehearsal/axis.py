"""The lower half of a drawn timeline: one row a rule over the recording's time."""

from __future__ import annotations

from edge.commands.rehearsal.brush import FAINT, INK, LEVELS, PANEL, RULER, Brush, Colour, fitting
from edge.commands.rehearsal.timeline import Row, Stretch, Timeline
from edge.types import Image

TOP, ROW, LEGEND = 46, 64, 50  # pixels: the ruler's words, one rule, what the colours mean
LEFT, RIGHT = 270, 30  # of the rows
STEPS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
MOST_STEPS = 10
PENDING: Colour = (150, 200, 220)
COOLDOWN: Colour = (150, 95, 70)
REFUSED: Colour = (125, 120, 115)
MARK = 14


def axis_height(timeline: Timeline) -> int:
    return TOP + ROW * len(timeline.rows) + LEGEND


def draw_axis(brush: Brush, timeline: Timeline, top: int) -> None:
    """Below ``top`` pixels of the picture."""
    scale = _Scale(timeline, brush.image)
    bottom = top + TOP + ROW * len(timeline.rows)
    _draw_ruler(brush, scale, top, bottom)
    for index, row in enumerate(timeline.rows):
        _draw_row(brush, scale, row, top + TOP + index * ROW)
    _draw_marks(brush, scale, timeline, top + TOP)
    _draw_legend(brush, bottom)


class _Scale:
    """From seconds to pixels."""

    def __init__(self, timeline: Timeline, image: Image) -> None:
        self.begin, self.end = timeline.begin, max(timeline.end, timeline.begin + 0.1)
        self.right = int(image.shape[1]) - RIGHT

    def x(self, at: float) -> int:
        return LEFT + round((at - self.begin) / (self.end - self.begin) * (self.right - LEFT))

    def ticks(self) -> list[float]:
        long = self.end - self.begin
        step = next((step for step in STEPS if long / step <= MOST_STEPS), STEPS[-1])
        first = -(-self.begin // step)
        return [number * step for number in range(int(first), int(self.end / step) + 1)]


def _draw_ruler(brush: Brush, scale: _Scale, top: int, bottom: int) -> None:
    whole = all(at == int(at) for at in scale.ticks())
    for at in scale.ticks():
        x = scale.x(at)
        brush.bar((x, top + TOP - 8), (x, bottom), RULER)
        seconds = f"{at % 60:02.0f}" if whole else f"{at % 60:04.1f}"
        words = f"{int(at // 60)}:{seconds}"
        brush.words((x - 5 * len(words), top + TOP - 16), words, FAINT, 0.6)


def _draw_row(brush: Brush, scale: _Scale, row: Row, top: int) -> None:
    colour = LEVELS[row.rule.level]
    brush.bar((LEFT, top + 8), (scale.right, top + ROW - 24), PANEL)
    brush.words((16, top + 30), fitting(row.rule.name, LEFT - 32, 0.7), INK)
    brush.words((16, top + 52), row.rule.level, colour, 0.55)
    for stretch in row.phases:
        first, last = _ends(scale, stretch)
        if stretch.phase == "firing":
            brush.bar((first, top + 12), (last, top + ROW - 28), colour)
        elif stretch.phase == "pending":
            brush.bar((first, top + 22), (last, top + ROW - 28), PENDING)
        else:
            brush.bar((first, top + ROW - 36), (last, top + ROW - 28), COOLDOWN)
    for refused in row.refused:
        first, last = _ends(scale, refused)
        brush.bar((first, top + ROW - 21), (last, top + ROW - 10), REFUSED)


def _ends(scale: _Scale, stretch: Stretch) -> tuple[int, int]:
    """Its first and last pixel; the shortest one is seen, too."""
    first = scale.x(stretch.begin)
    return first, max(first + 1, scale.x(stretch.end))


def _draw_marks(brush: Brush, scale: _Scale, timeline: Timeline, top: int) -> None:
    rows = {row.rule.name: index for index, row in enumerate(timeline.rows)}
    last: dict[str, int] = {}
    for entry in timeline.entries:
        if entry.told == "resolved":
            continue
        rule = entry.alert.rule
        x = max(scale.x(entry.at), last.get(rule, 0) + 2 * MARK + 3)  # side by side where they would cover each other
        last[rule] = x
        centre = (min(x, scale.right - MARK), top + rows[rule] * ROW + 24)
        brush.mark(centre, entry.number, LEVELS[entry.alert.threat_level], MARK)


def _draw_legend(brush: Brush, top: int) -> None:
    x, y = 16, top + 28
    brush.mark((x + 14, y - 6), 1, LEVELS["medium"], MARK)
    x += 40 + brush.words((x + 38, y), "alert", FAINT, 0.6) + 22
    for colour, words in (
        (LEVELS["medium"], "firing"),
        (PENDING, "pending"),
        (COOLDOWN, "cooldown"),
        (REFUSED, "candidate refused"),
    ):
        brush.bar((x, y - 14), (x + 26, y), colour)
        x += 36 + brush.words((x + 34, y), words, FAINT, 0.6) + 22
    brush.words((x, y), "lines: the ways of feet", FAINT, 0.6)
