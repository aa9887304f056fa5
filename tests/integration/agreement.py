"""A decode written apart from the product's, in plain loops, and the product's own beside it.

``python -m tests.integration.agreement RUNTIME MODEL LABELS IMAGE...`` prints one JSON object an image, so that a
second Python with another runtime can run it. Nothing of ``edge.inference`` is used by ``direct``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

THRESHOLD, OVERLAP = 0.4, 0.5


def interpreter(runtime: str, model: Path) -> Any:
    if runtime == "litert":
        from ai_edge_litert.interpreter import Interpreter
    else:
        from tflite_runtime.interpreter import Interpreter
    made = Interpreter(str(model), num_threads=2)
    made.allocate_tensors()
    return made


def direct(model: Any, image: Any) -> list[tuple[int, float, list[float]]]:
    """(class id, score, [xmin, ymin, xmax, ymax] in pixels), best first."""
    outputs = model.get_output_details()
    return direct_ssd(model, image) if len(outputs) == 4 else direct_yolo(model, image)


def direct_ssd(model: Any, image: Any) -> list[tuple[int, float, list[float]]]:
    """For outputs in the order boxes, classes, scores, count, as in the public SSD MobileNet v1."""
    given = model.get_input_details()[0]
    height, width = given["shape"][1:3]
    small = cv2.resize(image, (int(width), int(height)))
    run(model, small[:, :, ::-1])
    boxes, classes, scores, count = (model.get_tensor(each["index"])[0] for each in model.get_output_details())
    found = []
    for index in range(int(count)):
        if scores[index] < THRESHOLD:
            continue
        top, left, bottom, right = (float(value) for value in boxes[index])
        rows, columns = image.shape[:2]
        box = inside(image, left * columns, top * rows, right * columns, bottom * rows)
        found.append((int(classes[index]), float(scores[index]), box))
    return sorted(found, key=lambda each: -each[1])


def direct_yolo(model: Any, image: Any) -> list[tuple[int, float, list[float]]]:
    """For an int8 input of 0..1 and one [1, 4 + classes, n] output of 0..1."""
    side = int(model.get_input_details()[0]["shape"][1])
    height, width = image.shape[:2]
    ratio = min(side / height, side / width)
    new_width, new_height = round(width * ratio), round(height * ratio)
    extra_x, extra_y = (side - new_width) / 2, (side - new_height) / 2
    left, right = round(extra_x - 0.1), round(extra_x + 0.1)
    top, bottom = round(extra_y - 0.1), round(extra_y + 0.1)
    small = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    grey = cv2.copyMakeBorder(small, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(114, 114, 114))
    run(model, (grey[:, :, ::-1].astype(np.int16) - 128).astype(np.int8))
    output = model.get_output_details()[0]
    scale, zero_point = output["quantization"]
    rows = (model.get_tensor(output["index"])[0].astype(np.float64) - zero_point) * scale
    found = []
    for anchor in range(rows.shape[1]):
        best = int(np.argmax(rows[4:, anchor]))
        if rows[4 + best, anchor] >= THRESHOLD:
            cx, cy, w, h = rows[:4, anchor] * side
            found.append((best, float(rows[4 + best, anchor]), [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]))
    found.sort(key=lambda each: -each[1])
    kept: list[tuple[int, float, list[float]]] = []
    for each in found:
        if all(each[0] != other[0] or overlap(each[2], other[2]) <= OVERLAP for other in kept):
            kept.append(each)
    x, y = new_width / width, new_height / height
    return [
        (class_id, score, inside(image, (xmin - left) / x, (ymin - top) / y, (xmax - left) / x, (ymax - top) / y))
        for class_id, score, (xmin, ymin, xmax, ymax) in kept
    ]


def run(model: Any, picture: Any) -> None:
    model.set_tensor(model.get_input_details()[0]["index"], np.ascontiguousarray(picture)[None])
    model.invoke()


def inside(image: Any, *corners: float) -> list[float]:
    height, width = image.shape[:2]
    return [min(max(value, 0.0), limit) for value, limit in zip(corners, (width, height) * 2, strict=True)]


def overlap(a: list[float], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (both - width * height)


def compare(runtime: str, model: Path, labels: Path, images: list[Path]) -> list[dict[str, Any]]:
    """For each image what ``direct`` and what the product says, and the product's runtime."""
    from edge.config import Detector as Settings
    from edge.inference.detector import open_detector
    from edge.types import Frame, ModelSpec

    plain = interpreter(runtime, model)
    settings = Settings(runtime=runtime, score_threshold=THRESHOLD, iou_threshold=OVERLAP)
    detector = open_detector(ModelSpec(model.stem, model, labels), settings)
    said = []
    for path in images:
        image = cv2.imread(str(path))
        detections = detector.detect(Frame(1, 0.0, 0.0, image))
        boxes = [[each.box.xmin, each.box.ymin, each.box.xmax, each.box.ymax] for each in detections]
        said.append({
            "image": path.name,
            "runtime": detector.description.runtime,
            "names": [each.class_name for each in detections],
            "product": [(each.class_id, each.confidence, box) for each, box in zip(detections, boxes, strict=True)],
            "direct": direct(plain, image),
        })  # fmt: skip
    detector.close()
    return said


if __name__ == "__main__":
    for line in compare(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), [Path(each) for each in sys.argv[4:]]):
        print(json.dumps(line))
