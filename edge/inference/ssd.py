"""The four outputs of TFLite_Detection_PostProcess: SSD MobileNet, MobileDet, EfficientDet-Lite."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edge.inference.found import NOTHING, Found, sane
from edge.inference.tensors import Array, Tensor

_MOST_CLASSES = 1 << 20  # a class id beyond this is garbage


class Places(NamedTuple):
    """Where each of the four stands among the outputs; ``number`` is the count of boxes."""

    boxes: int
    classes: int
    scores: int
    number: int


class SsdDecoder:
    """Boxes [1, n, 4] as ymin, xmin, ymax, xmax in 0..1 of the input, classes [1, n], scores [1, n], count [1].

    Overlapping boxes are already gone: the operator suppresses them. Never raises; a value that is no number is left
    out.
    """

    def __init__(self, tensors: Sequence[Tensor], places: Places, threshold: float, limit: int) -> None:
        self._tensors = tensors
        self._places = places
        self.score_threshold = threshold
        self._limit = limit

    def decode(self, outputs: Sequence[Array]) -> Found:
        boxes, classes, scores, number = (self._tensors[place].real(outputs[place]) for place in self._places)
        boxes, classes, scores = boxes.reshape(-1, 4), classes.reshape(-1), scores.reshape(-1)
        valid = scores >= self.score_threshold
        valid &= sane(scores, boxes) & (classes >= 0) & (classes < _MOST_CLASSES)
        if number.reshape(-1)[0] < len(valid):  # not so when it is a NaN: then the scores alone decide
            valid[int(max(0, number.reshape(-1)[0])) :] = False
        kept = np.flatnonzero(valid)
        if not len(kept):
            return NOTHING
        kept = kept[np.argsort(-scores[kept], kind="stable")][: self._limit]
        corners = boxes[kept][:, [1, 0, 3, 2]]
        return Found(corners, np.minimum(scores[kept], 1), np.rint(classes[kept]).astype(np.int64))


def find_places(tensors: Sequence[Tensor]) -> Places | None:
    """Tell the four outputs apart by shape and name; None where they are not those of the operator.

    Boxes are the [1, n, 4], the count has one element, and the other two are [1, n] each. Exporters number the names
    one way or the reverse, and list them in any order; without numbers, boxes first means boxes, classes, scores,
    count, else it is scores, boxes, count, classes:

        TFLite_Detection_PostProcess, :1, :2, :3    boxes, classes, scores, count
        StatefulPartitionedCall:0 to :3             count, scores, classes, boxes
        Identity, Identity_1, _2, _3                boxes, classes, scores, count
    """
    if len(tensors) != 4:
        return None
    boxes = [index for index, each in enumerate(tensors) if len(each.shape) == 3 and each.shape[2] == 4]
    counts = [index for index, each in enumerate(tensors) if len(each.shape) < 2 and each.size == 1]
    rows = [index for index, each in enumerate(tensors) if len(each.shape) == 2]
    if len(boxes) != 1 or len(counts) != 1 or len(rows) != 2:
        return None
    if any(tensors[row].shape[1] != tensors[boxes[0]].shape[1] for row in rows):
        return None
    classes, scores = _classes_and_scores(tensors, boxes[0], counts[0], rows)
    return Places(boxes[0], classes, scores, counts[0])


def class_count(shapes: Sequence[tuple[int, ...]]) -> int | None:
    """At least how many classes the model has, from the shapes of all its tensors; None where they do not tell.

    Anchors are [n, 4] and their class scores [1, n, c]; one of the c may be the background.
    """
    anchors = {shape[0] for shape in shapes if len(shape) == 2 and shape[1] == 4}
    scores = [shape[2] for shape in shapes if len(shape) == 3 and shape[0] == 1 and shape[1] in anchors]
    return max(scores) - 1 if scores and max(scores) > 4 else None


def _classes_and_scores(tensors: Sequence[Tensor], boxes: int, count: int, rows: list[int]) -> tuple[int, int]:
    for classes, scores in (rows, rows[::-1]):
        if "class" in tensors[classes].name.lower() or "score" in tensors[scores].name.lower():
            return classes, scores
    numbers = [_number(tensor.name) for tensor in tensors]
    forward = numbers[boxes] < numbers[count]
    if len(set(numbers)) < len(numbers):  # names say nothing: go by position
        numbers, forward = list(range(len(tensors))), boxes == 0
    first, second = sorted(rows, key=lambda row: numbers[row])
    return (first, second) if forward else (second, first)


def _number(name: str) -> int:
    """The number at the end of ``name:2`` or ``name_2``; none is 0."""
    match = re.search(r"[:_](\d+)$", name)
    return int(match[1]) if match else 0
