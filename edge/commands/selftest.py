"""``preact-edge selftest``: the bundled clip through the real detector, against the boxes it must find."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from edge.capture.files import VideoFile
from edge.catalog import models_root
from edge.commands import common
from edge.config import Camera
from edge.errors import ModelError
from edge.geometry import Box
from edge.inference.detector import Detector, Timings, open_detector
from edge.types import Detection, Frame

IOU = 0.85  # runtimes and delegates round differently: a box may differ by so much
SCORE = 0.08  # and a score by so much


def run(args: argparse.Namespace) -> int:
    """Print the time of each stage and the verdict; 1 when a box is missing, wrong or too many."""

    args.overrides += ["detector.model=bundled", "detector.labels="]
    config = common.load(args)
    common.start_logging(config)
    folder = models_root() / "golden"
    expected = msgspec.json.decode((folder / "expected.json").read_bytes())
    settings = msgspec.structs.replace(config.detector, score_threshold=expected["score_threshold"], iou_threshold=0.5)
    detector = open_detector(common.resolve_model(config), settings)
    try:
        print(f"detector {detector.description}")
        problems = _compare(detector, folder / "golden.avi", expected["frames"])
        degraded = detector.description.degraded
    finally:
        detector.close()
    for problem in problems + ([degraded] if degraded else []):
        print(f"problem  {problem}", file=sys.stderr)
    print(f"selftest {'failed' if problems or degraded else 'passed'}")
    return 1 if problems or degraded else 0


def _compare(detector: Detector, clip: Path, expected: list[dict[str, Any]]) -> list[str]:
    """Every difference between what is found in the clip and what must be, in words."""
    frames = _read(clip, len(expected))
    problems: list[str] = []
    timings: list[Timings] = []
    started = time.perf_counter()
    for frame, truth in zip(frames, expected, strict=True):
        found = detector.detect(frame)
        timings.append(detector.timings)
        problems += [f"frame {frame.sequence}: {text}" for text in differences(found, truth["detections"])]
    total = (time.perf_counter() - started) * 1e3 / len(frames)
    objects = sum(len(truth["detections"]) for truth in expected)
    print(f"clip     {len(frames)} frames, {objects} objects to be found")
    print(
        f"median   preprocess {median(each.preprocess_ms for each in timings):.2f} ms, "
        f"invoke {median(each.invoke_ms for each in timings):.2f} ms, "
        f"decode {median(each.decode_ms for each in timings):.2f} ms; mean in all {total:.2f} ms a frame"
    )
    return problems


def differences(found: Sequence[Detection], truth: Sequence[dict[str, Any]]) -> list[str]:
    """Match each expected object with the best box of its class; tolerances are IOU and SCORE."""
    left = list(found)
    texts = []
    for wanted in truth:
        match = _best(left, wanted)
        if match is None:
            texts.append(f"{wanted['class_name']} at {[round(v) for v in wanted['bbox']]} was not found")
            continue
        left.remove(match)
        if abs(match.confidence - wanted["confidence"]) > SCORE:
            texts.append(f"{wanted['class_name']} scores {match.confidence:.2f} instead of {wanted['confidence']:.2f}")
    texts += [f"{extra.class_name} ({extra.confidence:.2f}) was found where nothing is" for extra in left]
    return texts


def _best(found: Sequence[Detection], wanted: dict[str, Any]) -> Detection | None:
    box = Box(*wanted["bbox"])
    same = [each for each in found if each.class_id == wanted["class_id"] and each.box.iou(box) >= IOU]
    return max(same, key=lambda each: each.box.iou(box), default=None)


def _read(clip: Path, count: int) -> list[Frame]:

    source = VideoFile(clip, Camera(loop=False))
    source.start()
    try:
        frames = [Frame(index + 1, time.time(), time.monotonic(), source.read().image) for index in range(count)]
    except OSError as error:
        raise ModelError(f"{clip}: is not the clip that expected.json describes: {error}") from error
    finally:
        source.close()
    return frames
