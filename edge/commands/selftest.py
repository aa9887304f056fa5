"""``preact-edge selftest``: the bundled clip through the real detector against the boxes that it must find, and how
fast this device looks at frames, with the bundled model and with its own."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import msgspec
import numpy as np

from edge.capture.files import VideoFile
from edge.catalog import Catalog, models_root
from edge.commands import common
from edge.config import Camera, Config
from edge.config import Detector as Settings
from edge.errors import EdgeError, ModelError
from edge.geometry import Box
from edge.inference.detector import Detector, Timings, open_detector
from edge.inference.runtime import compiled_for_edge_tpu
from edge.storage import models_dir
from edge.text import printable
from edge.types import Detection, Frame, ModelSpec

IOU = 0.85  # runtimes and delegates round differently: a box may differ by so much
SCORE = 0.08  # and a score by so much
BLANK_FRAMES = 20  # looked at for the speed of the device's own model ...
LEAST_S = 2.0  # ... for at least this long ...
MOST_S = 10.0  # ... and with a slow model no longer

Say: TypeAlias = Callable[[str], None]


@dataclass
class Report:
    """What was found, as ``--json`` prints it; ``fps`` is frames a second, from the median of each part.

    ``degraded`` says why the accelerator of the settings is not used: perhaps another program has it now.
    """

    problems: list[str] = field(default_factory=list)
    runtime: str = ""
    model: str = ""
    delegate: str = ""
    degraded: str = ""
    boxes: dict[str, int] = field(default_factory=dict)
    fps: dict[str, float] = field(default_factory=dict)

    def judge(self, least_fps: float | None) -> None:
        """Slower than ``least_fps`` frames a second is a problem, too."""
        names = {"golden": "the bundled clip", "model": f"model {self.model}"}
        for part, fps in self.fps.items():
            if least_fps is not None and fps < least_fps:
                self.problems.append(
                    f"{names[part]}: {fps:g} frames a second, fewer than the {least_fps:g} of --min-fps; "
                    "take a smaller model, or ask for less"
                )


def run(args: argparse.Namespace) -> int:
    """Say what is done, and the verdict; 1 when a box is missing, wrong or too many, or it is too slow."""
    config = common.load(args)
    common.start_logging(config)
    report, say = Report(), _mute if args.json else partial(print, flush=True)
    for part in (_golden, _blank):
        try:
            part(config, report, say)
        except EdgeError as error:
            report.problems.append(str(error))
    report.judge(args.min_fps)
    report.problems = list(dict.fromkeys(report.problems))  # an accelerator fails both parts in the same words
    if args.json:
        told = {"ok": not report.problems} | msgspec.to_builtins(report)
        sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
        return 1 if report.problems else 0
    for problem in report.problems:
        print(f"problem  {printable(problem)}", file=sys.stderr)
    say(f"selftest {'failed' if report.problems else 'passed'}")
    return 1 if report.problems else 0


def _mute(_: str) -> None:
    """Stdout is for the JSON alone."""


def _golden(config: Config, report: Report, say: Say) -> None:
    """The bundled model on the bundled clip: boxes, and the time of each stage."""
    spec = Catalog.load().resolve("bundled", "", models_dir(config))
    folder = models_root() / "golden"
    expected = msgspec.json.decode((folder / "expected.json").read_bytes())
    detector = open_detector(spec, _for_bundled(config.detector, spec, expected["score_threshold"]))
    try:
        say(f"detector {detector.description}")
        report.runtime = detector.description.runtime
        _note_degraded(detector, report)
        _compare(detector, _read(folder / "golden.avi", len(expected["frames"])), expected["frames"], report, say)
    finally:
        detector.close()


def _for_bundled(device: Settings, spec: ModelSpec, score_threshold: float) -> Settings:
    """What runs it is the device's, how it is read is not. It is no model for an Edge TPU: there the CPU runs it."""
    idle = device.delegate == "edgetpu" and not compiled_for_edge_tpu(spec.path)
    return Settings(
        runtime=device.runtime,
        num_threads=device.num_threads,
        delegate="" if idle else device.delegate,
        delegate_options={} if idle else device.delegate_options,
        score_threshold=score_threshold,
        iou_threshold=0.5,
    )


def _open_own(config: Config, report: Report) -> Detector:
    spec = common.resolve_model(config)
    try:
        return open_detector(spec, config.detector)
    except EdgeError as error:
        report.degraded = str(error) if config.detector.delegate else ""
        raise


def _note_degraded(detector: Detector, report: Report) -> None:
    if detector.description.degraded:
        report.degraded = detector.description.degraded
        report.problems.append(report.degraded)


def _compare(detector: Detector, frames: list[Frame], expected: list[dict[str, Any]], report: Report, say: Say) -> None:
    """Note every difference between what is found in the clip and what must be, in words."""
    timings: list[Timings] = []
    problems: list[str] = []
    for frame, truth in zip(frames, expected, strict=True):
        found = detector.detect(frame)
        timings.append(detector.timings)
        problems += [f"frame {frame.sequence}: {text}" for text in differences(found, truth["detections"])]
    objects = sum(len(truth["detections"]) for truth in expected)
    report.problems += problems
    report.boxes = {"frames": len(frames), "objects": objects, "wrong": len(problems)}
    report.fps["golden"] = _rate([_total(each) for each in timings[1:]])  # the first one warms up
    say(f"clip     {len(frames)} frames, {objects} objects to be found, {len(problems)} differences")
    say(
        f"median   preprocess {median(each.preprocess_ms for each in timings):.2f} ms, "
        f"invoke {median(each.invoke_ms for each in timings):.2f} ms, "
        f"decode {median(each.decode_ms for each in timings):.2f} ms; {report.fps['golden']:g} frames a second"
    )


def _blank(config: Config, report: Report, say: Say) -> None:
    """The device's own model on black frames of its camera's size."""
    detector = _open_own(config, report)
    try:
        about = detector.description
        report.runtime, report.model, report.delegate = about.runtime, about.model, about.delegate
        _note_degraded(detector, report)
        height, width = config.camera.height, config.camera.width
        say(f"model    {about}, on blank frames of {width} x {height}")
        report.fps["model"] = _pace(detector, Frame(1, 0.0, 0.0, np.zeros((height, width, 3), np.uint8)))
        say(f"speed    {report.fps['model']:g} frames a second")
    finally:
        detector.close()


def _pace(detector: Detector, frame: Frame) -> float:
    """Frames a second of the detector alone."""
    detector.detect(frame)  # the first one warms up
    times: list[float] = []
    began = time.monotonic()
    while not times or (spent := time.monotonic() - began) < LEAST_S or (len(times) < BLANK_FRAMES and spent < MOST_S):
        detector.detect(frame)
        times.append(_total(detector.timings))
    return _rate(times)


def _total(timings: Timings) -> float:
    return timings.preprocess_ms + timings.invoke_ms + timings.decode_ms


def _rate(times_ms: Sequence[float]) -> float:
    return round(1e3 / median(times_ms), 2)


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
        return [Frame(index + 1, time.time(), time.monotonic(), source.read().image) for index in range(count)]
    except OSError as error:
        raise ModelError(f"{clip}: is not the clip that expected.json describes: {error}") from error
    finally:
        source.close()
