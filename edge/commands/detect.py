"""``preact-edge detect``: the detector on pictures."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from edge.capture.videocapture import as_image, hush
from edge.commands import common
from edge.config import Config
from edge.errors import CaptureError, ConfigError, StateError
from edge.evidence import Masks, annotate, encode_jpeg
from edge.inference.detector import Detector, open_detector
from edge.rules.condition import crime_relevant
from edge.storage import write_atomic
from edge.types import Detection, Frame, Image


def run(args: argparse.Namespace) -> int:
    """Look at every picture; 1 when one could not be read, after all the others were done."""

    config = common.load(args)
    common.start_logging(config)
    detector = open_detector(common.resolve_model(config), config.detector)
    targets = _targets(args.images, args.annotate)
    failed = 0
    try:
        for file, target in zip(args.images, targets, strict=True):
            try:
                _look(file, target, detector, config, args.json)
            except CaptureError as error:
                print(f"preact-edge: {error}", file=sys.stderr)
                failed += 1
    finally:
        detector.close()
    return 1 if failed else 0


def _look(file: Path, target: Path | None, detector: Detector, config: Config, as_json: bool) -> None:

    image = _read(file)
    frame = Frame(1, time.time(), time.monotonic(), image)
    detections = detector.detect(frame)
    print(_as_json(file, frame, detections) if as_json else _as_text(file, frame, detections), flush=True)
    if target is not None:
        _annotate(image, detections, target, config)


def _read(file: Path) -> Image:
    hush()
    if os.path.exists(file) and not os.path.isfile(file):  # reading a named pipe would wait for its other end
        raise CaptureError(f"{file}: is no file")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CaptureError(f"{file}: cannot be read: {error.strerror}") from error

    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise CaptureError(f"{file}: is no picture that OpenCV can read")
    return as_image(image)


def _as_json(file: Path, frame: Frame, detections: tuple[Detection, ...]) -> str:
    rows = [
        {
            "class_id": found.class_id,
            "class_name": found.class_name,
            "confidence": round(found.confidence, 4),
            "bbox": [round(value, 4) for value in (found.box.xmin, found.box.ymin, found.box.xmax, found.box.ymax)],
        }
        for found in detections
    ]
    return json.dumps({"file": str(file), "width": frame.width, "height": frame.height, "detections": rows})


def _as_text(file: Path, frame: Frame, detections: tuple[Detection, ...]) -> str:
    lines = [f"{file}: {frame.width} x {frame.height}, {len(detections)} detections"]
    lines += [
        f"  {found.class_name:<16} {found.confidence:5.2f}  "
        f"{found.box.xmin:6.0f} {found.box.ymin:6.0f} {found.box.xmax:6.0f} {found.box.ymax:6.0f}"
        for found in detections
    ]
    return "\n".join(lines)


def _targets(images: list[Path], folder: Path | None) -> list[Path | None]:
    """Where each drawn copy goes: its own name, and -2, -3 ... for further pictures of the same name."""
    if folder is None:
        return [None] * len(images)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(f"{folder}: cannot be made: {error.strerror}; give another folder with --annotate") from error
    taken: set[str] = set()
    targets: list[Path | None] = []
    for image in images:
        name, number = f"{image.stem}.jpg", 1
        while name in taken:
            number += 1
            name = f"{image.stem}-{number}.jpg"
        taken.add(name)
        if (folder / name).resolve() == image.resolve():
            raise ConfigError(f"--annotate {folder}: would write over {image}; give another folder")
        targets.append(folder / name)
    return targets


def _annotate(image: Image, detections: tuple[Detection, ...], target: Path, config: Config) -> None:

    drawn = annotate(image, detections, crime_relevant(detections, config.alerts.crime_relevant))
    jpeg = encode_jpeg(Masks(config.camera.privacy_masks).fill(drawn), 90)
    try:
        write_atomic(target, jpeg)
    except OSError as error:
        raise StateError(
            f"{target}: cannot be written: {error.strerror}; give another folder with --annotate"
        ) from error
