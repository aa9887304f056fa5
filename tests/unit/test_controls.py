"""The commands, on a whole device but for its sockets: scene, loop, rules, pictures and buzzer are the real ones."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import msgspec
import numpy as np
import pytest
from gpiozero.pins.mock import MockFactory

from edge import __version__
from edge.capture.camera import CaptureLoop
from edge.capture.source import Picture
from edge.config import Config
from edge.configure import load_config
from edge.controls.controls import MAX_PICTURE, Controls
from edge.controls.settings import FILE, kept_settings
from edge.errors import CaptureError, ConfigError, EdgeError
from edge.evidence import EvidenceRecorder, EvidenceStore, Masks, VideoEncoder
from edge.geometry import Box
from edge.gpio.buzzer import Buzzer
from edge.health.board import HealthBoard
from edge.health.tally import Tally
from edge.outbox.reports import OutboxCounters
from edge.pipeline import Pipeline, View
from edge.types import Alert, Detection, Frame, StoredAlert, StreamBounds
from edge.wire.framing import MAX_JSON
from edge.wire.messages import Identity
from edge.wire.replies import command_done
from edge.workers import Latest, Worker
from tests.support import wait_until

KNIFE, PERSON = (Detection(n, name, 0.9, Box(0, 0, 9, 9)) for n, name in enumerate(("knife", "person")))
KEPT = {"consumers": {"backend": 3}, "waiting": 1, "given_up": 2, "unread": 3}
SETTINGS = ["camera.width=320", "camera.height=180", "camera.retry_min_s=0.01", "alerts.crime_relevant=['knife']"]


class Eye:
    """A detector that says the same about every frame."""

    score_threshold = 0.4
    class_names = {0: "knife", 1: "person"}  # noqa: RUF012 - nobody writes to it
    seen: tuple[Detection, ...] = (PERSON,)

    def detect(self, frame: Frame) -> tuple[Detection, ...]:
        assert frame.image.any()
        return self.seen


class Camera:
    """A live camera with noisy pictures; ``fault`` is what reading raises."""

    name = "rtsp://10.0.0.9:554"
    live = True
    fps = 30.0
    reopens = None

    def __init__(self, width: int = 320, height: int = 180) -> None:
        self.starts = 0
        self.fault: CaptureError | None = None
        self._image = np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)

    def start(self) -> None:
        self.starts += 1

    def read(self) -> Picture:
        time.sleep(0.005)
        if self.fault is not None:
            raise self.fault
        return Picture(self._image)

    def close(self) -> None:
        pass


class Archive:
    """Stored alerts 1 to ``count``; those before ``oldest`` are gone."""

    def __init__(self, count: int = 0, oldest: int = 1, words: int = 1) -> None:
        self.bounds: StreamBounds | None = StreamBounds("s", oldest, count + 1)
        self._words = words

    def counters(self) -> OutboxCounters:
        return OutboxCounters(1, 2, 3)

    def consumers(self) -> dict[str, int]:
        return {"backend": 3}

    def read(self, after: int, limit: int) -> Sequence[StoredAlert]:
        assert self.bounds is not None
        first = max(after + 1, self.bounds.oldest_seq)
        return [StoredAlert("s", n, self._alert(n)) for n in range(first, self.bounds.next_seq)][:limit]

    def _alert(self, seq: int) -> Alert:
        names = ("knife",) * self._words
        return Alert(f"alert_{seq}", 1000.0 + seq, "main", "r", "high", 0.9, names, (1, 2), 1, seq, f"uid-{seq}")


class Device:
    """Everything that commands reach, running."""

    def __init__(self, folder: Path, config: Config, source: Camera, archive: Archive, *, buzzer: bool = True) -> None:
        self.eye, self.source, self.archive = Eye(), source, archive
        self.settings = kept_settings(config, folder)
        slot: Latest[Frame] = Latest()
        self.capture = CaptureLoop(source, config.camera, slot)
        self.tally, self.board = Tally(), HealthBoard()
        self.encoder = VideoEncoder(config.video, frozenset, lambda _: None, Masks())
        self.evidence = EvidenceRecorder(
            config.evidence,
            EvidenceStore(folder / "evidence", config.evidence, now=lambda: 0.0),
            Masks(config.camera.privacy_masks),
            rules=lambda: self.settings.config.alerts.rules,
            on_state=lambda state, reason: self.board.set("evidence", state, reason),
        )
        self.pipeline = Pipeline(
            slot,
            self.eye,
            config,
            model="test",
            degraded="",
            view=self.view,
            sinks=[self.tally.observe, self.board.observe, self.encoder.submit, self.evidence.observe],
        )
        self.buzzer = Buzzer(config.gpio, pin_factory=MockFactory()) if buzzer else None
        self.now = 2000.0
        self.controls = Controls(
            identity=Identity("edge-1", "main"),
            settings=self.settings,
            tally=self.tally,
            board=self.board,
            pipeline=self.pipeline,
            capture=self.capture,
            encoder=self.encoder,
            masks=Masks(config.camera.privacy_masks),
            evidence=self.evidence,
            buzzer=self.buzzer,
            outbox=archive,
            clients=lambda: 2,
            model="test",
            class_names=("knife", "person"),
            clock=lambda: self.now,
        )
        self.workers = [
            Worker("inference", self.pipeline.run),
            Worker("capture", self.capture.run),
            Worker("keeper", self.evidence.run),
        ]

    def view(self) -> View:
        state = self.capture.state
        lost = state.phase == "lost" or (state.phase == "opening" and state.losses > 0)
        return View("blind", f"camera lost: {state.reason}", True) if lost else View("ok", "", True)

    def start(self) -> Device:
        if self.buzzer is not None:
            self.buzzer.start()
        for worker in self.workers:
            worker.start()
        wait_until(lambda: self.tally.figures().frames >= 2)
        return self

    def close(self) -> None:
        for worker in self.workers:
            worker.stop()
        for worker in self.workers:
            assert worker.join(10)
        if self.buzzer is not None:
            self.buzzer.close()

    def do(self, command: str, **args: Any) -> dict[str, Any]:
        """What a client would get: the answer after a way through JSON."""
        message = command_done("1", self.controls.handlers[command](args))
        assert len(message) <= MAX_JSON
        result: dict[str, Any] = msgspec.json.decode(message)["result"]
        return result

    def refused(self, command: str, kind: type[EdgeError] = EdgeError, **args: Any) -> str:
        with pytest.raises(kind) as caught:
            self.controls.handlers[command](args)
        assert isinstance(caught.value, ConfigError) == (kind is ConfigError), "a ConfigError blames the arguments"
        assert "\n" not in str(caught.value)
        return str(caught.value)


Build: TypeAlias = Callable[..., Device]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """Makes devices, not yet started, and closes them in the end."""
    made: list[Device] = []

    def make(*overrides: str, source: Camera | None = None, archive: Archive | None = None, **parts: Any) -> Device:
        config = load_config(None, {}, [*SETTINGS, *overrides])
        made.append(Device(tmp_path, config, source or Camera(), archive or Archive(), **parts))
        return made[-1]

    yield make
    for device in made:
        device.close()


@pytest.fixture
def device(build: Build) -> Device:
    return build().start()


def test_every_command_refuses_arguments_that_it_does_not_know(device: Device) -> None:
    assert len(device.controls.handlers) == 9
    for command in device.controls.handlers:
        assert "colour" in device.refused(command, ConfigError, colour="red"), command


@pytest.mark.parametrize(
    ("command", "args", "words"),
    [
        ("snapshot", {"quality": 5}, "quality: expected int >= 10"),
        ("snapshot", {"annotated": "yes"}, "annotated: expected bool | null, got str"),
        ("snapshot", {"clip": True}, "clip needs alert"),
        ("snapshot", {"alert": "a", "offset": 5}, "offset needs clip"),
        ("snapshot", {"alert": "a", "clip": True, "offset": -1}, "offset: expected int >= 0"),
        ("snapshot", {"alert": "a" * 65}, "alert: expected str of length <= 64"),
        ("snapshot", {"alert": "a", "quality": 50}, "annotated, quality and max_width are for a picture of now"),
        ("get_alerts", {"limit": 501}, "limit: expected int <= 500"),
        ("get_alerts", {"after": -1}, "after: expected int >= 0"),
        ("buzzer", {}, "give exactly one of on (a level), off (true), acknowledge (true), silence_s and test (true)"),
        ("buzzer", {"off": False}, "give exactly one of"),
        ("buzzer", {"on": "high", "test": True}, "give exactly one of"),
        ("buzzer", {"on": "loud"}, "on: "),
        ("buzzer", {"silence_s": 86401}, "silence_s: expected float <= 86400.0"),
        ("set_config", {}, "object missing required field values"),
        ("set_config", {"values": {}}, "values: expected object of length >= 1"),
    ],
)
def test_wrong_arguments_are_named(device: Device, command: str, args: dict[str, Any], words: str) -> None:
    assert device.refused(command, ConfigError, **args).startswith(words)


def test_status(device: Device) -> None:
    status = device.do("get_status")
    names = ("device_id", "camera_id", "version", "status", "model", "clients")
    assert [status[name] for name in names] == ["edge-1", "main", __version__, "ok", "test", 2]
    assert status["frames"] >= 2
    assert status["frames_per_s"] > 0
    assert status["source"] == "rtsp://10.0.0.9:554"
    assert status["health"]["camera"] == {"state": "ok", "reason": ""}
    assert status["outbox"] == {"stream": "s", "oldest_seq": 1, "next_seq": 1, **KEPT}
    assert status["buzzer"] == {"sounding": False, "level": None, "silenced_s": 0.0}


def test_status_without_buzzer_and_with_a_closed_outbox(build: Build) -> None:
    device = build(buzzer=False)
    device.archive.bounds = None
    status = device.do("get_status")
    assert status["buzzer"] is None
    assert status["outbox"] == KEPT
    assert "there is no buzzer" in device.refused("buzzer", test=True)


def test_config_shows_no_login_and_what_can_be_changed(build: Build) -> None:
    for secret in ("rtsp://user:geheim@10.0.0.9:554/live", "gst:rtspsrc location=rtsp://user:geheim@h ! appsink"):
        device = build(f"camera.source={secret}", "security.private_key=/etc/key.pem")
        answer = device.do("get_config")
        assert "geheim" not in str(answer)
        assert answer["config"]["camera"]["source"] == "rtsp://10.0.0.9:554"
        assert answer["config"]["security"]["private_key"] == "/etc/key.pem"
        assert answer["changed"] == {}
        assert "alerts.rules" in answer["changeable"]
    assert build("camera.source=0").do("get_config")["config"]["camera"]["source"] == "0"


def test_settings_change_the_running_device_and_reset_brings_them_back(device: Device) -> None:
    device.eye.seen = (KNIFE, PERSON)
    rule = {"name": "any knife", "level": "low", "any": ["knife", "unicorn"], "hold_hits": 1, "hold_frames": 1}
    unknown = {"name": "horn", "level": "low", "any": ["unicorn"]}
    values = {
        "detector.score_threshold": 0.8,
        "alerts.rules": [rule, unknown],
        "alerts.crime_relevant": ["person"],
        "video.max_fps": 2,
        "video.quality": 33,
    }
    answer = device.do("set_config", values=values)
    assert answer["changed"]["video.quality"] == 33
    assert answer["warnings"] == ["rule 'horn' can never fire: the model knows none of 'unicorn'"]
    assert device.eye.score_threshold == 0.4, "half of it: doubtful boxes keep what is known"
    assert device.encoder.settings.quality == 33
    wait_until(lambda: "any knife" in [alert.rule for alert in device.tally.figures().last_alerts])
    newest = device.pipeline.newest
    assert newest is not None
    assert newest.crime_relevant == (False, True)
    assert set(device.do("get_config")["changed"]) == set(values)
    assert device.do("reset_config") == {}
    assert device.eye.score_threshold == 0.2
    assert device.encoder.settings.quality == 80
    assert [each["name"] for each in device.do("explain")["rules"]] == ["armed person", "weapon", "possible weapon"]
    assert device.do("get_config")["changed"] == {}


def test_settings_that_blind_the_device_are_taken_and_seen_by_all(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    blinding: list[tuple[dict[str, Any], str]] = [
        ({"detector.score_threshold": 0.97}, "detector.score_threshold is 0.97: hardly anything can be detected"),
        ({"alerts.rules": []}, "no rule can fire: alerts.rules is empty"),
        ({"alerts.rules": [{"name": "a", "level": "low", "any": ["ufo"]}]}, "no rule can fire: the model lacks"),
    ]
    for values, words in blinding:
        caplog.clear()
        answer = device.do("set_config", values=values)
        assert answer["warnings"][0].startswith(words)
        assert words in caplog.text
        assert {record.levelname for record in caplog.records} == {"WARNING"}
        wait_until(lambda: device.do("get_status")["status"] == "degraded")
        status = device.do("get_status")
        assert status["reason"].startswith(words)
        assert status["health"]["detector"] == {"state": "degraded", "reason": status["reason"]}
        device.do("reset_config")
        wait_until(lambda: device.do("get_status")["health"]["detector"] == {"state": "ok", "reason": ""})


def test_wrong_settings_change_nothing(device: Device) -> None:
    text = device.refused("set_config", ConfigError, values={"video.quality": 50, "detector.score_threshold": 7})
    assert text.startswith("set_config: detector.score_threshold: expected float <= 1.0")
    assert device.encoder.settings.quality == 80
    assert device.do("get_config")["changed"] == {}


def test_settings_that_the_loop_did_not_take_are_not_kept(build: Build, tmp_path: Path) -> None:
    device = build()
    stopping = threading.Event()
    stopping.set()
    device.pipeline.run(stopping)
    assert "has ended" in device.refused("set_config", values={"video.quality": 50})
    assert device.encoder.settings.quality == 80
    assert (tmp_path / FILE).read_text() == "{}"


def test_a_snapshot_is_a_picture_as_asked(device: Device) -> None:
    answer = device.do("snapshot", annotated=False, quality=50, max_width=160)
    jpeg = base64.b64decode(answer["jpeg"])
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (90, 160, 3)
    assert (answer["width"], answer["height"], answer["quality"]) == (160, 90, 50)
    assert (answer["format"], answer["annotated"], answer["size"]) == ("jpeg", False, len(jpeg))
    assert answer["frame_id"] >= 1
    whole = device.do("snapshot")
    assert (whole["width"], whole["quality"], whole["annotated"]) == (320, 80, True)


def test_a_picture_of_an_alert_is_the_kept_one(device: Device) -> None:
    device.eye.seen = (KNIFE, PERSON)
    wait_until(lambda: device.tally.figures().last_alerts)
    reference = device.tally.figures().last_alerts[-1].event_uid
    wait_until(lambda: device.evidence._store.holds(reference))
    answer = device.do("snapshot", alert=reference)
    jpeg = base64.b64decode(answer["jpeg"])
    assert (answer["alert"], answer["size"], answer["clip"]) == (reference, len(jpeg), False)
    assert (answer["width"], answer["height"], answer["format"]) == (320, 180, "jpeg")
    assert device.refused("snapshot", alert=reference, clip=True).startswith(f"there is no clip of {reference}")
    assert device.refused("snapshot", alert="../a").startswith("there is no picture of ../a")


def test_a_snapshot_always_fits_into_a_message(build: Build) -> None:
    device = build("video.max_width=4000", source=Camera(1920, 1080)).start()
    answer = device.do("snapshot", quality=100)
    assert answer["size"] <= MAX_PICTURE
    assert answer["quality"] < 100, "noise does not compress"


def test_no_snapshot_without_a_frame_or_of_a_lost_camera(build: Build) -> None:
    device = build()
    assert device.refused("snapshot") == "there is no frame yet: starting"
    device.start()
    device.source.fault = CaptureError("unplugged")
    wait_until(lambda: device.tally.figures().status == "blind")
    assert device.refused("snapshot").startswith("camera lost: unplugged; the last frame is ")


def test_stored_alerts_come_in_pages(build: Build) -> None:
    device = build(archive=Archive(count=9, oldest=3))
    answer = device.do("get_alerts")
    assert [alert["seq"] for alert in answer["alerts"]] == [3, 4, 5, 6, 7, 8, 9]
    assert (answer["stream"], answer["oldest_seq"], answer["next_seq"]) == ("s", 3, 10)
    first = answer["alerts"][0]
    assert (first["type"], first["replay"], first["durable"], first["age_s"]) == ("alert", True, True, 997.0)
    assert [alert["seq"] for alert in device.do("get_alerts", after=5, limit=2)["alerts"]] == [6, 7]
    device.now = 0.0
    assert device.do("get_alerts", limit=1)["alerts"][0]["age_s"] == 0, "the clock was set back"
    device.archive.bounds = None
    assert "the outbox is not open" in device.refused("get_alerts")


def test_long_alerts_are_as_many_as_fit(build: Build) -> None:
    device = build(archive=Archive(count=500, words=1000))
    alerts = device.do("get_alerts", limit=500)["alerts"]
    assert 1 <= len(alerts) < 500
    assert [alert["seq"] for alert in alerts] == list(range(1, len(alerts) + 1))


def test_the_buzzer_is_sounded_ended_and_silenced(build: Build) -> None:
    device = build("gpio.cooldown_s=0", "gpio.patterns.critical.on_s=20").start()
    buzzer = device.buzzer
    assert buzzer is not None
    assert device.do("buzzer", on="critical")["sounding"] is True
    wait_until(lambda: buzzer.state.sounding)
    assert device.do("get_status")["buzzer"]["level"] == "critical"
    assert "sounds already" in device.refused("buzzer", on="critical")
    assert device.do("buzzer", off=True)["sounding"] is False
    wait_until(lambda: not buzzer.state.sounding)
    assert device.refused("buzzer", on="low") == "gpio.patterns.low.repeats is 0: this level is never heard"
    assert 590 < device.do("buzzer", silence_s=600)["silenced_s"] <= 600
    assert device.refused("buzzer", on="critical").startswith("the buzzer is silenced for 600 s by a command")
    assert device.do("buzzer", silence_s=0)["silenced_s"] == 0
    assert device.do("buzzer", acknowledge=True) == {"sounding": False, "level": None, "silenced_s": 0}
    assert device.do("buzzer", test=True)["sounding"] is True
    wait_until(lambda: buzzer.state.testing or not buzzer.state.sounding)


def test_explain_says_why_nothing_fired(device: Device) -> None:
    device.eye.seen = (Detection(0, "knife", 0.41, Box(0, 0, 9, 9)), PERSON)
    wait_until(lambda: device.do("explain")["rules"][0]["reason"] == "knife 0.41 is below min_confidence 0.5")
    rule = device.do("explain")["rules"][0]
    (candidate,) = rule.pop("candidates")
    counts = rule.pop("counts")
    assert {**rule, "reason": ""} == {
        "name": "armed person", "state": "inactive", "hits": 0, "needed": 3, "of": 5, "cooldown_s": 0, "events": 0,
        "reason": "",
    }  # fmt: skip
    assert (candidate["reason"], candidate["track_id"]) == ("score", None)
    assert candidate["text"] == "knife 0.41 is below min_confidence 0.5"
    assert counts == {"score": candidate["frames"]}
    device.eye.seen = (KNIFE, PERSON)
    wait_until(lambda: device.do("explain")["rules"][0]["events"] == 1)
    fired = device.do("explain")["rules"][0]
    assert fired["state"] == "firing"
    assert fired["reason"].endswith("ago; it goes on")


def test_the_camera_is_restarted(device: Device) -> None:
    assert device.do("restart_camera") == {}
    wait_until(lambda: device.source.starts == 2 and device.capture.state.phase == "running")
    assert device.capture.state.losses == 0


def test_a_recording_is_not_restarted(build: Build) -> None:
    source = Camera()
    source.live = False  # type: ignore[misc]
    device = build("camera.source=a.mp4", source=source)
    assert "is a recording" in device.refused("restart_camera", CaptureError)
