"""Raw heads of YOLOv5, YOLOv8 and YOLO11: one output with every anchor's box and class scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.inference.found import NOTHING, Found, sane
from edge.inference.tensors import Array, Tensor

# Pixels of the input between the anchors of each head: the usual three first, then one more, fewer, and one alone.
STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32), (8, 16), (8,), (16,), (32,))
YOLOV5_ANCHORS = 3  # at each place; YOLOv8 and later have one
MOST_CANDIDATES = 1000  # into the suppression, best first, so that no picture makes it slow


class Layout(NamedTuple):
    """How the output is arranged."""

    anchors_last: bool  # [1, attributes, n] and not [1, n, attributes]
    objectness: bool  # YOLOv5: a score of its own before the classes'
    class_count: int


class YoloDecoder:
    """Attributes cx, cy, w, h in 0..1 or in pixels of the input, (objectness,) and a score for each class.

    Scores are compared while still quantized, and only what passes is dequantized. Each anchor has its best class;
    of boxes of one class that overlap more than ``iou_threshold`` the best stays, of equal ones the first. Never
    raises; a value that is no number is left out.

    Synchronization: one owner thread.
    """

    def __init__(
        self,
        tensor: Tensor,
        layout: Layout,
        input_size: tuple[int, int],
        *,
        score_threshold: float,
        iou_threshold: float,
        limit: int,
    ) -> None:
        self._tensor = tensor
        self._layout = layout
        self._size = np.array([*input_size, *input_size], np.float32)  # width, height, width, height
        self._in_pixels = tensor.quantized and tensor.real_range[1] > 2
        self.score_threshold = score_threshold
        self._iou_threshold = iou_threshold
        self._limit = limit

    def decode(self, outputs: Sequence[Array]) -> Found:
        rows = outputs[0][0] if self._layout.anchors_last else outputs[0][0].T  # (attributes, n)
        anchors = self._candidates(rows)
        if not len(anchors):
            return NOTHING
        first = 5 if self._layout.objectness else 4
        class_ids = _best_class(rows[first:, anchors])
        scores = self._tensor.real(rows[first + class_ids, anchors])
        if self._layout.objectness:
            scores = scores * self._tensor.real(rows[4, anchors])
        boxes = self._tensor.real(rows[:4, anchors].T)
        valid = (scores >= self.score_threshold) & sane(scores, boxes)
        boxes, scores, class_ids = boxes[valid], np.minimum(scores[valid], 1), class_ids[valid]
        kept = self._suppress(corners := self._corners(boxes), scores, class_ids)
        return Found(corners[kept], scores[kept], class_ids[kept])

    def _candidates(self, rows: Array) -> NDArray[np.int64]:
        """Anchors with a class score, in YOLOv5 with an objectness, of at least the threshold."""
        best = rows[4] if self._layout.objectness else np.fmax.reduce(rows[4:], axis=0)
        # The product's rounding is left to the float comparison that follows.
        return np.flatnonzero(self._tensor.at_least(best, self.score_threshold))

    def _corners(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        self._in_pixels = self._in_pixels or bool((boxes[:, :2] > 2).any())  # centres in 0..1 never are
        if self._in_pixels:
            boxes = boxes / self._size
        centres, halves = boxes[:, :2], boxes[:, 2:] / 2
        return np.concatenate([centres - halves, centres + halves], axis=1)

    def _suppress(
        self, corners: NDArray[np.float32], scores: NDArray[np.float32], class_ids: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        order = np.argsort(-scores, kind="stable")[:MOST_CANDIDATES]
        if not len(order):
            return order
        boxes = corners[order].astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        span = np.abs(boxes).max() * 2 + 1
        boxes[:, 0] += class_ids[order] * span  # classes side by side: boxes of different ones never meet
        kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores[order].tolist(), 0.0, self._iou_threshold)
        return order[np.asarray(kept, dtype=np.int64).reshape(-1)[: self._limit]]


def _best_class(scores: Array) -> NDArray[np.int64]:
    """The class (row) with the highest score of each column; one that is not a number loses."""
    if scores.dtype.kind == "f":
        scores = np.nan_to_num(scores, nan=-1.0)
    return np.asarray(np.argmax(scores, axis=0))


def find_layout(tensor: Tensor, input_size: tuple[int, int], label_count: int) -> Layout | None:
    """How a single output [1, a, n] or [1, n, a] is arranged; None where it is no YOLO head.

    The number of anchors tells YOLOv8 and later (one at each place) from YOLOv5 (three); for strides that are not in
    STRIDES the number of labels does, and at last the longer axis is the anchors' and the head YOLOv8's.
    """
    if len(tensor.shape) != 3 or tensor.shape[0] != 1:
        return None
    width, height = input_size
    views = [(tensor.shape[1], tensor.shape[2], True), (tensor.shape[2], tensor.shape[1], False)]
    for strides in STRIDES:
        places = sum((width // stride) * (height // stride) for stride in strides)
        for attributes, anchors, last in views:
            if anchors == places and attributes > 4:
                return Layout(last, False, attributes - 4)
            if anchors == places * YOLOV5_ANCHORS and attributes > 5:
                return Layout(last, True, attributes - 5)
    attributes, anchors, last = min(views)
    if attributes < 5 or anchors < 4 * attributes:
        return None
    objectness = label_count > 0 and attributes == label_count + 5
    return Layout(last, objectness, attributes - (5 if objectness else 4))
