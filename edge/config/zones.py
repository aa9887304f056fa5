"""Settings of where and when: zones, lines, times of the week."""

from __future__ import annotations

from datetime import tzinfo
from typing import Annotated, Literal, TypeAlias
from zoneinfo import ZoneInfo

from msgspec import Meta

from edge.config.base import Fraction, Settings, check_name
from edge.config.times import windows

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Point: TypeAlias = tuple[Fraction, Fraction]
Outline: TypeAlias = Annotated[
    tuple[Point, ...],
    Meta(
        min_length=3,
        max_length=64,
        description="Corners in order, `[x, y]` each, in fractions of the picture's width and height from the "
        "top left.",
    ),
]


class Zone(Settings, frozen=True):
    """A part of the picture. An object is in it when its anchor is, and enough of its box."""

    name: Annotated[Name, Meta(description="Name of the zone, unique.")]
    points: Outline
    kind: Annotated[
        Literal["include", "exclude"],
        Meta(description="`include`: rules may name it; `exclude`: a mask, objects in it count for no rule."),
    ] = "include"
    anchor: Annotated[
        Literal["bottom", "center"],
        Meta(description="The point of a box that decides: the middle of its bottom (feet) or its centre."),
    ] = "bottom"
    min_overlap: Annotated[Fraction, Meta(description="Least share of the box that must be in the zone, too.")] = 0.0

    def __post_init__(self) -> None:
        check_name(self.name)
        check_outline(self.points, f"zone {self.name}")


class Line(Settings, frozen=True):
    """A line that objects cross; its sides are those of somebody who walks from `start` to `end` in the picture."""

    name: Annotated[Name, Meta(description="Name of the line, unique.")]
    start: Annotated[Point, Meta(description="One end, `[x, y]` in fractions of the picture.")]
    end: Annotated[Point, Meta(description="The other end.")]
    anchor: Annotated[
        Literal["bottom", "center"],
        Meta(description="The point of a box that crosses: the middle of its bottom (feet) or its centre."),
    ] = "bottom"

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.start == self.end:
            raise ValueError(f"line {self.name}: start and end are the same point")


class Schedule(Settings, frozen=True):
    """Times of the week."""

    name: Annotated[Name, Meta(description="Name of the schedule, unique.")]
    times: Annotated[
        tuple[Annotated[str, Meta(max_length=64)], ...],
        Meta(
            min_length=1,
            max_length=32,
            description="Such as `mon-fri 20:00-07:00` (over midnight: the hours after it belong to the day before), "
            "`sat,sun 00:00-24:00`, or `22:00-06:00` for every day.",
        ),
    ]

    def __post_init__(self) -> None:
        check_name(self.name)
        for entry in self.times:
            try:
                list(windows(entry))
            except ValueError as error:
                raise ValueError(f"schedule {self.name}: {error}") from error


def time_zone_of(name: str) -> tzinfo | None:
    """The time zone of this name; None, which means the machine's own, for an empty one. Raises ValueError."""
    try:
        return ZoneInfo(name) if name else None
    except (OSError, ValueError, KeyError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(
            f"time_zone: there is no time zone {name!a}; give one such as Europe/Berlin, or leave it empty"
        ) from error


def check_outline(points: tuple[Point, ...], what: str) -> None:
    """Raise ValueError unless the outline encloses an area and crosses itself nowhere."""
    edges = list(zip(points, (*points[1:], points[0]), strict=True))
    for index, first in enumerate(edges):
        for second in edges[index + 1 :]:
            if first[0] != second[1] and first[1] != second[0] and _cross(first, second):
                raise ValueError(f"{what}: its outline crosses itself; give the corners in the order of a walk around")
    if abs(sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in edges)) < 2e-6:
        raise ValueError(f"{what}: it has no area")


def _cross(first: tuple[Point, Point], second: tuple[Point, Point]) -> bool:
    """Whether two segments cross, each truly from one side of the other to its other side."""

    def side(line: tuple[Point, Point], point: Point) -> float:
        (x, y), (to_x, to_y) = line
        return (to_x - x) * (point[1] - y) - (to_y - y) * (point[0] - x)

    return side(first, second[0]) * side(first, second[1]) < 0 and side(second, first[0]) * side(second, first[1]) < 0
