"""Pictures and targets for training, rendered from the drawn scene."""

from __future__ import annotations

import multiprocessing
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from edge.capture.scene import CYCLE_SECONDS, Scene, Truth
from edge.geometry import Box

WIDTH, HEIGHT, STRIDE = 320, 192, 8
CLASSES = 2
MOST_OBJECTS = 12  # in one picture
FRAMES_PER_SCENE = 6
FPS = 15.0
TRAINING_SEEDS = 10_000  # training uses the seeds from here on; evaluation and the demo those below
_GREY = 114
_KNIFE_SECONDS = (4.5, 12.5)


@dataclass(frozen=True)
class Letterbox:
    """How a frame was fitted into the input: input = frame * ratio + (left, top)."""

    ratio: float
    left: int
    top: int

    def to_input(self, box: Box) -> tuple[float, float, float, float]:
        """The box normalised to the input: centre x, centre y, width, height in 0..1."""
        x = (box.xmin + box.xmax) / 2 * self.ratio + self.left
        y = (box.ymin + box.ymax) / 2 * self.ratio + self.top
        return x / WIDTH, y / HEIGHT, box.width * self.ratio / WIDTH, box.height * self.ratio / HEIGHT

    def to_frame(self, cx: float, cy: float, width: float, height: float) -> Box:
        """The inverse of to_input."""
        xs = [(cx * WIDTH + side * width * WIDTH / 2 - self.left) / self.ratio for side in (-1, 1)]
        ys = [(cy * HEIGHT + side * height * HEIGHT / 2 - self.top) / self.ratio for side in (-1, 1)]
        return Box(xs[0], ys[0], xs[1], ys[1])


def letterbox(frame: np.ndarray) -> tuple[np.ndarray, Letterbox]:
    """Fit a BGR frame into a (192, 320, 3) RGB picture, centred on grey."""
    height, width = frame.shape[:2]
    ratio = min(WIDTH / width, HEIGHT / height)
    fitted_width, fitted_height = round(width * ratio), round(height * ratio)
    left, top = (WIDTH - fitted_width) // 2, (HEIGHT - fitted_height) // 2
    picture = np.full((HEIGHT, WIDTH, 3), _GREY, np.uint8)
    fitted = cv2.resize(frame, (fitted_width, fitted_height), interpolation=cv2.INTER_LINEAR)
    picture[top : top + fitted_height, left : left + fitted_width] = cv2.cvtColor(fitted, cv2.COLOR_BGR2RGB)
    return picture, Letterbox(ratio, left, top)


@dataclass
class Examples:
    """N pictures (N, 192, 320, 3) uint8, their objects (N, 12, 5): class, cx, cy, w, h; and (N, 24, 40) which object
    each cell of the grid answers for, -1 for none."""

    pictures: np.ndarray
    objects: np.ndarray
    cells: np.ndarray

    def __len__(self) -> int:
        return len(self.pictures)


def render(seeds: range, processes: int) -> Examples:
    """Six frames of each seed's scene, every other one from the seconds when a knife is out."""
    with multiprocessing.Pool(processes) as pool:
        scenes = pool.map(_render_scene, seeds, chunksize=8)
    return Examples(*(np.concatenate(parts) for parts in zip(*scenes, strict=True)))


def _render_scene(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    width, height = ((1280, 720), (1280, 720), (640, 360), (960, 720))[seed % 4]
    scene = Scene(seed=seed, width=width, height=height, fps=FPS)
    frames = [_example(*scene.draw(_moment(rng, number % 2 == 0))) for number in range(FRAMES_PER_SCENE)]
    pictures, objects, cells = (np.stack(parts) for parts in zip(*frames, strict=True))
    return pictures, objects, cells


def _moment(rng: np.random.Generator, knife: bool) -> int:
    start, end = _KNIFE_SECONDS if knife else (0.0, CYCLE_SECONDS)
    return int((CYCLE_SECONDS * rng.integers(50) + rng.uniform(start, end)) * FPS)


def _example(frame: np.ndarray, truths: tuple[Truth, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    picture, fit = letterbox(frame)
    objects = np.full((MOST_OBJECTS, 5), -1, np.float32)
    for number, truth in enumerate(truths[:MOST_OBJECTS]):
        objects[number] = truth.class_id, *fit.to_input(truth.box)
    return picture, objects, assign(objects)


def assign(objects: np.ndarray) -> np.ndarray:
    """Give each object the cells near its centre (1.5 cells, and within the object); a contested cell goes to the
    object whose centre is nearer, a knife before a person."""
    rows, columns = HEIGHT // STRIDE, WIDTH // STRIDE
    y, x = np.mgrid[0.5:rows, 0.5:columns] * STRIDE
    cells = np.full((rows, columns), -1, np.int8)
    nearest = np.full((rows, columns), np.inf)
    for number, (kind, cx, cy, width, height) in enumerate(objects):
        if kind < 0:
            break
        dx, dy = np.abs(x - cx * WIDTH), np.abs(y - cy * HEIGHT)
        distance = np.maximum(dx, dy) - 100 * kind
        inside = (dx < min(1.5 * STRIDE, width * WIDTH / 2)) & (dy < min(1.5 * STRIDE, height * HEIGHT / 2))
        inside |= distance == distance.min()
        mine = inside & (distance < nearest)
        cells[mine], nearest[mine] = number, distance[mine]
    return cells


def batches(examples: Examples, size: int, rng: np.random.Generator):
    """One epoch of shuffled, augmented batches: pictures in 0..1, class (-1 none) and box of each cell."""
    order = rng.permutation(len(examples))
    for start in range(0, len(order) - size + 1, size):
        chosen = order[start : start + size]
        drawn = [_augmented(examples, number, rng) for number in chosen]
        pictures, kinds, boxes = (np.stack(parts) for parts in zip(*drawn, strict=True))
        yield pictures.astype(np.float32) / 255, kinds.reshape(size, -1), boxes.reshape(size, -1, 4)


def _augmented(examples: Examples, number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    picture, objects, cells = examples.pictures[number], examples.objects[number], examples.cells[number]
    if rng.random() < 0.5:
        picture, cells = picture[:, ::-1], cells[:, ::-1]
        objects = objects * np.float32([1, -1, 1, 1, 1]) + np.float32([0, 1, 0, 0, 0])
    targets = objects[cells]  # a cell of -1 reads the last row, which its class overrides below
    kinds = np.where(cells < 0, -1, targets[..., 0]).astype(np.int32)
    return _relit(np.ascontiguousarray(picture), rng), kinds, targets[..., 1:]


def _relit(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another light and another camera: gain, gamma and tint, now and then blur, grain or no colour."""
    levels = np.linspace(0, 1, 256)[:, None] ** rng.uniform(0.75, 1.3)
    curve = levels * rng.uniform(0.7, 1.25) * rng.uniform(0.9, 1.1, 3) + rng.uniform(-0.06, 0.06)
    picture = cv2.LUT(picture, (np.clip(curve, 0, 1) * 255).astype(np.uint8)[:, None, :])
    if rng.random() < 0.2:
        picture = cv2.blur(picture, (int(rng.integers(1, 4)), int(rng.integers(1, 4))))
    if rng.random() < 0.2:
        grain = rng.integers(-9, 10, picture.shape, dtype=np.int16)
        picture = np.clip(picture + grain, 0, 255).astype(np.uint8)
    if rng.random() < 0.05:
        picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    return picture
