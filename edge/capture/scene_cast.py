"""Who comes into the drawn shop in one cycle of 20 s, where each walks and what each holds up."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge.capture.scene_canvas import DESIGN_HEIGHT, Colour, shade
from edge.capture.scene_people import Look, Pose
from edge.capture.scene_shop import Shop

DRAWN_FROM, DRAWN_UNTIL = 4.5, 12.5  # seconds of the cycle during which the knife is out
EMPTY_FROM = 17.0  # from here to the end of the cycle nobody is in view
_OUTSIDE = 190.0  # design pixels beyond the frame's side where people come from
_TALLEST_ARMED = 480.0  # design pixels: a raised knife stays in the frame
_RAISE_SECONDS = 0.4

_SKINS: tuple[Colour, ...] = (
    (172, 204, 240), (140, 180, 226), (104, 146, 200), (74, 108, 158), (52, 74, 110), (152, 192, 232),
)  # fmt: skip
_HAIRS: tuple[Colour, ...] = (
    (30, 30, 34), (36, 52, 78), (58, 92, 132), (110, 164, 204), (160, 162, 164), (40, 56, 128),
)  # fmt: skip
_CLOTHES: tuple[Colour, ...] = (
    (72, 66, 58), (150, 96, 50), (64, 64, 176), (84, 140, 76), (60, 160, 220), (206, 206, 204), (140, 80, 128),
    (164, 150, 70), (46, 44, 44), (126, 130, 134), (176, 170, 220), (80, 108, 146), (120, 60, 40), (130, 178, 190),
)  # fmt: skip
_HAIR_STYLES = ("short", "short", "long", "bun", "bald", "cap", "hood")
_OUTFITS = ("plain", "plain", "striped", "jacket", "dress", "apron")
_GRIPS = {  # upper arm, elbow, direction of the thing held: radians, 0 hangs down
    "raised": (1.75, 0.75, 2.4),
    "forward": (0.45, 0.95, 2.15),
    "low": (0.1, 0.85, 0.85),
    "stabbing": (2.0, 0.7, 0.8),
    "hanging": (0.08, 0.12, 0.0),
}
_THINGS = ("bottle", "phone", "stick", "bread")


@dataclass(frozen=True)
class Walker:
    """One person's visit: where the feet are at which second, and what is held up when."""

    look: Look
    times: tuple[float, ...]
    places: tuple[complex, ...]
    stance: float  # turn while standing, as in Pose
    tallness: float
    held: str
    grip: str
    tilt: float  # radians added to the grip's direction
    held_from: float
    held_until: float

    def pose(self, seconds: float, shop: Shop) -> Pose | None:
        """The pose at this second of the cycle; None before and after the visit."""
        if not self.times[0] <= seconds <= self.times[-1]:
            return None
        feet = self._place(seconds)
        height = self.tallness * shop.perspective * (feet.imag - shop.horizon)
        pace = abs(self._place(seconds + 0.12) - self._place(seconds - 0.12)) / 0.24
        swing = min(1.0, pace / (0.55 * height))
        raised = min(1.0, (seconds - self.held_from) / _RAISE_SECONDS, (self.held_until - seconds) / _RAISE_SECONDS)
        upper_arm, elbow, angle = self._arm(raised, seconds)
        return Pose(
            feet=feet,
            height=height,
            heading=self._heading(seconds),
            turn=max(self.stance, swing),
            stride=2 * math.pi * self._walked(seconds) / (0.85 * height),
            swing=swing,
            upper_arm=upper_arm,
            elbow=elbow,
            held=self.held if raised > 0 else "nothing",
            held_angle=angle,
        )

    def _place(self, seconds: float) -> complex:
        return complex(np.interp(seconds, self.times, np.asarray(self.places)))

    def _walked(self, seconds: float) -> float:
        lengths = np.abs(np.diff(np.asarray(self.places)))
        return float(np.interp(seconds, self.times, np.concatenate([[0.0], np.cumsum(lengths)])))

    def _heading(self, seconds: float) -> int:
        """The side last walked to: who stands keeps looking there."""
        steps = np.diff(np.asarray(self.places).real)
        current = min(int(np.searchsorted(self.times, seconds, side="right")), len(steps))
        moved = [step for step in steps[:current] if step]
        return -1 if moved and moved[-1] < 0 else 1

    def _arm(self, raised: float, seconds: float) -> tuple[float, float, float]:
        upper_arm, elbow, angle = _GRIPS[self.grip]
        wave = 0.0 if self.grip == "hanging" else 0.13 * math.sin(5.2 * seconds)
        share = max(0.0, raised)
        return share * (upper_arm + wave), share * elbow, angle + self.tilt + 1.4 * wave - (1 - share) * 0.6


def cast(rng: np.random.Generator, shop: Shop, *, armed: bool) -> tuple[Walker, ...]:
    """The visitors of one cycle. The armed one, if any, has nobody nearer to the camera while the knife is out."""
    robber = _robber(rng, shop)
    nearest = robber.places[1].imag - 12 if armed else DESIGN_HEIGHT + 15
    shoppers = [_shopper(rng, shop, nearest) for _ in range(int(rng.integers(1, 5)))]
    return (robber, *shoppers) if armed else tuple(shoppers)


def _robber(rng: np.random.Generator, shop: Shop) -> Walker:
    """Comes in, paces about with a knife in the open, and leaves."""
    side = rng.choice([-_OUTSIDE, shop.breadth + _OUTSIDE])
    depth, middle = _open_place(rng, shop)
    drift = rng.uniform(-1, 1, 3) * 0.09 * shop.breadth
    stops = [complex(middle + step, depth) for step in drift]
    start = rng.uniform(0.8, 1.8)
    times = (start, DRAWN_FROM - 0.3, rng.uniform(6, 7), rng.uniform(7.6, 8.4), rng.uniform(10, 11), DRAWN_UNTIL + 0.2)
    places = (complex(side, depth), stops[0], stops[0], stops[1], stops[2], stops[2])
    leaving = rng.choice([-_OUTSIDE, shop.breadth + _OUTSIDE])
    return _walker(
        rng,
        (*times, rng.uniform(15, EMPTY_FROM - 0.2)),
        (*places, complex(leaving, depth)),
        held="knife",
        grip=str(rng.choice(["raised", "forward", "low", "stabbing"])),
        held_from=DRAWN_FROM,
        held_until=DRAWN_UNTIL,
    )


def _open_place(rng: np.random.Generator, shop: Shop) -> tuple[float, float]:
    """A depth and a middle where no furniture hides somebody who paces there."""
    deepest = min(shop.horizon + _TALLEST_ARMED / shop.perspective, DESIGN_HEIGHT + 15)
    for _ in range(12):
        depth = rng.uniform(shop.far_floor + 0.25 * (deepest - shop.far_floor), deepest)
        middle = rng.uniform(0.3, 0.7) * shop.breadth
        reach = 0.1 * shop.breadth + 0.5 * shop.perspective * (depth - shop.horizon)
        if not shop.hidden(depth, middle - reach, middle + reach):
            return depth, middle
    return deepest, 0.5 * shop.breadth


def _shopper(rng: np.random.Generator, shop: Shop, nearest: float) -> Walker:
    """Walks in at one side, stops once or twice to look at something, and leaves before the cycle's empty end."""
    furthest = shop.far_floor + 14
    depth = rng.uniform(furthest, max(nearest, furthest + 5))
    sides = (-_OUTSIDE, shop.breadth + _OUTSIDE)
    stops = rng.uniform(0.1, 0.9, int(rng.integers(1, 3))) * shop.breadth
    across = [rng.choice(sides), *np.repeat(stops, 2), rng.choice(sides)]
    depths = [depth, *np.repeat(rng.uniform(furthest, max(nearest, furthest + 5), len(stops)), 2), depth]
    places = tuple(complex(x, y) for x, y in zip(across, depths, strict=True))
    waits = rng.uniform(0.4, 3.0, len(stops))
    pace = rng.uniform(0.65, 0.95) * shop.perspective * (depth - shop.horizon)
    walks = np.abs(np.diff(np.asarray(across))) / pace
    walks[1::2] = waits
    start = rng.uniform(0, 8)
    times = start + np.concatenate([[0], np.cumsum(walks)]) * min(1.0, (EMPTY_FROM - start) / walks.sum())
    held = str(rng.choice([*_THINGS, "bag", "nothing"]))
    grip = "hanging" if held == "bag" else str(rng.choice(list(_GRIPS)))
    return _walker(rng, tuple(times.tolist()), places, held=held, grip=grip, held_from=-1.0, held_until=EMPTY_FROM + 1)


def _walker(
    rng: np.random.Generator,
    times: tuple[float, ...],
    places: tuple[complex, ...],
    *,
    held: str,
    grip: str,
    held_from: float,
    held_until: float,
) -> Walker:
    return Walker(
        look=_look(rng),
        times=times,
        places=places,
        stance=float(rng.choice([0.1, 0.35, 0.8])),
        tallness=rng.uniform(0.9, 1.08),
        held=held,
        grip=grip,
        tilt=rng.uniform(-0.2, 0.2),
        held_from=held_from,
        held_until=held_until,
    )


def _look(rng: np.random.Generator) -> Look:
    def pick(choices: tuple[Colour, ...]) -> Colour:
        return shade(choices[rng.integers(len(choices))], rng.uniform(0.88, 1.1))

    return Look(
        skin=pick(_SKINS),
        hair_colour=pick(_HAIRS),
        top=pick(_CLOTHES),
        bottom=pick(_CLOTHES),
        shoes=shade(pick(_HAIRS), 0.8),
        accent=pick(_CLOTHES),
        girth=rng.uniform(0.88, 1.18),
        hair=str(rng.choice(_HAIR_STYLES)),
        outfit=str(rng.choice(_OUTFITS)),
        long_sleeves=bool(rng.random() < 0.55),
        backpack=bool(rng.random() < 0.25),
    )
