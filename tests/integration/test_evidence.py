"""Evidence as it is kept: real threads, real files, real JPEGs."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edge.errors import EdgeError
from edge.evidence import EvidenceStore
from edge.evidence.store import RESERVE_BYTES
from edge.geometry import Box
from edge.types import Frame
from tests.evidences import (
    LEFT_HALF,
    NOON,
    Clock,
    Told,
    decode,
    film,
    fires,
    look,
    names,
    picture,
    recording,
    store,
)
from tests.outboxes import Told as AlertsTold
from tests.outboxes import alert as stored_alert
from tests.outboxes import everything
from tests.outboxes import running as outbox_running
from tests.outboxes import store as store_alerts
from tests.support import ROOT, wait_until

LARGE = Box(170, 20, 300, 160)


def test_an_alert_has_a_picture_of_itself(tmp_path: Path) -> None:
    told = Told()
    with recording(tmp_path / "a folder", told) as recorder:
        (alert,) = recorder.observe(look(7, 1.5, fires())).alerts
        assert alert.snapshot == "event-1"
        wait_until(lambda: names(tmp_path / "a folder") == ["00000001-event-1.jpg"])
        jpeg, about = recorder.picture("event-1")
    assert about == {
        "event_uid": "event-1",
        "camera_id": "main",
        "rule": "armed person",
        "threat_level": "critical",
        "frame_id": 7,
        "timestamp": NOON + 1.5,
        "width": 320,
        "height": 180,
        "quality": 85,
        "annotated": True,
    }
    image = decode(jpeg)
    assert abs(int(image[150, 20, 0]) - 7) < 4, "the frame of the alert"
    assert image[40, 220, 2] > 120, "its box"
    assert (tmp_path / "a folder" / "00000001-event-1.jpg").read_bytes() == jpeg
    assert told.states == [("ok", "")]


def test_an_alert_waits_for_no_picture(tmp_path: Path) -> None:
    """The thread that keeps hangs, as on a disk that does; results go through."""
    kept = store(tmp_path)
    hanging, begun = threading.Event(), threading.Event()

    def flush() -> None:
        begun.set()
        hanging.wait(30)

    kept.flush = flush  # type: ignore[method-assign]
    with recording(tmp_path, kept=kept) as recorder:
        recorder.observe(look(1, 1.0, fires("event-0")))
        assert begun.wait(10)
        for number in range(1, 40):
            result = recorder.observe(look(number + 1, 1.0 + number, fires(f"event-{number}")))
            assert len(result.alerts) == 1
        hanging.set()


def test_a_better_frame_takes_the_place(tmp_path: Path) -> None:
    with recording(tmp_path) as recorder:
        recorder.observe(look(1, 1.0, fires()))
        wait_until(lambda: names(tmp_path))
        recorder.observe(look(2, 2.0, box=LARGE))
        recorder.observe(look(3, 3.5))
        wait_until(lambda: recorder.picture("event-1")[1]["frame_id"] == 2)
    assert names(tmp_path) == ["00000001-event-1.jpg"], "one picture for one event"


def test_two_alerts_in_one_second_and_a_restart(tmp_path: Path) -> None:
    with recording(tmp_path) as recorder:
        recorder.observe(look(1, 1.0, fires("a"), fires("b")))
        recorder.observe(look(2, 1.1, fires("c", tracks=())))
    assert names(tmp_path) == ["00000001-a.jpg", "00000002-b.jpg", "00000003-c.jpg"]
    with recording(tmp_path) as recorder:
        wait_until(lambda: recorder.observe(look(1, 1.0, fires("b", state="resolved"))).alerts[0].snapshot == "b")
        recorder.observe(look(2, 2.0, fires("d")))
        recorder.observe(look(3, 3.0, fires("a", threat_level="critical"), box=LARGE))
        assert recorder.picture("a")[1]["frame_id"] == 1, "it keeps the picture that it has"
    assert names(tmp_path)[3:] == ["00000004-d.jpg"]


def test_an_end_loses_nothing_of_what_was_begun(tmp_path: Path) -> None:
    with recording(tmp_path, clip=True, post_s=20, pre_s=5) as recorder:
        now = time.monotonic()
        for number in range(10):
            recorder.observe(look(number, now + number / 5))
            wait_until(lambda: not recorder._clips._slot._full)
        recorder.observe(look(10, now + 2.0, fires()))
        recorder.observe(look(11, now + 2.2, box=LARGE))
    assert names(tmp_path) == ["00000001-event-1.avi", "00000001-event-1.jpg"]
    with recording(tmp_path) as recorder:
        wait_until(lambda: recorder.has_clip("event-1"))
        assert recorder.picture("event-1")[1]["frame_id"] == 11


def test_a_clip_shows_what_was_before_and_after(tmp_path: Path) -> None:
    clock = Clock(100.0)
    with recording(tmp_path, clip=True, pre_s=2, post_s=1, clip_fps=5, clock=clock, masks=[LEFT_HALF]) as recorder:
        for number in range(40):
            clock.now += 0.2
            result = look(number, clock.now, *([fires()] if number == 20 else []), image=picture(shade=number * 5))
            recorder.observe(result)
            wait_until(lambda: not recorder._clips._slot._full)
        wait_until(lambda: len(names(tmp_path)) == 2)
        part = recorder.clip_part("event-1", 0, 1 << 30)
    (tmp_path / "copy.avi").write_bytes(part.data)
    frames, fps = film(tmp_path / "copy.avi")
    assert fps == pytest.approx(5.0, abs=0.05)
    shades = [int(frame[90, 300, 0]) for frame in frames]
    assert shades[0] <= 10 * 5 + 8
    assert shades[-1] >= 24 * 5 - 8
    assert shades == sorted(shades)
    assert all(frame[:, :144].max() < 8 for frame in frames), "masked"


def test_nothing_that_is_kept_shows_what_is_under_a_mask(tmp_path: Path) -> None:
    box = Box(20, 60, 300, 120)
    with recording(tmp_path, masks=[LEFT_HALF]) as recorder:
        recorder.observe(look(1, 1.0, fires(), box=box, image=picture()))
        wait_until(lambda: names(tmp_path))
        image = decode(recorder.picture("event-1")[0])
    assert image[:, :144].max() < 8
    assert image[90, 310].min() > 180


def test_a_frame_that_cannot_be_masked_is_never_kept(tmp_path: Path) -> None:
    told = Told()
    with recording(tmp_path, told, masks=[LEFT_HALF]) as recorder:
        recorder.observe(look(1, 1.0, fires("a"), image=np.full((180, 320), 200, np.uint8)))
        wait_until(lambda: told.state == "failed")
        assert "cannot be masked" in told.reason
        with pytest.raises(EdgeError, match="there is no picture of a"):
            recorder.picture("a")
        recorder.observe(look(2, 2.0, fires("b")))
        wait_until(lambda: told.state == "ok")
    assert names(tmp_path) == ["00000001-b.jpg"]


@pytest.mark.parametrize("reference", ["../secret", "..", "/etc/passwd", "secret", "a/../../secret", "", "x" * 65])
def test_no_name_from_outside_reaches_another_file(tmp_path: Path, reference: str) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    with recording(tmp_path / "evidence") as recorder:
        recorder.observe(look(1, 1.0, fires()))
        wait_until(lambda: names(tmp_path / "evidence"))
        for ask in (recorder.picture, lambda text: recorder.clip_part(text, 0, 100)):
            with pytest.raises(EdgeError, match="there is no"):
                ask(reference)


def test_what_is_switched_off_keeps_nothing_new_and_gives_what_there_is(tmp_path: Path) -> None:
    with recording(tmp_path) as recorder:
        recorder.observe(look(1, 1.0, fires("old")))
    told = Told()
    with recording(tmp_path, told, enabled=False) as recorder:
        (alert,) = recorder.observe(look(2, 2.0, fires("new"))).alerts
        assert alert.snapshot == ""
        wait_until(lambda: told.states == [("off", "evidence.enabled is false")])
        wait_until(lambda: recorder._store.holds("old"))
        assert recorder.picture("old")[1]["frame_id"] == 1
    assert names(tmp_path) == ["00000001-old.jpg"]


def test_a_picture_fits_into_a_message_whatever_it_shows(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (1080, 1920, 3), np.uint8)
    with recording(tmp_path, quality=100, max_width=1920) as recorder:
        recorder.observe(look(1, 1.0, fires(), image=noise))
        wait_until(lambda: names(tmp_path))
        jpeg, about = recorder.picture("event-1")
    assert len(jpeg) < 720_000
    assert decode(jpeg).shape[1] == about["width"]


def test_a_clip_comes_in_parts(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.put("event-1", "avi", bytes(range(256)) * 10)
    kept.flush()
    with recording(tmp_path, kept=kept) as recorder:
        parts = [recorder.clip_part("event-1", offset, 1000) for offset in (0, 1000, 2000, 2560)]
        with pytest.raises(EdgeError, match="has 2560 bytes, and offset is 2561"):
            recorder.clip_part("event-1", 2561, 1000)
    assert [len(part.data) for part in parts] == [1000, 1000, 560, 0]
    assert [len(part.sha256) for part in parts] == [0, 0, 64, 64]
    assert b"".join(part.data for part in parts) == bytes(range(256)) * 10


# --- a kill in the middle of a write


def write_for_ever(folder: Path) -> None:
    """Large pictures, one after the other, each whole when it begins and ends as it should."""
    kept = store(folder, max_mb=40)
    large = b"\xff\xd8" + os.urandom(1 << 21) + b"\xff\xd9"  # made once: nearly all the time is that of writing
    for number in itertools.count():
        kept.put(f"event-{number % 7}-{os.getpid()}", "jpg", large)
        kept.flush()
        print(number, flush=True)


def test_a_kill_leaves_no_half_file_under_a_final_name(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    halves = 0
    for attempt in range(30):
        command = [sys.executable, "-m", "tests.integration.test_evidence", str(folder)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(2):
                assert writer.stdout.readline()
            time.sleep(0.002 * attempt)  # another moment of a write each time
            writer.send_signal(signal.SIGKILL)
        for name in names(folder):
            if name.endswith(".part"):
                halves += 1
                continue
            content = (folder / name).read_bytes()
            assert (len(content), content[:2], content[-2:]) == ((1 << 21) + 4, b"\xff\xd8", b"\xff\xd9"), name
        again = store(folder, max_mb=40)
        again.tidy()
        assert [name for name in names(folder) if name.endswith(".part")] == []
        assert again.size <= 40_000_000
        if halves >= 3:
            return
    pytest.fail(f"only {halves} of 30 kills came in the middle of a write")


# --- memory


def rss_kb() -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1])


def film_for_long(folder: Path) -> None:
    """Prints how much the process grew over ten minutes of film at 1280 x 720, full of detail."""
    noise = np.random.default_rng(1).integers(0, 255, (720, 1280, 3), np.uint8)
    with recording(folder, clip=True, clip_fps=10, pre_s=30, post_s=30, quality=95) as recorder:
        grown, before = 0, 0
        for number in range(400):
            recorder.observe(look(number, number / 5, image=noise))
            wait_until(lambda: not recorder._clips._slot._full)
            if number == 2:
                before = rss_kb()
            grown = rss_kb() - before
        assert recorder._clips._ring.size <= 16 << 20
    print(grown)


def test_the_ring_is_bounded_in_memory(tmp_path: Path) -> None:
    """Sixty seconds at 10 frames a second of 1.3 MB each would be 780 MB."""
    command = [sys.executable, "-m", "tests.integration.test_evidence", "--film", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=100)
    assert int(done.stdout) < 48 << 10, "kB: 16 MB of JPEGs, and what the allocator holds on to"


def test_pictures_leave_room_for_alerts(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    kept = EvidenceStore(
        tmp_path, store(tmp_path)._settings, now=lambda: NOON, reserve=disk.f_bavail * disk.f_frsize * 2
    )
    kept.put("a", "jpg", b"picture")
    with pytest.raises(EdgeError, match="the disk is full; make room on it"):
        kept.flush()
    assert kept.read("a", "jpg") == (b"picture", 7), "in memory it is there"
    assert RESERVE_BYTES >= 16_000_000


def test_alerts_that_were_stored_before_there_were_pictures_are_read(tmp_path: Path) -> None:
    """As an older program wrote them."""
    told = AlertsTold()
    with outbox_running(tmp_path, told) as outbox:
        store_alerts(outbox, told, [stored_alert(1), stored_alert(2, snapshot="event-2")])
    with contextlib.closing(sqlite3.connect(tmp_path / "outbox.db")) as database, database:
        changed = database.execute("UPDATE alerts SET body = json_remove(body, '$.snapshot') WHERE seq = 1").rowcount
        assert changed == 1
    with outbox_running(tmp_path) as outbox:
        assert [each.alert.snapshot for each in everything(outbox)] == ["", "event-2"]


def test_the_frame_itself_is_not_changed(tmp_path: Path) -> None:
    result = look(9, 1.0, fires())
    assert isinstance(result.frame, Frame)
    with recording(tmp_path, masks=[LEFT_HALF]) as recorder:
        recorder.observe(result)
    assert (result.frame.image == 9).all()


if __name__ == "__main__":
    if sys.argv[1] == "--film":
        film_for_long(Path(sys.argv[2]))
    else:
        write_for_ever(Path(sys.argv[1]))
