"""The bundled model itself, read without the product's own code: its shape, its size and what it sees."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

MODELS = Path(__file__).resolve().parents[2] / "models"
MODEL = MODELS / "preact_scene_320x192_int8.tflite"
sys.path.insert(0, str(MODELS / "train"))

evaluate = pytest.importorskip("evaluate", reason="models/train is not beside these tests")


def interpreter():
    opened = evaluate.Interpreter(str(MODEL), num_threads=1)
    opened.allocate_tensors()
    return opened


def test_the_file_is_small() -> None:
    assert MODEL.stat().st_size <= 1_000_000


def test_its_labels_are_the_scenes_classes() -> None:
    labels = (MODELS / "labels" / "preact_scene.txt").read_text().split()
    assert labels == list(evaluate.CLASS_NAMES)


def test_it_is_int8_from_end_to_end() -> None:
    opened = interpreter()
    source, *other_sources = opened.get_input_details()
    answer, *other_answers = opened.get_output_details()
    assert not other_sources + other_answers
    assert (source["shape"].tolist(), source["dtype"]) == ([1, 192, 320, 3], np.int8)
    assert source["quantization"] == (pytest.approx(1 / 255), -128)
    assert (answer["shape"].tolist(), answer["dtype"]) == ([1, 6, 960], np.int8)
    assert {detail["dtype"] for detail in opened.get_tensor_details()} <= {np.int8, np.int32}


def test_it_finds_people_and_knives_in_shops_it_never_saw() -> None:
    detector = evaluate.Detector(MODEL)
    frames = [(truths, detector.detect(frame)) for frame, truths in evaluate.unseen(range(2000, 2012), 10)]
    for class_id in range(len(evaluate.CLASS_NAMES)):
        assert evaluate.average_precision(frames, class_id) >= 0.9
