"""The detector on real pictures with real models."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.config import Detector as Settings
from edge.errors import ModelError
from edge.geometry import Box
from edge.inference.detector import open_detector
from edge.types import Frame, ModelSpec
from tests.integration.agreement import compare
from tests.support import ROOT, shared_assets

LABELS = ROOT / "models" / "labels"
MODELS = {
    "ssd_mobilenet_v1_coco_quant": ("coco_ssd_labelmap.txt", 1 / 256),
    "yolov8n_416_full_integer_quant": ("coco80_labels.txt", 0.0047),
    "yolo11n_640_full_integer_quant": ("coco80_labels.txt", 0.0041),
}


def model(name: str) -> Path:
    return shared_assets() / "models" / f"{name}.tflite"


def picture(name: str = "000000419312") -> np.ndarray:
    return cv2.imread(str(shared_assets() / "images" / f"{name}.jpg"))


def frame(image: np.ndarray, lores: np.ndarray | None = None) -> Frame:
    return Frame(1, 0.0, 0.0, image, lores)


def agrees(name: str, said: list[dict]) -> None:
    """Every detection has its equal, in order of score: class the same, IoU >= 0.98, score within a step."""
    step = MODELS[name][1]
    assert sum(len(each["direct"]) for each in said) >= 20
    for each in said:
        assert len(each["product"]) == len(each["direct"]), each["image"]
        left = list(each["direct"])
        for class_id, score, box in each["product"]:
            match = max(left, key=lambda other: (other[0] == class_id) * Box(*other[2]).iou(Box(*box)))
            left.remove(match)
            assert match[0] == class_id, each["image"]
            assert Box(*match[2]).iou(Box(*box)) >= 0.98, each["image"]
            assert abs(match[1] - score) <= step, each["image"]


@pytest.mark.parametrize("name", MODELS)
def test_it_agrees_with_a_direct_decode_on_every_picture(name):
    images = sorted((shared_assets() / "images").glob("*.jpg"))
    assert len(images) == 8
    said = compare("litert", model(name), shared_assets() / "models" / MODELS[name][0], images)
    assert said[0]["runtime"].startswith("ai-edge-litert")
    agrees(name, said)


@pytest.mark.parametrize("name", MODELS)
def test_it_agrees_with_a_direct_decode_on_tflite_runtime(name):
    images = sorted((shared_assets() / "images").glob("*.jpg"))
    python = os.environ.get("TEST_TFLITE_PYTHON", "")
    if not python:
        pytest.skip("needs TEST_TFLITE_PYTHON, a Python with tflite-runtime, numpy<2, opencv and msgspec")
    labels = shared_assets() / "models" / MODELS[name][0]
    command = [python, "-m", "tests.integration.agreement", "tflite-runtime", model(name), labels, *images]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(said) == len(images)
    assert said[0]["runtime"] == "tflite-runtime 2.14.0"
    agrees(name, said)


def test_it_sees_the_knife():
    detector = open_detector(ModelSpec("yolo11n", model("yolo11n_640_full_integer_quant")), Settings())
    seen = {each.class_name: each.confidence for each in reversed(detector.detect(frame(picture())))}
    assert seen["knife"] == pytest.approx(0.73, abs=0.05)
    assert "person" not in seen
    assert len(detector.class_names) == 80  # from inside the model file
    detector.close()


@pytest.mark.parametrize("labels", ["coco_ssd_labelmap.txt", "coco90.txt"])
def test_names_are_the_same_with_either_kind_of_labels(labels):
    folder = LABELS if labels == "coco90.txt" else shared_assets() / "models"
    detector = open_detector(ModelSpec("ssd", model("ssd_mobilenet_v1_coco_quant"), folder / labels), Settings())
    assert {each.class_name for each in detector.detect(frame(picture("000000052891")))} >= {"frisbee", "dog"}
    assert detector.description.decoder == "ssd"
    assert (detector.description.input_width, detector.description.input_height) == (300, 300)
    detector.close()


def test_a_class_without_a_name_is_told_once(tmp_path, caplog):
    labels = tmp_path / "labels.txt"
    labels.write_text("0 person\n1 bicycle\n89 toothbrush\n")
    detector = open_detector(ModelSpec("ssd", model("ssd_mobilenet_v1_coco_quant"), labels), Settings())
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            names = [each.class_name for each in detector.detect(frame(picture("000000052891")))]
    assert "class 17" in names
    assert caplog.text.count("no name for class 17") == 1
    detector.close()


def test_too_few_labels_for_an_ssd_are_refused(tmp_path):
    labels = tmp_path / "few.txt"
    labels.write_text("person\nbicycle\n")
    with pytest.raises(ModelError, match=r"few\.txt: 2 names, but the model has 90 classes"):
        open_detector(ModelSpec("ssd", model("ssd_mobilenet_v1_coco_quant"), labels), Settings())


def test_the_cameras_small_picture_gives_the_same_as_the_large_one():
    image = picture("000000038829")
    detector = open_detector(ModelSpec("yolov8n", model("yolov8n_416_full_integer_quant")), Settings())
    size = detector.lores_size(image.shape[1], image.shape[0])
    lores = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    assert detector.detect(frame(image, lores)) == detector.detect(frame(image))
    assert max(detector.lores_size(1280, 720)) == 416
    detector.close()


def test_detections_are_best_first_clipped_and_above_the_threshold():
    image = picture("000000181542")
    settings = Settings(score_threshold=0.25, max_detections=6)
    detector = open_detector(ModelSpec("yolo11n", model("yolo11n_640_full_integer_quant")), settings)
    detections = detector.detect(frame(image))
    scores = [each.confidence for each in detections]
    assert len(detections) == 6
    assert scores == sorted(scores, reverse=True)
    assert all(0.25 <= score <= 1 for score in scores)
    height, width = image.shape[:2]
    for each in detections:
        assert 0 <= each.box.xmin < each.box.xmax <= width
        assert 0 <= each.box.ymin < each.box.ymax <= height
    detector.close()


def test_frames_of_changing_sizes_are_all_looked_at():
    detector = open_detector(ModelSpec("yolo11n", model("yolo11n_640_full_integer_quant")), Settings())
    whole = picture()
    for image in (whole, cv2.resize(whole, None, fx=2, fy=2), whole[:, :-1], whole):
        box = next(each.box for each in detector.detect(frame(image)) if each.class_name == "knife")
        zoom = round(image.shape[0] / whole.shape[0])
        assert box.iou(Box(252 * zoom, 241 * zoom, 374 * zoom, 290 * zoom)) > 0.8
    for shape in ((1, 1, 3), (1, 4000, 3), (4000, 1, 3)):
        detector.detect(frame(np.zeros(shape, np.uint8)))
    detector.close()


def test_each_stage_is_timed():
    path = ROOT / "models" / "preact_scene_320x192_int8.tflite"
    detector = open_detector(ModelSpec("bundled", path, LABELS / "preact_scene.txt"), Settings())
    detector.detect(frame(np.zeros((180, 320, 3), np.uint8)))
    timings = detector.timings
    assert min(timings.preprocess_ms, timings.invoke_ms, timings.decode_ms) > 0
    detector.close()
    detector.close()


def test_a_float_model_runs(tmp_path):
    """A model that reshapes its picture to a head of 32 anchors: the pixels are the boxes."""
    path = tmp_path / "float.tflite"
    path.write_bytes(reshaping_model())
    detector = open_detector(ModelSpec("float", path, decoder="yolo"), Settings())
    rows = np.zeros((32, 6), np.uint8)  # cx, cy, w, h, two scores
    rows[5] = [51, 102, 51, 102, 26, 204]
    image = rows.reshape(8, 8, 3)[:, :, ::-1].copy()
    (seen,) = detector.detect(frame(image))
    assert (seen.class_id, seen.class_name, round(seen.confidence, 3)) == (1, "class 1", 0.8)
    corners = (seen.box.xmin, seen.box.ymin, seen.box.xmax, seen.box.ymax)
    assert corners == pytest.approx((0.8, 1.6, 2.4, 4.8), abs=1e-5)
    detector.close()


def reshaping_model() -> bytes:
    """float32 [1, 8, 8, 3] -> [1, 32, 6]."""
    flatbuffers = pytest.importorskip("flatbuffers")
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")

    def tensor(name, shape, kind, buffer):
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, shape, kind, buffer
        return made

    kinds, content, graph = schema.TensorType, schema.ModelT(), schema.SubGraphT()
    content.version, content.subgraphs = 3, [graph]
    content.buffers = [schema.BufferT(), schema.BufferT()]
    content.buffers[1].data = np.array([1, 32, 6], np.int32).view(np.uint8)
    code, operator = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RESHAPE
    content.operatorCodes = [code]
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1], [2]
    graph.tensors = [
        tensor("image", [1, 8, 8, 3], kinds.FLOAT32, 0),
        tensor("shape", [3], kinds.INT32, 1),
        tensor("head", [1, 32, 6], kinds.FLOAT32, 0),
    ]
    graph.inputs, graph.outputs, graph.operators = [0], [2], [operator]
    builder = flatbuffers.Builder(1024)
    builder.Finish(content.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
