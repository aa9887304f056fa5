"""Settings of the way from the picture to the alert."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from edge.config.base import Fraction, Settings, check_name
from edge.config.zones import Name, Outline, check_outline


class PrivacyMask(Settings, frozen=True):
    """A part of the picture that is black in whatever is stored, streamed or shown; the detector sees it."""

    name: Annotated[Name, Meta(description="Name of the mask, for people.")]
    points: Outline

    def __post_init__(self) -> None:
        check_name(self.name)
        check_outline(self.points, f"privacy mask {self.name}")  # one that crosses itself would leave a hole


class Camera(Settings, frozen=True):
    """Where the pictures come from."""

    source: Annotated[
        str,
        Meta(
            min_length=1,
            description="`scene` (drawn, built in), a video file, a folder of pictures, `/dev/video0` or `0`, "
            "`rtsp://...`, `picamera`, or `gst:PIPELINE` (needs an OpenCV with GStreamer).",
        ),
    ] = "scene"
    width: Annotated[int, Meta(ge=64, le=7680, description="Width asked of a camera or the scene, pixels.")] = 1280
    height: Annotated[int, Meta(ge=64, le=4320, description="Height asked of a camera or the scene, pixels.")] = 720
    fps: Annotated[
        float, Meta(gt=0.0, le=240.0, description="Frames a second asked of a camera or the scene, and of pictures.")
    ] = 15.0
    loop: Annotated[bool, Meta(description="Start a file or a folder again when it ends.")] = True
    unpaced: Annotated[
        bool, Meta(description="Play files and the scene as fast as they go, every frame looked at, none dropped.")
    ] = False
    stall_s: Annotated[
        float, Meta(ge=0.5, le=60.0, description="A camera with no frame for this many seconds is said to be lost.")
    ] = 3.0
    retry_min_s: Annotated[
        float, Meta(gt=0.0, le=60.0, description="First wait before a lost camera is opened again; it doubles.")
    ] = 0.5
    retry_max_s: Annotated[float, Meta(gt=0.0, le=600.0, description="Longest wait between two attempts.")] = 15.0
    privacy_masks: Annotated[
        tuple[PrivacyMask, ...], Meta(max_length=32, description="Parts that no picture shows, one table each.")
    ] = ()

    def __post_init__(self) -> None:
        if self.retry_min_s > self.retry_max_s:
            raise ValueError(f"retry_min_s is {self.retry_min_s:g}, more than retry_max_s, {self.retry_max_s:g}")


class Detector(Settings, frozen=True):
    """The model and what runs it."""

    model: Annotated[
        str, Meta(min_length=1, description="`bundled`, a name of `preact-edge models list`, or a .tflite file.")
    ] = "bundled"
    labels: Annotated[str, Meta(description="Labels file; empty: the model's own.")] = ""
    decoder: Annotated[
        Literal["auto", "ssd", "yolo"], Meta(description="How the outputs are read; `auto` looks at them.")
    ] = "auto"
    resize: Annotated[
        Literal["auto", "letterbox", "stretch"],
        Meta(description="How a frame is fitted to the input; `auto`: letterbox for YOLO, stretch for SSD."),
    ] = "auto"
    runtime: Annotated[
        Literal["auto", "litert", "tflite-runtime"],
        Meta(description="`auto`: LiteRT (ai-edge-litert) if it is there, else tflite-runtime."),
    ] = "auto"
    num_threads: Annotated[int, Meta(ge=1, le=64, description="Threads of the CPU inference.")] = 2
    delegate: Annotated[
        str, Meta(description="Accelerator: empty for the CPU, `edgetpu`, `vx`, `armnn`, or a delegate library's path.")
    ] = ""
    delegate_options: Annotated[dict[str, str], Meta(description="Options handed to the delegate, as text.")] = {}  # noqa: RUF012 - msgspec copies it
    score_threshold: Annotated[float, Meta(gt=0.0, le=1.0, description="Detections below this score are left out.")] = (
        0.4
    )
    iou_threshold: Annotated[
        Fraction, Meta(description="Boxes of one class that overlap more than this are one object (YOLO).")
    ] = 0.5
    max_detections: Annotated[int, Meta(ge=1, le=1000, description="At most so many a frame, best first.")] = 100
