"""Commands to a whole device, over TLS with a certificate that may give them. The ids are of docs/protocol.md."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from gpiozero.pins.mock import MockFactory

from edge import __version__
from edge.app import App
from edge.catalog import Catalog
from edge.config import Outbox as OutboxSettings
from edge.configure import load_config
from edge.health.board import COMPONENTS
from edge.outbox.outbox import Outbox
from edge.pipeline import DOUBTFUL
from edge.types import StoredAlert
from tests.certificates import DEVICE_ID, FleetFiles, make_fleet
from tests.streaming import make_alert
from tests.support import ROOT, wait_until
from tests.talking import Talker, client_tls

BUZZER_PIN = 17
EXAMPLES = {  # the first of each
    each["cmd"]: each["result"] for each in reversed(json.loads((ROOT / "tests/vectors/commands.json").read_text()))
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> FleetFiles:
    return make_fleet(tmp_path_factory.mktemp("a fleet"))


@contextmanager
def device(fleet: FleetFiles, folder: Path, *overrides: str, factory: MockFactory | None = None) -> Iterator[App]:
    """The whole program on the drawn scene."""
    security = [f"security.{name}={getattr(fleet.device, name)}" for name in ("certificate", "private_key", "ca")]
    listener = ["host=127.0.0.1", "port=0", "tls=true", "auth=mtls"]
    fixed = [f"storage.state_dir={folder}", f"device.id={DEVICE_ID}", *(f"listeners.0.{each}" for each in listener)]
    scene = ["camera.width=640", "camera.height=360", "camera.fps=30"]
    app = App(load_config(None, {}, [*fixed, *scene, *security, *overrides]), pin_factory=factory or MockFactory())
    app.start(Catalog.load().resolve("bundled", "", folder))
    try:
        yield app
    finally:
        code = app.stop()
    assert (code, app.failure) == (0, None)


def control(app: App, fleet: FleetFiles, **hello: Any) -> Talker:
    client = Talker(app.server.addresses[0], tls=client_tls(fleet, fleet.control))
    client.hello(**{"subscribe": []} | hello)
    return client


class Ids:
    """A client that gives commands and takes what they give; each has a new id."""

    def __init__(self, client: Talker) -> None:
        self._client = client
        self._count = 0

    def do(self, command: str, **args: Any) -> dict[str, Any]:
        answer = self._ask(command, args)
        assert answer["ok"], answer
        result: dict[str, Any] = answer["result"]
        return result

    def refused(self, command: str, **args: Any) -> tuple[str, str]:
        error = self._ask(command, args)["error"]
        return error["code"], error["message"]

    def _ask(self, command: str, args: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        return self._client.ask(command, str(self._count), **args)


def ready(ids: Ids) -> None:
    wait_until(lambda: ids.do("get_status")["frames"] > 0, 30)


def test_what_a_device_tells_of_itself(fleet: FleetFiles, tmp_path: Path) -> None:
    """[EDGE-10-5] [EDGE-10-6] [EDGE-10-10] [EDGE-10-13] [EDGE-11-17]"""
    with device(fleet, tmp_path, "gpio.factory=auto") as app, control(app, fleet, consumer="office") as client:
        ids = Ids(client)
        ready(ids)
        status = ids.do("get_status")
        assert set(status) == set(EXAMPLES["get_status"])
        assert set(status["health"]) == set(EXAMPLES["get_status"]["health"])
        assert set(status["outbox"]) == set(EXAMPLES["get_status"]["outbox"])
        assert (status["device_id"], status["version"], status["clients"]) == (DEVICE_ID, __version__, 1)
        assert status["outbox"]["consumers"] == {"mtls:control/office": status["outbox"]["next_seq"] - 1}
        config = ids.do("get_config")
        assert set(config) == set(EXAMPLES["get_config"])
        assert config["config"]["camera"]["width"] == 640
        assert config["config"]["security"]["private_key"] == fleet.device.private_key, "the path, not what is in it"
        assert "PRIVATE KEY" not in json.dumps(config)
        picture = ids.do("snapshot", annotated=True, quality=50, max_width=320)
        assert set(picture) == set(EXAMPLES["snapshot"])
        jpeg = base64.b64decode(picture["jpeg"])
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert (image.shape, len(jpeg)) == ((180, 320, 3), picture["size"])
        rules = ids.do("explain")["rules"]
        assert [set(rule) for rule in rules] == [set(EXAMPLES["explain"]["rules"][0])] * 3
        assert [rule["name"] for rule in rules] == ["armed person", "weapon", "possible weapon"]
        for command in EXAMPLES:
            code, message = ids.refused(command, colour="red")
            assert (code, "colour" in message) == ("bad_args", True), command


def test_settings_that_a_client_changes_hold_at_once_and_over_a_restart(fleet: FleetFiles, tmp_path: Path) -> None:
    """[EDGE-10-7] [EDGE-10-8] [EDGE-10-9]"""
    with device(fleet, tmp_path) as app, control(app, fleet) as client:
        ids = Ids(client)
        ready(ids)
        changed = ids.do("set_config", values={"detector.score_threshold": 0.7, "video.quality": 41})["changed"]
        assert changed == {"detector.score_threshold": 0.7, "video.quality": 41}
        assert app.detector.score_threshold == 0.7 * DOUBTFUL
        for wrong in ({"video.quality": 42, "video.max_fps": -1}, {"video.quality": 42, "listeners": []}):
            assert ids.refused("set_config", values=wrong)[0] == "bad_args"
        assert ids.do("get_config")["changed"] == changed
    kept = tmp_path / "settings.json"
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "video.max_fps": "often"}))
    with device(fleet, tmp_path) as app, control(app, fleet) as client:
        ids = Ids(client)
        config = ids.do("get_config")
        assert config["changed"] == changed, "what is no longer valid is left out"
        assert config["config"]["detector"]["score_threshold"] == 0.7
        assert app.detector.score_threshold == 0.7 * DOUBTFUL
        ready(ids)
        ids.do("reset_config")
        assert app.detector.score_threshold == 0.4 * DOUBTFUL
    with device(fleet, tmp_path) as app, control(app, fleet) as client:
        config = Ids(client).do("get_config")
        assert (config["changed"], config["config"]["detector"]["score_threshold"]) == ({}, 0.4)


def test_alerts_of_the_disk_and_a_replay_that_sounds_nothing(fleet: FleetFiles, tmp_path: Path) -> None:
    """[EDGE-9-9] [EDGE-10-11] [EDGE-9-8]"""
    stored_before: list[StoredAlert] = []
    outbox = Outbox(tmp_path, OutboxSettings(), on_stored=stored_before.extend)
    assert outbox.start()
    for number in range(1, 6):
        alert = make_alert(number)
        outbox.append(alert)
        outbox.append(replace(alert, alert_id=f"{alert.alert_id}_2", state="resolved"))
    outbox.close()
    assert len(stored_before) == 10
    factory = MockFactory()
    with device(fleet, tmp_path, "alerts.rules=[]", factory=factory) as app, control(app, fleet) as client:
        ids = Ids(client)
        ready(ids)
        bounds = ids.do("get_status")["outbox"]
        last = bounds["next_seq"] - 1
        assert last == 10
        with control(app, fleet, subscribe=["alerts"], resume={"stream": bounds["stream"], "after": 0}) as again:
            replayed = again.alerts(last)
            assert [(alert["seq"], alert["replay"]) for alert in replayed] == [(n, True) for n in range(1, last + 1)]
            assert again.round_trip() == []
        status = ids.do("get_status")
        assert (status["alerts"], status["buzzer"]["sounding"]) == (0, False)
        assert app.buzzer is not None
        assert app.buzzer.state.soundings == 0
        assert [bool(state.state) for state in factory.pin(BUZZER_PIN).states] == [False]
        page = ids.do("get_alerts", after=1, limit=1)
        assert {key: page[key] for key in ("stream", "oldest_seq", "next_seq")} == {
            key: bounds[key] for key in ("stream", "oldest_seq", "next_seq")
        }
        (stored,) = page["alerts"]
        assert {**stored, "age_s": 0} == {**replayed[1], "age_s": 0}
        assert [alert["seq"] for alert in ids.do("get_alerts")["alerts"]] == list(range(1, last + 1))[:100]
        assert ids.do("get_alerts", after=last)["alerts"] == []


def test_the_buzzer_does_what_it_is_told(fleet: FleetFiles, tmp_path: Path) -> None:
    """[EDGE-10-12]"""
    settings = ["alerts.rules=[]", "gpio.cooldown_s=0", "gpio.longest_on_s=0.3", "gpio.patterns.critical.on_s=60"]
    factory = MockFactory()
    with device(fleet, tmp_path, *settings, factory=factory) as app, control(app, fleet) as client:
        ids = Ids(client)
        assert app.buzzer is not None
        assert set(ids.do("buzzer", on="critical")) == set(EXAMPLES["buzzer"])
        wait_until(lambda: app.buzzer and app.buzzer.state.soundings == 1 and not app.buzzer.state.sounding)
        assert ids.do("buzzer", silence_s=600)["silenced_s"] > 500
        assert ids.refused("buzzer", on="critical")[0] == "failed"
        assert ids.do("buzzer", silence_s=0)["silenced_s"] == 0
        assert ids.do("buzzer", test=True)["sounding"] is True
        assert ids.do("buzzer", off=True)["sounding"] is False
        assert ids.do("buzzer", acknowledge=True) == {"sounding": False, "level": None, "silenced_s": 0}
        wait_until(lambda: app.buzzer and not app.buzzer.state.sounding)
        assert ids.refused("buzzer", on="critical", off=True)[0] == "bad_args"
        assert ids.refused("buzzer")[0] == "bad_args"


def test_the_camera_is_opened_anew_and_the_stream_goes_on(fleet: FleetFiles, tmp_path: Path) -> None:
    """[EDGE-10-14]"""
    with device(fleet, tmp_path) as app, control(app, fleet, subscribe=["detections"]) as client:
        ids = Ids(client)
        before = client.until("detection_result")["frame_id"]
        assert ids.do("restart_camera") == EXAMPLES["restart_camera"]
        results = [client.until("detection_result") for _ in range(20)]
        assert max(result.get("frame_id", 0) for result in results) > before
        wait_until(lambda: ids.do("get_status")["status"] == "ok")


def test_health_tells_of_every_part(fleet: FleetFiles, tmp_path: Path) -> None:
    """[EDGE-4-12]"""
    with device(fleet, tmp_path) as app, control(app, fleet, subscribe=["health"]) as client:
        health = client.until("health")
        wait_until(lambda: set(app.board.components()) == set(COMPONENTS))
        while set(health["components"]) != set(COMPONENTS):
            health = client.until("health")
        assert {part["state"] for part in health["components"].values()} <= {"ok", "degraded", "failed", "off"}
        assert health["components"]["outbox"]["state"] == "ok"
