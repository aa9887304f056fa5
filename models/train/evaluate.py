"""Measure a TFLite detector's average precision on drawn scenes it was not trained on.

    python models/train/evaluate.py models/preact_scene_320x192_int8.tflite

AP50 by all-point interpolation, as in PASCAL VOC from 2010 on: detections of all frames by falling score, each matched
to the free truth of its class that it overlaps most, correct from IoU 0.5.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from examples import FPS, HEIGHT, WIDTH, letterbox

from edge.capture.scene import CLASS_NAMES, CYCLE_SECONDS, Scene, Truth
from edge.geometry import Box

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:
    from tflite_runtime.interpreter import Interpreter

NMS_IOU = 0.5
UNSEEN_SEEDS = 1000  # scenes from here on, well below those of the training, are measured
Detection = tuple[int, float, Box]  # class, score, pixels of the frame


class Detector:
    """A plain reading of YOLOv8's export convention, apart from the product's own decoder."""

    def __init__(self, path: Path, score_threshold: float = 0.01) -> None:
        self._interpreter = Interpreter(str(path), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]
        self._threshold = score_threshold

    def detect(self, frame: np.ndarray, nms_iou: float = NMS_IOU) -> list[Detection]:
        """Objects in a BGR frame, by falling score."""
        picture, fit = letterbox(frame)
        rows = self.answers(picture)
        kinds, scores = rows[4:].argmax(axis=0), rows[4:].max(axis=0)
        chosen = np.flatnonzero(scores >= self._threshold)
        chosen = suppressed(rows[:4, chosen].T, kinds[chosen], scores[chosen], chosen, nms_iou)
        height, width = frame.shape[:2]
        return [
            (int(kinds[place]), float(scores[place]), fit.to_frame(*rows[:4, place].tolist()).clip(width, height))
            for place in chosen
        ]

    def answers(self, picture: np.ndarray) -> np.ndarray:
        """The dequantized output (6, N) for an RGB picture of the input's size."""
        self._interpreter.set_tensor(self._input["index"], (picture.astype(np.int16) - 128).astype(np.int8)[None])
        self._interpreter.invoke()
        scale, zero = self._output["quantization"]
        return (self._interpreter.get_tensor(self._output["index"])[0].astype(np.float32) - zero) * scale


def suppressed(
    boxes: np.ndarray, kinds: np.ndarray, scores: np.ndarray, places: np.ndarray, nms_iou: float
) -> list[int]:
    """The places that class-wise non-maximum suppression keeps, by falling score; boxes (N, 4) as cx, cy, w, h."""
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    areas, kept = boxes[:, 2] * boxes[:, 3], []
    waiting = np.argsort(-scores, kind="stable")
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        kept.append(int(places[best]))
        sides = np.minimum(high[best], high[waiting]) - np.maximum(low[best], low[waiting])
        common = np.prod(np.maximum(sides, 0), axis=1)
        iou = common / np.maximum(areas[best] + areas[waiting] - common, 1e-9)
        waiting = waiting[(iou <= nms_iou) | (kinds[waiting] != kinds[best])]
    return kept


def average_precision(frames: Sequence[tuple[Sequence[Truth], Sequence[Detection]]], class_id: int) -> float:
    """AP50 of one class over frames of (truths, detections)."""
    verdicts: list[tuple[float, bool]] = []
    total = 0
    for truths, detections in frames:
        places = [truth.box for truth in truths if truth.class_id == class_id]
        total += len(places)
        verdicts += _verdicts(places, [(score, box) for kind, score, box in detections if kind == class_id])
    verdicts.sort(key=lambda verdict: -verdict[0])
    correct = np.cumsum([right for _, right in verdicts])
    recall = np.concatenate([[0.0], correct / total])
    precision = correct / np.arange(1, len(correct) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope))


def _verdicts(places: list[Box], found: list[tuple[float, Box]]) -> list[tuple[float, bool]]:
    free, verdicts = list(places), []
    for score, box in sorted(found, key=lambda pair: -pair[0]):
        best = max(free, key=box.iou, default=None)
        right = best is not None and box.iou(best) >= 0.5
        if right:
            free.remove(best)
        verdicts.append((score, right))
    return verdicts


def unseen(seeds: range, frames_each: int):
    """Frames and truths of scenes below the training seeds, at moments spread evenly over three cycles."""
    for seed in seeds:
        scene = Scene(seed=seed, fps=FPS)
        for number in range(frames_each):
            yield scene.draw(int((number + 0.5) * 3 * CYCLE_SECONDS * FPS / frames_each))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--frames", type=int, default=15, help="of each scene")
    args = parser.parse_args()
    detector = Detector(args.model)
    frames = [
        (truths, detector.detect(frame))
        for frame, truths in unseen(range(UNSEEN_SEEDS, UNSEEN_SEEDS + args.scenes), args.frames)
    ]
    scores = [average_precision(frames, kind) for kind in range(len(CLASS_NAMES))]
    for name, score in zip(CLASS_NAMES, scores, strict=True):
        count = sum(truth.class_name == name for truths, _ in frames for truth in truths)
        print(f"AP50 {name} {score:.4f} ({count} objects)")
    print(f"AP50 mean {np.mean(scores):.4f} over {len(frames)} frames")
    print(f"{_milliseconds(detector):.2f} ms a frame on one thread, decoding excluded")


def _milliseconds(detector: Detector) -> float:
    """The median of a hundred inferences."""
    grey, spent = np.full((HEIGHT, WIDTH, 3), 114, np.uint8), []
    for _ in range(100):
        started = time.perf_counter()
        detector.answers(grey)
        spent.append(time.perf_counter() - started)
    return float(np.median(spent)) * 1000


if __name__ == "__main__":
    main()
