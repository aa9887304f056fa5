"""Evidence on disks that are full or cannot be written, in mount namespaces of their own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.app import App
from edge.catalog import Catalog
from edge.configure import load_config
from edge.errors import StateError
from edge.evidence import recorder
from tests.evidences import Told, decode, fires, look, names, picture, recording, store
from tests.mounts import fill, mount, run_with_own_mounts
from tests.support import wait_until
from tests.talking import PlainClient


def small_disk(folder: Path) -> Path:
    mount("-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder))
    return folder / "evidence"


def keep(kept: Any, *uids: str, size: int = 100_000) -> None:
    for uid in uids:
        kept.put(uid, "jpg", b"." * size)
        kept.flush()


def full_of_old_ones(folder: Path) -> None:
    kept = store(small_disk(folder))
    keep(kept, *(f"event-{number}" for number in range(12)))
    found = names(folder / "evidence")
    assert found[-1] == "00000012-event-11.jpg"
    assert 3 <= len(found) <= 5, "the oldest went, and no more than had to"
    assert all((folder / "evidence" / name).stat().st_size == 100_000 for name in found)


def full_of_other_things(folder: Path) -> None:
    """What others filled is not made better by throwing away what there is."""
    evidence = small_disk(folder)
    told = Told()
    recorder.RETRY_S = recorder.TIDY_S = 0.1
    with recording(evidence, told) as device:
        device.observe(look(1, 1.0, fires("a")))
        wait_until(lambda: names(evidence))
        filler = fill(folder)
        (alert,) = device.observe(look(2, 2.0, fires("b"), image=noisy())).alerts
        assert alert.snapshot == "b", "the alert goes out"
        wait_until(lambda: told.state == "failed")
        assert "the disk is full; make room on it" in told.reason, told.reason
        assert names(evidence) == ["00000001-a.jpg"]
        assert decode(device.picture("b")[0]).shape == (180, 320, 3), "from memory"
        assert device.picture("a")[1]["frame_id"] == 1
        filler.unlink()
        wait_until(lambda: told.state == "ok")
        wait_until(lambda: len(names(evidence)) == 2)
    assert [state for state, _ in told.states] == ["ok", "failed", "ok"]


def noisy() -> Any:
    import numpy as np

    return np.random.default_rng(1).integers(0, 255, picture().shape, np.uint8)


def read_only(folder: Path) -> None:
    evidence = small_disk(folder)
    keep(store(evidence), "old", size=10)
    (evidence / ".00000009-x.jpg.part").write_bytes(b"half")
    mount("-o", "remount,ro", str(folder))
    told = Told()
    recorder.RETRY_S = 0.1
    with recording(evidence, told) as device:
        wait_until(lambda: told.state == "failed")
        assert "cannot be written; make the folder writable" in told.reason, told.reason
        (alert,) = device.observe(look(1, 1.0, fires("new"))).alerts
        assert alert.snapshot == "new"
        wait_until(lambda: device.picture("new")[1]["frame_id"] == 1 if reads(device, "new") else False)
        mount("-o", "remount,rw", str(folder))
        wait_until(lambda: told.state == "ok")
        wait_until(lambda: names(evidence) == ["00000001-old.jpg", "00000002-new.jpg"])


def reads(device: Any, uid: str) -> bool:
    try:
        device.picture(uid)
    except recorder.EdgeError:
        return False
    return True


def smaller_than_one_picture(folder: Path) -> None:
    kept = store(small_disk(folder))
    kept.put("huge", "jpg", b"." * 600_000)
    with pytest.raises(StateError, match="the disk is full"):
        kept.flush()
    assert names(folder / "evidence") == []


def full_under_a_whole_device(folder: Path) -> None:
    """Alerts go out and are stored; their pictures wait in memory."""
    small_disk(folder)
    fixed = [f"storage.state_dir={folder}", "listeners.0.host=127.0.0.1", "listeners.0.port=0", "gpio.factory=none"]
    app = App(load_config(None, {}, [*fixed, "camera.width=640", "camera.height=360", "camera.unpaced=true"]))
    app.start(Catalog.load().resolve("bundled", "", folder))
    try:
        with PlainClient(app.server.addresses[0]) as client:
            while (alert := client.read())["type"] != "alert":
                pass
        assert (alert["durable"], alert["seq"]) == (True, 1)
        wait_until(lambda: app.board.components()["evidence"]["state"] == "failed")
        assert "the disk is full; make room on it" in app.board.components()["evidence"]["reason"]
        assert app.board.components()["outbox"]["state"] == "ok", "pictures leave room for alerts"
        jpeg, _ = app._evidence.picture(alert["snapshot"]["id"])
        assert decode(jpeg).shape == (360, 640, 3)
    finally:
        assert app.stop() == 0
    assert names(folder / "evidence") == []


SCENES: dict[str, Callable[[Path], None]] = {
    scene.__name__: scene
    for scene in (
        full_of_old_ones,
        full_of_other_things,
        full_under_a_whole_device,
        read_only,
        smaller_than_one_picture,
    )
}


@pytest.mark.parametrize("scene", SCENES)
def test_a_disk_that_is(tmp_path: Path, scene: str) -> None:
    run_with_own_mounts("tests.integration.test_evidence_disk", scene, str(tmp_path))


if __name__ == "__main__":
    SCENES[sys.argv[1]](Path(sys.argv[2]))
