"""The detector: a frame in, detections out."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edge.config import Detector as Settings
from edge.errors import DelegateError, ModelError
from edge.geometry import Box
from edge.inference import probe, runtime, ssd, yolo
from edge.inference.found import Decoder, Found
from edge.inference.labels import Labels, check_count, labels_in_model, read_labels
from edge.inference.preprocess import Placement, Preprocessor, Resize
from edge.inference.runtime import Engine, Job
from edge.types import Detection, Frame, ModelSpec

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Description:
    """What runs: for logs, the welcome message and health. ``degraded`` says why it is not what was asked for."""

    model: str
    runtime: str  # package and version
    delegate: str  # "cpu" where there is none
    num_threads: int
    input_width: int
    input_height: int
    decoder: str
    degraded: str = ""

    def __str__(self) -> str:
        threads = f"{self.num_threads} thread{'' if self.num_threads == 1 else 's'}"
        where = f"CPU with {threads}" if self.delegate == "cpu" else f"delegate {self.delegate}"
        return f"{self.model}, {self.input_width} x {self.input_height} {self.decoder}, {self.runtime}, {where}"


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds that the last frame took in each stage."""

    preprocess_ms: float = 0.0
    invoke_ms: float = 0.0
    decode_ms: float = 0.0


class Detector:
    """Looks at frames, one at a time; made by ``open_detector``.

    Synchronization: one owner thread; ``description``, ``timings`` and ``class_names`` may be read from any.
    """

    def __init__(
        self, engine: Engine, preprocessor: Preprocessor, decoder: Decoder, labels: Labels, description: Description
    ) -> None:
        self.description = description
        self.timings = Timings()
        self._engine = engine
        self._preprocessor = preprocessor
        self._decoder = decoder
        self._labels = labels
        self._unnamed: set[int] = set()

    @property
    def score_threshold(self) -> float:
        """Detections below this score are left out; the owner thread may set it between two frames."""
        return self._decoder.score_threshold

    @score_threshold.setter
    def score_threshold(self, value: float) -> None:
        self._decoder.score_threshold = value

    @property
    def class_names(self) -> Mapping[int, str]:
        """The names of the model's classes by their ids; empty where no labels are known."""
        return self._labels.names

    def lores_size(self, width: int, height: int) -> tuple[int, int]:
        """The size, width and height, of ``Frame.lores`` that costs least for frames of the given size."""
        return self._preprocessor.content_size(width, height)

    def detect(self, frame: Frame) -> tuple[Detection, ...]:
        """What is on the frame, best first: boxes in its pixels, clipped to it, none empty.

        Raises ModelError when the runtime fails on it, DelegateError when the accelerator does.
        """
        start = time.perf_counter()
        placement = self._preprocessor.fill(frame)
        filled = time.perf_counter()
        try:
            outputs = self._engine.run(self._preprocessor.input)
        except (RuntimeError, ValueError) as error:
            kind = ModelError if self.description.delegate == "cpu" else DelegateError
            raise kind(f"{self.description}: failed on a frame: {error}; restart preact-edge") from error
        invoked = time.perf_counter()
        detections = self._detections(self._decoder.decode(outputs), placement)
        end = time.perf_counter()
        self.timings = Timings((filled - start) * 1e3, (invoked - filled) * 1e3, (end - invoked) * 1e3)
        return detections

    def close(self) -> None:
        """Free the interpreter; idempotent."""
        self._engine.close()

    def _detections(self, found: Found, placement: Placement) -> tuple[Detection, ...]:
        boxes = placement.to_frame(found.boxes, self._preprocessor.width, self._preprocessor.height)
        rows = zip(boxes.tolist(), found.scores.tolist(), found.class_ids.tolist(), strict=True)
        return tuple(
            Detection(class_id, self._name(class_id), score, Box(*corners))
            for corners, score, class_id in rows
            if corners[2] > corners[0] and corners[3] > corners[1]
        )

    def _name(self, class_id: int) -> str:
        if self._labels.names and class_id not in self._labels.names and class_id not in self._unnamed:
            self._unnamed.add(class_id)
            logger.warning("labels %s: no name for class %d; are they this model's?", self._labels.source, class_id)
        return self._labels.name(class_id)


def open_detector(spec: ModelSpec, settings: Settings, *, probe_limit_s: float = probe.LIMIT_S) -> Detector:
    """Open the model as the settings say.

    A delegate is first tried in a child process, for at most ``probe_limit_s`` seconds. Where it cannot be used, that
    is logged as an error, the CPU runs the model's CPU twin or the model itself, and the description says so in
    ``degraded``. Raises ModelError for a model, labels or outputs that cannot be used, RuntimeMissing without a
    runtime.
    """
    runtime.check_file(spec.path)
    job = Job(
        str(spec.path),
        runtime.choose_runtime(settings.runtime),
        settings.num_threads,
        settings.delegate,
        settings.delegate_options,
    )
    if not job.delegate:
        return _assemble(spec, settings, _open(job, probe_limit_s))
    try:
        engine = _open(job, probe_limit_s)
    except DelegateError as error:
        refused = str(error)
    else:
        return _assemble(spec, settings, engine, _idle_accelerator(spec, job))
    spec = spec.cpu_twin or spec
    logger.error("%s; running %s on the CPU instead, slower", refused, spec.name)
    cpu = replace(job, model=str(spec.path), delegate="", delegate_options={})
    try:
        return _assemble(spec, settings, _open(cpu, probe_limit_s), degraded=refused)
    except ModelError as error:
        raise ModelError(f"{error}; and the accelerator failed: {refused}") from error


def _idle_accelerator(spec: ModelSpec, job: Job) -> str:
    """Why the accelerator has nothing to do, logged as an error; "" where it has."""
    if job.delegate != "edgetpu" or runtime.compiled_for_edge_tpu(spec.path):
        return ""
    reason = (
        f"model {spec.name}: is not compiled for the Edge TPU, so the CPU does all the work; take an _edgetpu model"
    )
    logger.error(reason)
    return reason


def _open(job: Job, probe_limit_s: float) -> Engine:
    if job.delegate or job.runtime == "tflite-runtime":
        runtime.check_file(Path(job.model))
        probe.try_out(job, probe_limit_s)
    return Engine(job)


def _assemble(spec: ModelSpec, settings: Settings, engine: Engine, degraded: str = "") -> Detector:
    labels = read_labels(spec.labels) if spec.labels else labels_in_model(spec.path)
    if len(engine.inputs) != 1:
        raise ModelError(f"model {spec.name}: has {len(engine.inputs)} inputs; a detector has one")
    decoder_name = _decoder_name(spec, settings, engine)
    try:
        preprocessor = Preprocessor(engine.inputs[0], _resize(spec, settings, decoder_name), decoder_name)
    except ModelError as error:
        raise ModelError(f"model {spec.name}: {error}; give an object detection model") from error
    decoder = _decoder(spec, settings, engine, decoder_name, labels, (preprocessor.width, preprocessor.height))
    job = engine.job
    description = Description(
        model=spec.name,
        runtime=f"{runtime.PACKAGES[job.runtime]} {runtime.version(job.runtime)}",
        delegate=job.delegate or "cpu",
        num_threads=job.num_threads,
        input_width=preprocessor.width,
        input_height=preprocessor.height,
        decoder=decoder_name,
        degraded=degraded,
    )
    return Detector(engine, preprocessor, decoder, labels, description)


def _decoder_name(spec: ModelSpec, settings: Settings, engine: Engine) -> str:
    if settings.decoder != "auto":
        return settings.decoder
    return spec.decoder or ("ssd" if ssd.find_places(engine.outputs) else "yolo")


def _resize(spec: ModelSpec, settings: Settings, decoder_name: str) -> Resize:
    if settings.resize != "auto":
        return settings.resize
    return spec.resize or ("letterbox" if decoder_name == "yolo" else "stretch")


def _decoder(
    spec: ModelSpec, settings: Settings, engine: Engine, name: str, labels: Labels, input_size: tuple[int, int]
) -> Decoder:
    outputs = engine.outputs
    if name == "ssd" and (places := ssd.find_places(outputs)):
        check_count(labels, ssd.class_count(engine.tensor_shapes()) or 0)
        return ssd.SsdDecoder(outputs, places, settings.score_threshold, settings.max_detections)
    layout = yolo.find_layout(outputs[0], input_size, labels.count) if len(outputs) == 1 else None
    if name == "ssd" or layout is None:
        shapes = ", ".join(str(output) for output in outputs)
        raise ModelError(
            f"model {spec.name}: its outputs ({shapes}) are no {name} detector's; supported are "
            "TFLite_Detection_PostProcess and YOLOv5/v8/11 heads exported without NMS"
        )
    check_count(labels, layout.class_count)
    if labels.count > layout.class_count:
        logger.warning(
            "labels %s: %d names for the model's %d classes; are they this model's?",
            labels.source, labels.count, layout.class_count,
        )  # fmt: skip
    return yolo.YoloDecoder(
        outputs[0],
        layout,
        input_size,
        score_threshold=settings.score_threshold,
        iou_threshold=settings.iou_threshold,
        limit=settings.max_detections,
    )
