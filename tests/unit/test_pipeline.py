"""The loop: what becomes of frames, of blindness and of quiet."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from edge.config import Alerts, Config, Device, Rule
from edge.configure import load_config
from edge.errors import EdgeError
from edge.geometry import Box
from edge.pipeline import Pipeline, View
from edge.types import Detection, Frame, Result
from edge.workers import Latest, Worker
from tests.support import wait_until

KNIFE = Detection(1, "knife", 0.9, Box(10, 10, 20, 20))
PERSON = Detection(0, "person", 0.8, Box(0, 0, 50, 90))


class Eye:
    """A detector that says the same about every frame."""

    def __init__(self, *detections: Detection) -> None:
        self.detections = detections
        self.score_threshold = 0.4
        self.class_names = {0: "person", 1: "knife"}

    def detect(self, frame: Frame) -> tuple[Detection, ...]:
        assert frame.image.shape == (9, 16, 3)
        return self.detections


class Bench:
    """A pipeline on a bench: ``results`` collects, ``view`` may be changed."""

    def __init__(self, config: Config, eye: Eye, *, degraded: str = "", max_frames: int | None = None) -> None:
        self.slot: Latest[Frame] = Latest()
        self.results: list[Result] = []
        self.view = View("ok", "", live=True)
        self.pipeline = Pipeline(
            self.slot,
            eye,
            config,
            model="test",
            degraded=degraded,
            view=lambda: self.view,
            sinks=[self.results.append],
            max_frames=max_frames,
        )
        self.worker = Worker("inference", self.pipeline.run)

    def feed(self, count: int, first: int = 1) -> None:
        for sequence in range(first, first + count):
            image = np.zeros((9, 16, 3), np.uint8)
            assert self.slot.hand(Frame(sequence, 1000.0 + sequence, time.monotonic(), image), timeout=5)


def test_a_frame_becomes_a_result_with_alerts() -> None:
    rule = Rule(name="armed", level="critical", any=("knife",), all=("person",), hold_hits=2, hold_frames=3)
    config = Config(device=Device(camera_id="door"), alerts=Alerts(crime_relevant=("knife",), rules=(rule,)))
    bench = Bench(config, Eye(KNIFE, PERSON), max_frames=3)
    bench.worker.start()
    bench.feed(3)
    assert bench.worker.join(5)
    assert [len(result.alerts) for result in bench.results] == [0, 1, 0]
    result = bench.results[1]
    assert result.crime_relevant == (True, False)
    assert result.camera_id == "door"
    assert result.frame is not None
    assert result.frame_size == (16, 9)
    assert result.status == "ok"
    assert result.alerts[0].frame_id == 2
    assert result.alerts[0].timestamp == 1002.0
    assert result.latency is not None
    assert result.latency.total == pytest.approx(result.latency.capture + result.latency.inference, abs=1)


def test_a_lost_camera_is_told_at_once_and_again(caplog: pytest.LogCaptureFixture) -> None:
    """Silence never means safety: with no frame there is a result that says why."""
    caplog.set_level("INFO")
    bench = Bench(load_config(None, {}, ["stream.heartbeat_s=0.5"]), Eye())
    bench.worker.start()
    bench.feed(1)
    wait_until(lambda: bench.results)
    bench.view = View("blind", "camera lost: unplugged", live=True)
    wait_until(lambda: len(bench.results) >= 3)
    blind = bench.results[1]
    assert (blind.status, blind.reason) == ("blind", "camera lost: unplugged")
    assert blind.frame is None
    assert blind.detections == ()
    assert blind.frame_size == (16, 9), "the last known size"
    bench.view = View("ok", "", live=True)
    bench.feed(1, first=2)
    wait_until(lambda: bench.results[-1].frame is not None and bench.results[-1].frame.sequence == 2)
    assert bench.results[-1].status == "ok"
    bench.worker.stop()
    assert bench.worker.join(5)
    assert caplog.text.count("blind: camera lost: unplugged") == 1
    assert "seeing again" in caplog.text


def test_a_camera_that_stalls_is_blind_and_a_slow_recording_is_idle() -> None:
    settings = ["stream.heartbeat_s=0.5", "camera.stall_s=0.5"]
    camera = Bench(load_config(None, {}, settings), Eye())
    recording = Bench(load_config(None, {}, settings), Eye())
    recording.view = View("ok", "", live=False)
    for bench in (camera, recording):
        bench.worker.start()
    wait_until(lambda: any(result.status == "blind" for result in camera.results) and recording.results)
    assert "no frame for more than 0.5 s" in next(r for r in camera.results if r.status == "blind").reason
    assert {(result.status, result.reason) for result in recording.results} == {("ok", "waiting for the next frame")}
    for bench in (camera, recording):
        bench.worker.stop()
        assert bench.worker.join(5)


def test_a_heartbeat_is_never_late_by_a_poll() -> None:
    """The wait for a frame ends when the heartbeat is due, not at the next look at the clock after it."""
    bench = Bench(load_config(None, {}, ["stream.heartbeat_s=0.6"]), Eye())
    waits: list[float] = []

    def take(timeout: float) -> None:
        waits.append(timeout)
        threading.Event().wait(timeout)

    bench.slot.take = take  # type: ignore[assignment,method-assign]
    bench.worker.start()
    wait_until(lambda: len(bench.results) >= 2)
    bench.worker.stop()
    assert bench.worker.join(5)
    assert min(waits) < 0.25, "cut short before a heartbeat"


def test_degraded_is_said_with_every_result() -> None:
    bench = Bench(Config(), Eye(), degraded="the edgetpu delegate was refused", max_frames=1)
    bench.worker.start()
    bench.feed(1)
    assert bench.worker.join(5)
    assert (bench.results[0].status, bench.results[0].reason) == ("degraded", "the edgetpu delegate was refused")


def test_settings_that_blind_it_are_said_with_every_result(caplog: pytest.LogCaptureFixture) -> None:
    """Silence would be taken for safety."""
    bench = Bench(load_config(None, {}, ["stream.heartbeat_s=0.5"]), Eye(), degraded="the edgetpu delegate was refused")
    bench.worker.start()
    bench.feed(1)
    wait_until(lambda: bench.results)
    assert bench.results[0].reason == "the edgetpu delegate was refused"
    assert caplog.text == ""
    rules = tuple(Rule(name=str(number), level="low", any=("unicorn",)) for number in range(4))
    bench.pipeline.apply(Config(alerts=Alerts(rules=rules)))
    bench.view = View("blind", "camera lost: unplugged", live=True)
    bench.feed(1, first=2)
    wait_until(lambda: len(bench.results) >= 3)
    assert bench.results[1].frame is not None
    assert bench.results[1].status == "degraded", "there is a frame, whatever the camera does by now"
    assert bench.results[1].reason == (
        "the edgetpu delegate was refused; no rule can fire: the model lacks their classes; "
        "rule '0' can never fire: the model knows none of 'unicorn'; and 3 more"
    )
    assert (bench.results[2].status, bench.results[2].reason) == ("blind", "camera lost: unplugged")
    assert [record.levelname for record in caplog.records].count("WARNING") == 5
    bench.pipeline.apply(Config(alerts=Alerts(rules=rules)))
    assert [record.levelname for record in caplog.records].count("WARNING") == 5, "what is known is not repeated"
    bench.worker.stop()
    assert bench.worker.join(5)


def test_what_each_result_says_has_a_bound() -> None:
    """The longest names that settings may hold, and a driver with much to say."""
    bench = Bench(load_config(None, {}, ["stream.heartbeat_s=0.5"]), Eye())
    rules = tuple(Rule(name=f"{number}" + "r" * 63, level="low", any=("x" * 128,) * 64) for number in range(8))
    bench.worker.start()
    bench.pipeline.apply(Config(alerts=Alerts(rules=rules)))
    bench.feed(1)
    wait_until(lambda: any(result.frame for result in bench.results))
    told = next(result.reason for result in bench.results if result.frame)
    assert len(told) == 300
    assert told.startswith("no rule can fire: ")
    assert told.endswith("x...; and 6 more")
    bench.view = View("blind", "camera lost: " + "y" * 1000, live=True)
    wait_until(lambda: bench.results[-1].status == "blind")
    assert bench.results[-1].reason == "camera lost: " + "y" * 284 + "..."
    bench.worker.stop()
    assert bench.worker.join(5)


def test_it_starts_degraded_with_a_config_that_can_raise_no_alert(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(load_config(None, {}, ["stream.heartbeat_s=0.5", "alerts.rules=[]"]), Eye())
    bench.worker.start()
    wait_until(lambda: bench.results)
    bench.worker.stop()
    assert bench.worker.join(5)
    assert bench.results[0].frame is None
    assert (bench.results[0].status, bench.results[0].reason) == (
        "degraded",
        "no rule can fire: alerts.rules is empty",
    )
    assert "WARNING" in caplog.text


def test_the_loop_ends_when_the_recording_ended() -> None:
    bench = Bench(Config(), Eye())
    bench.feed(1)
    bench.slot.close()
    bench.pipeline.run(threading.Event())
    assert len(bench.results) == 1, "the last frame is still looked at"


def test_a_detector_that_raises_ends_the_worker() -> None:
    class Broken(Eye):
        def detect(self, frame: Frame) -> tuple[Detection, ...]:
            raise RuntimeError(f"the interpreter is gone at frame {frame.sequence}")

    bench = Bench(Config(), Broken())
    bench.worker.start()
    bench.feed(1)
    assert bench.worker.join(5)
    assert str(bench.worker.error) == "the interpreter is gone at frame 1"
    assert bench.results == []


ARMED = Rule(name="armed", level="critical", any=("knife",), all=("person",), hold_hits=2, hold_frames=3)


def test_settings_change_between_two_frames_and_rules_that_stay_remember() -> None:
    bench = Bench(Config(alerts=Alerts(crime_relevant=("knife",), rules=(ARMED,))), Eye(KNIFE, PERSON))
    bench.worker.start()
    bench.feed(1)
    wait_until(lambda: bench.results)
    extra = Rule(name="extra", level="low", any=("knife",), hold_hits=1, hold_frames=1)
    changed = load_config(None, {}, ["detector.score_threshold=0.7", 'alerts.crime_relevant=["person"]'])
    changed = Config(detector=changed.detector, alerts=Alerts(crime_relevant=("person",), rules=(extra, ARMED)))
    bench.pipeline.apply(changed)
    bench.feed(1, first=2)
    wait_until(lambda: len(bench.results) == 2)
    bench.worker.stop()
    assert bench.worker.join(5)
    assert bench.pipeline._detector.score_threshold == 0.35, "down to half of it boxes keep what is known"
    assert [result.crime_relevant for result in bench.results] == [(True, False), (False, True)]
    assert [alert.rule for alert in bench.results[1].alerts] == ["extra", "armed"], "one hit was remembered"


def test_it_answers_while_the_camera_is_lost_and_not_after_its_end() -> None:
    bench = Bench(Config(alerts=Alerts(rules=(ARMED,))), Eye(KNIFE))
    bench.view = View("blind", "camera lost: unplugged", live=True)
    bench.worker.start()
    assert [each.reason for each in bench.pipeline.explain()] == ["no frame was looked at yet"]
    bench.feed(1)
    wait_until(lambda: bench.pipeline.newest is not None)
    (told,) = bench.pipeline.explain()
    assert (told.name, told.state, told.reason) == ("armed", "inactive", "no person")
    assert bench.pipeline.ask(lambda: threading.get_ident()) == bench.worker._thread.ident
    bench.worker.stop()
    assert bench.worker.join(5)
    with pytest.raises(EdgeError, match="the inference thread has ended"):
        bench.pipeline.explain()


def test_the_newest_result_with_a_frame_is_kept() -> None:
    bench = Bench(load_config(None, {}, ["stream.heartbeat_s=0.5"]), Eye())
    bench.worker.start()
    bench.feed(2)
    wait_until(lambda: len(bench.results) >= 3)
    bench.worker.stop()
    assert bench.worker.join(5)
    assert bench.results[-1].frame is None
    assert bench.pipeline.newest in bench.results
    assert bench.pipeline.newest is not None
    assert bench.pipeline.newest.frame is not None
