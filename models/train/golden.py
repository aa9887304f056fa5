"""Write the golden clip of the self-test and what the bundled model must see in it.

python models/train/golden.py --model models/preact_scene_320x192_int8.tflite --out models/golden
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
from evaluate import NMS_IOU, Detection, Detector
from examples import FPS

from edge.capture.scene import CLASS_NAMES, CYCLE_SECONDS, Scene, Truth

SEEDS = range(32)
WANTED = {"nobody": 4, "one": 6, "several": 6, "knife": 8}
THRESHOLD = 0.5
CLEAR = 0.08  # no score of a golden frame lies nearer to the threshold
CLEAR_IOU = 0.12  # nor does any overlap decide within this of the suppression's limit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    detector = Detector(args.model, score_threshold=THRESHOLD - CLEAR)
    clip = args.out / "golden.avi"
    write(clip, pick(detector, clip))
    seen = [detector.detect(frame) for frame in read(clip)]
    lowest = min(score for detections in seen for _, score, _ in detections)
    if len(seen) != sum(WANTED.values()) or lowest < THRESHOLD + CLEAR:
        raise SystemExit(f"{len(seen)} frames, lowest score {lowest:.3f}: no clear golden clip")
    expected = {
        "model": args.model.name,
        "model_sha256": hashlib.sha256(args.model.read_bytes()).hexdigest(),
        "score_threshold": THRESHOLD,
        "frames": [{"detections": [_entry(detection) for detection in detections]} for detections in seen],
    }
    (args.out / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    print(f"{clip}: {clip.stat().st_size} bytes, {len(seen)} frames, lowest score {lowest:.3f}")


def pick(detector: Detector, scratch: Path) -> list[np.ndarray]:
    """Frames of every kind wanted, of which the model's reading, after compression, is right and clear."""
    chosen: dict[str, list[np.ndarray]] = {kind: [] for kind in WANTED}
    drawn = candidates()
    write(scratch, [frame for frame, _ in drawn])
    for (frame, truths), stored in zip(drawn, read(scratch), strict=True):
        place = chosen[_kind(truths)]
        if len(place) < WANTED[_kind(truths)] and _clear(detector, stored, truths):
            place.append(frame)
    return [frame for kind in WANTED for frame in chosen[kind]]


def candidates() -> list[tuple[np.ndarray, tuple[Truth, ...]]]:
    """A frame of each scene in turn, over a whole cycle."""
    scenes = [Scene(seed=seed, width=640, height=360, fps=FPS) for seed in SEEDS]
    return [scene.draw(moment) for moment in range(20, int(CYCLE_SECONDS * FPS), 20) for scene in scenes]


def _kind(truths: tuple[Truth, ...]) -> str:
    if any(truth.class_name == "knife" for truth in truths):
        return "knife"
    return ("nobody", "one")[len(truths)] if len(truths) < 2 else "several"


def _clear(detector: Detector, frame: np.ndarray, truths: tuple[Truth, ...]) -> bool:
    """Whether the model finds what is there, by a margin, and whichever overlap suppresses a second box."""
    wanted = sorted(truth.class_id for truth in truths)
    readings = [detector.detect(frame, nms_iou) for nms_iou in (NMS_IOU - CLEAR_IOU, NMS_IOU, NMS_IOU + CLEAR_IOU)]
    right = all(sorted(kind for kind, _, _ in reading) == wanted for reading in readings)
    return right and all(score >= THRESHOLD + CLEAR for reading in readings for _, score, _ in reading)


def write(path: Path, frames: list[np.ndarray]) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 2.0, (640, 360))
    writer.set(cv2.VIDEOWRITER_PROP_QUALITY, 75)
    for frame in frames:
        writer.write(frame)
    writer.release()


def read(path: Path):
    clip = cv2.VideoCapture(str(path))
    while (frame := clip.read())[0]:
        yield frame[1]
    clip.release()


def _entry(detection: Detection) -> dict[str, object]:
    kind, score, box = detection
    corners = [round(value, 1) for value in (box.xmin, box.ymin, box.xmax, box.ymax)]
    return {"class_id": kind, "class_name": CLASS_NAMES[kind], "confidence": round(score, 4), "bbox": corners}


if __name__ == "__main__":
    main()
