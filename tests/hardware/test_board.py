"""What only a board can show: ``deploy/test tests/hardware``. Each test is skipped where its part is missing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from edge.capture.source import open_source
from edge.config import Camera, Gpio, Pattern, Patterns
from edge.gpio.panel import open_panel
from edge.gpio.pins import without_pins
from tests.support import wait_until

pytestmark = pytest.mark.hardware


@pytest.mark.skipif(not Path("/dev/video0").exists(), reason="needs a camera at /dev/video0")
def test_a_v4l2_camera_gives_frames() -> None:
    source = open_source(Camera(source="/dev/video0", width=640, height=480))
    source.start()
    try:
        images = [source.read().image for _ in range(10)]
    finally:
        source.close()
    assert all(image.shape[2] == 3 for image in images)
    assert images[-1].any(), "not black"


@pytest.mark.skipif(importlib.util.find_spec("picamera2") is None, reason="needs picamera2")
def test_the_csi_camera_gives_main_and_lores() -> None:
    source = open_source(Camera(source="picamera"), lambda width, height: (width // 4, height // 4))
    source.start()
    try:
        taken = source.read()
    finally:
        source.close()
    assert taken.image.shape == (720, 1280, 3)
    assert taken.lores is not None
    assert taken.lores.shape == (180, 320, 3)


@pytest.mark.skipif(without_pins("auto") != "", reason="needs a Raspberry Pi")
def test_the_buzzer_beeps_once() -> None:
    panel = open_panel(Gpio(required=True, patterns=Patterns(low=Pattern(on_s=0.1, repeats=1))))
    try:
        buzzer = panel.buzzer
        assert buzzer is not None
        buzzer.start()
        assert not buzzer.sound("low")
        wait_until(lambda: buzzer.state.soundings == 1 and not buzzer.state.sounding)
    finally:
        panel.close()
