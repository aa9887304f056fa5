"""A timeline as a picture: above, the view with zones, ways and alerts; below, what each rule did when."""

from __future__ import annotations

import cv2
import numpy as np

from edge.commands.rehearsal.axis import axis_height, draw_axis
from edge.commands.rehearsal.brush import EXCLUDED, FAINT, GROUND, INK, LEVELS, LINE, WAYS, ZONE, Brush, Point
from edge.commands.rehearsal.timeline import Timeline
from edge.config import Config, Line
from edge.evidence import Masks
from edge.rules.condition import fold
from edge.types import Image

WIDTH = 1280  # pixels of the picture
TALLEST = 760  # of its view
DIM = 0.75  # of the frame's light, so that what is drawn on it stands out
ARROW = 46  # pixels
MARK = 17  # radius of a numbered alert
MOST_BESIDE = 100  # marks that a further one does not cover; of a rule that floods there may be thousands
LEAST_FRAMES = 5  # in which an object was seen whose way is drawn


def draw(timeline: Timeline, config: Config, frame: Image | None, size: tuple[int, int]) -> Image:
    """The picture, WIDTH pixels wide, of a video of ``size`` (width, height); None: on a plain ground.

    Privacy masks are black in the frame. Raises EdgeError for a frame that cannot be masked.
    """
    view = _View(size)
    canvas = np.full((view.height + axis_height(timeline), WIDTH, 3), GROUND, np.uint8)
    canvas[: view.height] = 0
    canvas[: view.height, view.left : view.left + view.width] = _ground(frame, view, config)
    brush = Brush(canvas)
    for zone in config.alerts.zones:
        brush.area([view.at(x, y) for x, y in zone.points], ZONE if zone.kind == "include" else EXCLUDED, 0.18)
    for mask in config.camera.privacy_masks:
        brush.area([view.at(x, y) for x, y in mask.points], (0, 0, 0), 1.0)
    _draw_ways(brush, view, timeline, config)
    for line in config.alerts.lines:
        _draw_line(brush, view, line)
    _name_places(brush, view, config)
    _draw_alerts(brush, view, timeline)
    draw_axis(brush, timeline, view.height)
    return canvas


class _View:
    """Where the video's picture lies in the drawing."""

    def __init__(self, size: tuple[int, int]) -> None:
        width, height = size
        scale = min(WIDTH / width, TALLEST / height)
        self.width, self.height = round(width * scale), max(1, round(height * scale))
        self.left = (WIDTH - self.width) // 2

    def at(self, x: float, y: float) -> Point:
        """The pixel of a place in fractions of the video's picture."""
        return self.left + round(x * (self.width - 1)), round(y * (self.height - 1))


def _ground(frame: Image | None, view: _View, config: Config) -> Image:
    if frame is None:
        return np.full((view.height, view.width, 3), GROUND, np.uint8)
    shown = Masks(config.camera.privacy_masks).fill(frame.copy())
    scaled = cv2.resize(shown, (view.width, view.height), interpolation=cv2.INTER_AREA)
    return np.asarray(scaled * DIM, np.uint8)


def _draw_ways(brush: Brush, view: _View, timeline: Timeline, config: Config) -> None:
    """Of the objects that rules are about; those that were hardly seen would only be dust."""
    wanted = {fold(name) for rule in config.alerts.rules for name in (*rule.any, *rule.all)}
    for track_id, way in timeline.ways.items():
        if way.frames < LEAST_FRAMES or fold(way.class_name) not in wanted:
            continue
        colour = WAYS[track_id % len(WAYS)]
        points = [view.at(x, y) for x, y in way.points]
        if len(points) > 1:
            brush.way(points, colour)
        brush.dot(points[-1], 5, colour)


def _draw_line(brush: Brush, view: _View, line: Line) -> None:
    """The line, its start marked, and an arrow to its right side: as seen by who walks along it."""
    start, end = view.at(*line.start), view.at(*line.end)
    brush.way([start, end], LINE, 4)
    brush.dot(start, 7, LINE)
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = max(1.0, float(np.hypot(dx, dy)))
    right = (-dy / length, dx / length)  # y points down
    middle = ((start[0] + end[0]) // 2, (start[1] + end[1]) // 2)
    tip = (round(middle[0] + ARROW * right[0]), round(middle[1] + ARROW * right[1]))
    brush.arrow(middle, tip, LINE)
    brush.words(
        (round(tip[0] + 62 * right[0]) - 45, round(tip[1] + 22 * right[1]) + 7), "to_right", LINE, 0.6, framed=True
    )
    brush.words((start[0] + 16, start[1] - 14), line.name, LINE, framed=True)


def _name_places(brush: Brush, view: _View, config: Config) -> None:
    for zone in config.alerts.zones:
        excluded = zone.kind == "exclude"
        place = min((view.at(x, y) for x, y in zone.points), key=lambda point: (point[1], point[0]))
        name = f"{zone.name} (excluded)" if excluded else zone.name
        brush.words((place[0] + 10, place[1] + 28), name, EXCLUDED if excluded else ZONE, framed=True)
    for mask in config.camera.privacy_masks:
        place = min((view.at(x, y) for x, y in mask.points), key=lambda point: (point[1], point[0]))
        brush.words((place[0] + 10, place[1] + 28), f"{mask.name} (private)", FAINT, 0.6)


def _draw_alerts(brush: Brush, view: _View, timeline: Timeline) -> None:
    """A mark for each event at the place of its first alert; where marks would cover each other, beside it."""
    fired = [entry for entry in timeline.entries if entry.told == "firing"]
    taken: list[Point] = []
    for entry in fired:
        place = view.at(*entry.place)
        taken.append(_free(place, taken[-MOST_BESIDE:], view))
        if taken[-1] != place:
            brush.way([place, taken[-1]], INK, 1)
            brush.dot(place, 3, INK)
    for entry, spot in zip(fired, taken, strict=True):
        brush.mark(spot, entry.number, LEVELS[entry.alert.threat_level], MARK)


def _free(place: Point, taken: list[Point], view: _View) -> Point:
    """The spot nearest to ``place`` where no mark is."""
    step = 2 * MARK + 6
    around = [(x * step, y * step) for x in range(-9, 10) for y in range(-9, 10)]
    for dx, dy in sorted(around, key=lambda way: way[0] ** 2 + way[1] ** 2):
        x, y = place[0] + dx, place[1] + dy
        inside = MARK <= x - view.left < view.width - MARK and MARK <= y < view.height - MARK
        if (inside or not (dx or dy)) and all(max(abs(x - a), abs(y - b)) >= step for a, b in taken):
            return x, y
    return place
