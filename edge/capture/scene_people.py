"""People and what they hold, drawn limb by limb onto a canvas."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge.capture.scene_canvas import Canvas, Colour, Points, ellipse, shade, taper

HIP, SHOULDER, HEAD = -0.485, -0.81, -0.925  # heights on the body, in body heights, feet at 0
THIGH, SHIN = 0.235, 0.225
UPPER_ARM, FOREARM = 0.165, 0.15


@dataclass(frozen=True)
class Look:
    """What somebody looks like. `girth` widens the body (1 is average); `hair` and `outfit` name a style."""

    skin: Colour
    hair_colour: Colour
    top: Colour
    bottom: Colour
    shoes: Colour
    accent: Colour
    girth: float
    hair: str  # short, long, bun, bald, cap, hood
    outfit: str  # plain, striped, jacket, dress, apron
    long_sleeves: bool
    backpack: bool


@dataclass(frozen=True)
class Pose:
    """Where somebody stands (the feet) and how large, in design pixels, and what the limbs do.

    Angles are in radians; 0 hangs down and pi / 2 points forward.
    """

    feet: complex
    height: float
    heading: int  # 1 to the right, -1 to the left
    turn: float  # 0 faces the camera, 1 is in profile
    stride: float  # phase of the walk
    swing: float  # 0 stands, 1 walks
    upper_arm: float  # of the arm that holds; ignored with held = "nothing"
    elbow: float
    held: str  # nothing, knife, bottle, phone, stick, bread, bag
    held_angle: float


class Figure:
    """One body on a canvas, in body units: x forward, y down, the feet at 0 and the crown at -1."""

    def __init__(self, canvas: Canvas, look: Look, pose: Pose, mark: int) -> None:
        self.look = look
        self.pose = pose
        self._canvas = canvas
        self._mark = mark
        self._lift = 0j

    def fill(self, points: Points, colour: Colour, mark: int | None = None) -> None:
        outline = np.asarray(points, dtype=np.complex128) + self._lift
        pose = self.pose
        placed = pose.feet + pose.height * (outline.real * pose.heading + 1j * outline.imag)
        self._canvas.fill(placed, colour, self._mark if mark is None else mark)

    def limb(self, start: complex, end: complex, start_radius: float, end_radius: float, colour: Colour) -> None:
        self.fill(taper(start, end, start_radius, end_radius), colour)

    def oval(self, centre: complex, radius: complex, colour: Colour) -> None:
        self.fill(ellipse(centre, radius), colour)

    def draw(self, held_mark: int) -> None:
        """Draw the body, and what it holds with a mark of its own."""
        pose = self.pose
        self._canvas.shadow(pose.feet, pose.height * (0.17 + 0.03j))
        near, far = self._leg_joints(pose.stride), self._leg_joints(pose.stride + math.pi)
        self._lift = -1j * max(near[1].imag, far[1].imag) - 0.02j
        spread = _between(0.05, 0.012, pose.turn)
        holding = pose.held != "nothing"
        if self.look.backpack:
            self.oval(complex(-0.1 * pose.turn - 0.01, -0.68), 0.085 + 0.12j, shade(self.look.accent, 0.8))
        self._arm(-1, *self._arm_swing(math.pi))
        self._leg(far, spread, 0.8)
        self._leg(near, -spread, 1.0)
        self._torso()
        self._head()
        angles = (pose.upper_arm, pose.elbow) if holding else self._arm_swing(0.0)
        wrist = self._arm(1, *angles)
        if holding:
            HELD[pose.held](self, wrist, _hang(pose.held_angle), held_mark)
        self.oval(wrist, 0.021 + 0.021j, self.look.skin)

    def _leg_joints(self, phase: float) -> tuple[complex, complex]:
        """Knee and ankle of a leg whose hip is at (0, HIP)."""
        pose = self.pose
        angle = 0.48 * pose.swing * math.sin(phase)
        bend = 0.06 + 0.85 * pose.swing * max(0.0, math.cos(phase))
        knee = HIP * 1j + THIGH * _hang(angle)
        ankle = knee + SHIN * _hang(angle - bend)
        squeeze = _between(0.25, 1.0, pose.turn)
        return complex(knee.real * squeeze, knee.imag), complex(ankle.real * squeeze, ankle.imag)

    def _leg(self, joints: tuple[complex, complex], side: float, light: float) -> None:
        look, (knee, ankle) = self.look, joints
        bare = look.outfit == "dress"
        colour = shade(look.skin if bare else look.bottom, light)
        toe = ankle + complex(_between(0.02, 0.065, self.pose.turn), 0.012)
        self.limb(ankle + side + 0.005j, toe + side, 0.025, 0.021, shade(look.shoes, light))
        width = 0.8 if bare else 1.0
        self.limb(side + HIP * 1j, knee + side, 0.056 * width * look.girth, 0.04 * width, colour)
        self.limb(knee + side, ankle + side - 0.012j, 0.04 * width, 0.027 * width, colour)

    def _arm_swing(self, offset: float) -> tuple[float, float]:
        pose = self.pose
        return -0.45 * pose.swing * math.sin(pose.stride + offset) + 0.05, 0.2 + 0.25 * pose.swing

    def _arm(self, side: int, angle: float, elbow_bend: float) -> complex:
        """Draw an arm, side 1 the nearer; return the wrist."""
        look = self.look
        reach = _between(0.105, 0.022, self.pose.turn) * look.girth
        shoulder = complex(side * reach if self.pose.turn < 0.5 else -side * reach, SHOULDER + 0.015)
        elbow = shoulder + UPPER_ARM * _hang(angle)
        wrist = elbow + FOREARM * _hang(angle + elbow_bend)
        light = 0.92 if side > 0 else 0.74
        sleeve = shade(look.top, light)
        self.limb(elbow, wrist, 0.026, 0.019, sleeve if look.long_sleeves else shade(look.skin, light))
        self.limb(shoulder, elbow, 0.037 * look.girth, 0.03, sleeve)
        if side < 0:
            self.oval(wrist, 0.02 + 0.02j, shade(look.skin, 0.85))
        return wrist

    def _torso(self) -> None:
        look, turn = self.look, self.pose.turn
        chest, waist = _between(0.105, 0.078, turn) * look.girth, _between(0.085, 0.07, turn) * look.girth
        right = [0.03 - 0.85j, chest - 0.825j, chest - 0.7j, waist - 0.6j, waist + 0.008 - 0.465j]
        skirt = [waist + 0.07 - 0.27j] if look.outfit == "dress" else []
        half = np.array(right + skirt)
        self.fill(np.concatenate([half, -half[::-1].conj()]), look.top)
        self.fill([0j - 0.85j, 0.03 - 0.85j, *half, 0.02 + 1j * half[-1].imag], shade(look.top, 0.93))
        self._outfit(chest, waist)

    def _outfit(self, chest: float, waist: float) -> None:
        look = self.look
        if look.outfit == "striped":
            for level in (-0.76, -0.69, -0.62):
                self.fill(_slab(-chest * 0.97, chest * 0.97, level, 0.025), look.accent)
        elif look.outfit == "jacket":
            self.fill([-0.025 - 0.84j, 0.035 - 0.84j, 0.03 - 0.47j, -0.012 - 0.47j], look.accent)
        elif look.outfit == "apron":
            right = [0.045 - 0.78j, waist - 0.62j, waist - 0.33j]
            self.fill([*right, *(-corner.conjugate() for corner in reversed(right))], look.accent)
        if look.outfit in ("plain", "striped"):
            self.fill(_slab(-waist - 0.006, waist + 0.006, -0.49, 0.025), shade(look.bottom, 0.85))

    def _head(self) -> None:
        look, turn = self.look, self.pose.turn
        centre = complex(0.015 * turn, HEAD)
        if look.hair == "long":
            self.oval(centre + complex(-0.025 * turn, 0.045), 0.066 + 0.1j, look.hair_colour)
        if look.hair == "hood":
            self.oval(centre - 0.01, 0.073 + 0.085j, shade(look.top, 0.85))
        self.limb(-0.84j, centre + 0.03j, 0.028, 0.028, shade(look.skin, 0.85))
        self.oval(centre, 0.052 + 0.066j, look.skin)
        self._hair(centre, turn)
        self._face(centre, turn)

    def _hair(self, centre: complex, turn: float) -> None:
        look = self.look
        arc = np.linspace(1.0, 2.0 - 0.02 * turn, 14) * np.pi
        back = centre + complex(-0.012 * turn, -0.004)
        dome = back + 0.057 * np.cos(arc) + 0.072j * np.sin(arc)
        if look.hair in ("short", "long", "bun"):
            fringe = [back + 0.03 - 0.03j, back + complex(-0.02 * turn, -0.026), back - 0.05 + 0.02j]
            self.fill([*dome, *fringe], look.hair_colour)
        if look.hair == "bun":
            self.oval(back + complex(-0.045 * turn, -0.075), 0.028 + 0.026j, look.hair_colour)
        if look.hair == "cap":
            self.fill([*dome, centre + 0.055 - 0.018j, centre - 0.055 - 0.018j], look.accent)
            peak = centre + complex(0.05 + 0.04 * turn, -0.02)
            self.limb(centre + 0.02 - 0.022j, peak, 0.009, 0.007, shade(look.accent, 0.8))

    def _face(self, centre: complex, turn: float) -> None:
        skin = self.look.skin
        for side in (-0.02, 0.02):
            if side > 0 or turn < 0.7:
                self.oval(centre + complex(side + 0.017 * turn, -0.002), 0.0055 + 0.008j, (40, 32, 30))
        nose = centre + complex(0.047 * turn, 0.012)
        self.oval(nose, 0.012 + 0.009j, shade(skin, 0.9) if turn < 0.5 else skin)
        mouth = centre + complex(0.022 * turn, 0.034)
        self.limb(mouth - 0.011, mouth + 0.011, 0.003, 0.003, shade(skin, 0.62))


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share


def _hang(angle: float) -> complex:
    """The direction of a limb swung forward from hanging straight down."""
    return complex(math.sin(angle), math.cos(angle))


def _slab(left: float, right: float, y: float, height: float) -> list[complex]:
    return [complex(left, y), complex(right, y), complex(right, y + height), complex(left, y + height)]


def _knife(figure: Figure, hand: complex, along: complex, mark: int) -> None:
    blade = [(0.05, -0.014), (0.05, 0.03), (0.16, 0.032), (0.215, 0.018), (0.262, -0.014)]
    edge = [(0.055, 0.014), (0.055, 0.029), (0.16, 0.031), (0.214, 0.017), (0.25, -0.008)]
    figure.fill([hand + along * complex(a * 1.02 - 0.002, b * 1.25) for a, b in blade], (96, 88, 84), mark)
    figure.fill([hand + along * complex(a, b) for a, b in blade], (226, 222, 216), mark)
    figure.fill([hand + along * complex(a, b) for a, b in edge], (252, 250, 248), mark)
    figure.fill(taper(hand - 0.045 * along, hand + 0.05 * along, 0.015, 0.016), (38, 34, 40), mark)
    guard = hand + along * (0.048 - 0.02j), hand + along * (0.048 + 0.03j)
    figure.fill(taper(*guard, 0.007, 0.007), (60, 56, 60), mark)


def _bottle(figure: Figure, hand: complex, along: complex, mark: int) -> None:
    colour = shade(figure.look.accent, 0.75)
    figure.fill(taper(hand - 0.05 * along, hand + 0.07 * along, 0.026, 0.026), colour, mark)
    figure.fill(taper(hand + 0.08 * along, hand + 0.13 * along, 0.017, 0.011), colour, mark)
    figure.fill(taper(hand - 0.01 * along, hand + 0.03 * along, 0.026, 0.026), (225, 232, 236), mark)


def _phone(figure: Figure, hand: complex, along: complex, mark: int) -> None:
    figure.fill(taper(hand - 0.03 * along, hand + 0.06 * along, 0.022, 0.022), (44, 40, 38), mark)
    figure.fill(taper(hand - 0.02 * along, hand + 0.05 * along, 0.014, 0.014), (214, 190, 150), mark)


def _stick(figure: Figure, hand: complex, along: complex, mark: int) -> None:
    figure.fill(taper(hand - 0.06 * along, hand + 0.24 * along, 0.009, 0.009), shade(figure.look.accent, 0.7), mark)


def _bread(figure: Figure, hand: complex, along: complex, mark: int) -> None:
    figure.fill(taper(hand - 0.06 * along, hand + 0.22 * along, 0.022, 0.018), (92, 158, 212), mark)
    for step in (0.04, 0.1, 0.16):
        cut = hand + step * along
        figure.fill(
            taper(cut - 0.012j * along, cut + 0.012j * along + 0.02 * along, 0.004, 0.004), (150, 206, 240), mark
        )


def _bag(figure: Figure, hand: complex, _along: complex, mark: int) -> None:
    colour = figure.look.accent
    for side in (-0.035, 0.035):
        figure.fill(taper(hand, hand + side + 0.05j, 0.004, 0.004), shade(colour, 0.7), mark)
    figure.fill([hand - 0.06 + 0.05j, hand + 0.06 + 0.05j, hand + 0.07 + 0.19j, hand - 0.07 + 0.19j], colour, mark)


HELD = {"knife": _knife, "bottle": _bottle, "phone": _phone, "stick": _stick, "bread": _bread, "bag": _bag}
