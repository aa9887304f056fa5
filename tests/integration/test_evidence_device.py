"""Evidence from camera to client, over TLS, and masks in every way out of the device. The ids are of
docs/protocol.md."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.app import App
from edge.catalog import Catalog
from edge.cli import main
from edge.configure import load_config
from edge.evidence import encode_jpeg
from edge.types import Image
from tests.certificates import FleetFiles, make_fleet
from tests.evidences import decode, film, names
from tests.integration.test_commands_device import Ids, control, device, ready
from tests.support import ROOT, wait_until
from tests.talking import PlainClient

EXAMPLES = [
    each for each in json.loads((ROOT / "tests/vectors/commands.json").read_text()) if each["cmd"] == "snapshot"
]
NOW, KEPT, CLIP = (set(example["result"]) for example in EXAMPLES)
RULE = '{name="armed", level="critical", any=["knife"], all=["person"], resolve_after_s=0.5, cooldown_s=600}'
SHORT = ["evidence.clip=true", "evidence.pre_s=1", "evidence.post_s=1", f"alerts.rules=[{RULE}]"]
BOTTOM = '{name="the street", points=[[0, 0.5], [1, 0.5], [1, 1], [0, 1]]}'


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> FleetFiles:
    return make_fleet(tmp_path_factory.mktemp("a fleet"))


class Patient(Ids):
    """A client that asks again when it was too quick: at most 20 commands a second."""

    def _ask(self, command: str, args: dict[str, Any]) -> dict[str, Any]:
        answers: list[dict[str, Any]] = []

        def heard() -> bool:
            answers.append(super(Patient, self)._ask(command, args))
            return answers[-1].get("error", {}).get("code") != "rate_limited"

        wait_until(heard)
        return answers[-1]


def kept_picture(ids: Ids, reference: str) -> dict[str, Any]:
    """What the command gives, as soon as it gives it."""
    found: list[dict[str, Any]] = []

    def ask() -> bool:
        answer = ids._ask("snapshot", {"alert": reference})
        if answer["ok"]:
            found.append(answer["result"])
        else:
            assert answer["error"]["code"] == "failed"
            assert "is not there yet" in answer["error"]["message"]
        return bool(found)

    wait_until(ask)
    return found[0]


def whole_clip(ids: Ids, reference: str) -> bytes:
    """The clip, part by part."""
    wait_until(lambda: ids._ask("snapshot", {"alert": reference, "clip": True})["ok"], 30)
    clip, size = b"", 1
    while len(clip) < size:
        part = ids.do("snapshot", alert=reference, clip=True, offset=len(clip))
        assert part["offset"] == len(clip)
        assert set(part) == CLIP - (
            set() if len(clip) + len(base64.b64decode(part["data"])) == part["size"] else {"sha256"}
        )
        clip += base64.b64decode(part["data"])
        size = part["size"]
    assert hashlib.sha256(clip).hexdigest() == part["sha256"]
    return clip


def test_an_alert_names_its_picture_and_a_client_gets_it_with_the_clip(fleet: FleetFiles, tmp_path: Path) -> None:
    """[EDGE-4-15] [EDGE-10-16] [EDGE-10-17]"""
    state = tmp_path / "a folder"
    with device(fleet, state, *SHORT) as app, control(app, fleet) as client:
        ids = Patient(client)
        ready(ids)
        with control(app, fleet, subscribe=["alerts"]) as watcher:
            fired = watcher.until("alert")
            assert fired["state"] == "firing"
            reference = fired["snapshot"]["id"]
            assert reference == fired["event_uid"]
            answer = kept_picture(ids, reference)
            assert set(answer) == KEPT
            jpeg = base64.b64decode(answer["jpeg"])
            assert decode(jpeg).shape == (answer["height"], answer["width"], 3) == (360, 640, 3)
            assert len(jpeg) == answer["size"]
            assert fired["timestamp"] - 5 <= answer["timestamp"] <= fired["timestamp"] + 2
            assert answer["clip"] is True
            resolved = watcher.until("alert")
            assert (resolved["state"], resolved["snapshot"]) == ("resolved", {"id": reference})
        clip = whole_clip(ids, reference)
        (tmp_path / "fetched.avi").write_bytes(clip)
        frames, fps = film(tmp_path / "fetched.avi")
        assert 2 <= len(frames) <= 15, "how many is a matter of how slow this computer is"
        assert fps < 7
        assert frames[0].shape == (360, 640, 3)
        for wrong in ("../device-id", "device-id", "..", "/etc/passwd", "0" * 32, "é"):
            assert ids.refused("snapshot", alert=wrong)[0] == "failed"
            assert ids.refused("snapshot", alert=wrong, clip=True)[0] == "failed"
        assert ids.refused("snapshot", alert=reference, clip=True, offset=len(clip) + 1)[0] == "failed"
        for args in (
            {"clip": True},
            {"alert": reference, "offset": 1},
            {"alert": reference, "quality": 50},
            {"alert": ""},
        ):
            assert ids.refused("snapshot", **args)[0] == "bad_args"
        assert ids.do("get_status")["health"]["evidence"] == {"state": "ok", "reason": ""}
        (stored,) = [alert for alert in ids.do("get_alerts")["alerts"] if alert["state"] == "firing"]
        assert stored["snapshot"] == {"id": reference}, "kept with the alert"
    assert (state / "evidence" / f"00000001-{reference}.avi").read_bytes() == clip
    with device(fleet, state, "alerts.rules=[]") as app, control(app, fleet) as client:
        ids = Patient(client)
        wait_until(lambda: ids._ask("snapshot", {"alert": reference})["ok"])
        assert kept_picture(ids, reference)["clip"] is True
        assert whole_clip(ids, reference) == clip


def is_masked(image: Image) -> bool:
    """The lower half is black, and the upper one is a picture."""
    height = image.shape[0]
    return bool(image[height // 2 + 16 :].max() < 12 and image[: height // 2 - 16].std() > 5)


def test_what_is_under_a_mask_leaves_the_device_on_no_way(fleet: FleetFiles, tmp_path: Path) -> None:
    """[EDGE-4-16]"""
    masked = [*SHORT, f"camera.privacy_masks=[{BOTTOM}]", "listeners.0.video=true", "video.quality=95"]
    with device(fleet, tmp_path, *masked) as app, control(app, fleet) as client:
        ids = Patient(client)
        ready(ids)
        frames = {"max_fps": 30, "quality": 90, "annotated": False}
        with control(app, fleet, subscribe=["alerts", "frames"], frames=frames) as watcher:
            passed: list[dict[str, Any]] = []
            fired = watcher.until("alert", passed)
            pictures = [message for message in passed if message["type"] == "video_frame"]
            assert len(pictures) > 3
            assert all(is_masked(decode(message["jpeg"])) for message in pictures), "a client's own look"
        assert fired["threat_types"] == ["knife", "person"], "the detector sees it"
        with control(app, fleet, subscribe=["frames"]) as watcher:
            for _ in range(3):
                assert is_masked(decode(watcher.until("video_frame")["jpeg"])), "with boxes"
        for annotated in (False, True):
            live = ids.do("snapshot", annotated=annotated, quality=100)
            assert is_masked(decode(base64.b64decode(live["jpeg"])))
        reference = fired["snapshot"]["id"]
        assert is_masked(decode(base64.b64decode(kept_picture(ids, reference)["jpeg"])))
        (tmp_path / "fetched.avi").write_bytes(whole_clip(ids, reference))
        shown, _ = film(tmp_path / "fetched.avi")
        assert shown
        assert all(map(is_masked, shown))
    for name in names(tmp_path / "evidence"):
        if name.endswith(".jpg"):
            assert is_masked(decode((tmp_path / "evidence" / name).read_bytes()))


def test_no_picture_that_detect_draws_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """[EDGE-4-16]"""
    noise = np.random.default_rng(1).integers(100, 255, (180, 320, 3), np.uint8)
    (tmp_path / "photo.png").write_bytes(encode_jpeg(noise, 95))
    (tmp_path / "edge.toml").write_text(f"[camera]\nprivacy_masks=[{BOTTOM}]\n")
    arguments = [str(tmp_path / "photo.png"), "--annotate", str(tmp_path / "drawn"), "-c", str(tmp_path / "edge.toml")]
    assert main(["detect", *arguments]) == 0
    assert "320 x 180" in capsys.readouterr().out
    assert is_masked(decode((tmp_path / "drawn" / "photo.jpg").read_bytes()))


def test_a_plain_client_is_told_of_the_picture_too(tmp_path: Path) -> None:
    """Its alert has one field more, and none of the others is another."""
    for enabled in (True, False):
        state = tmp_path / f"state {enabled}"
        fixed = [f"storage.state_dir={state}", "listeners.0.host=127.0.0.1", "listeners.0.port=0", "gpio.factory=none"]
        scene = [
            "camera.width=640",
            "camera.height=360",
            "camera.unpaced=true",
            f"evidence.enabled={str(enabled).lower()}",
        ]
        app = App(load_config(None, {}, [*fixed, *scene]))
        app.start(Catalog.load().resolve("bundled", "", state))
        try:
            with PlainClient(app.server.addresses[0]) as client:
                while (message := client.read())["type"] != "alert":
                    pass
        finally:
            assert app.stop() == 0
        assert message.get("snapshot") == ({"id": message["event_uid"]} if enabled else None)
        assert [name.split(".")[-1] for name in names(state / "evidence")] == (["jpg"] if enabled else [])
