"""The files of evidence, on a real disk."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from edge.errors import StateError
from edge.evidence.store import WAITING_BYTES, EvidenceStore, Kind, is_reference
from tests.evidences import DAY, NOON, Clock, names, store


def keep(kept: EvidenceStore, *uids: str, size: int = 1000) -> None:
    for uid in uids:
        kept.put(uid, "jpg", uid.encode().ljust(size, b"."))
        kept.flush()


def content(kept: EvidenceStore, uid: str, kind: Kind) -> bytes:
    found = kept.read(uid, kind)
    assert found is not None
    assert found[1] == len(found[0])
    return found[0]


def test_what_is_put_is_there_at_once_and_a_file_after_flush(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    kept = store(folder)
    kept.put("event-1", "jpg", b"picture")
    assert content(kept, "event-1", "jpg") == b"picture"
    assert kept.holds("event-1")
    assert not folder.exists()
    kept.flush()
    kept.put("event-1", "avi", b"film")
    kept.flush()
    assert names(folder) == ["00000001-event-1.avi", "00000001-event-1.jpg"]
    assert (content(kept, "event-1", "jpg"), content(kept, "event-1", "avi")) == (b"picture", b"film")
    assert (kept.count, kept.size) == (1, 11)
    assert kept.read("event-2", "jpg") is None
    assert not kept.holds("event-2")


@pytest.mark.parametrize("flushed", [False, True])
def test_a_part_is_given_with_the_size_of_the_whole(tmp_path: Path, flushed: bool) -> None:
    kept = store(tmp_path)
    kept.put("a", "avi", b"0123456789")
    if flushed:
        kept.flush()
    assert kept.read("a", "avi", 0, 4) == (b"0123", 10)
    assert kept.read("a", "avi", 8, 4) == (b"89", 10)
    assert kept.read("a", "avi", 10, 4) == kept.read("a", "avi", 11, 4) == (b"", 10)


def test_only_the_owner_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    before = os.umask(0)
    try:
        keep(store(folder), "event-1")
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / names(folder)[0]).stat().st_mode) == 0o600


def test_a_better_one_takes_the_place_of_the_first(tmp_path: Path) -> None:
    kept = store(tmp_path)
    keep(kept, "a", "b")
    kept.put("a", "jpg", b"better")
    kept.flush()
    assert names(tmp_path) == ["00000001-a.jpg", "00000002-b.jpg"]
    assert content(kept, "a", "jpg") == b"better"
    assert kept.size == 1006


def test_after_a_restart_all_is_found_and_numbers_go_on(tmp_path: Path) -> None:
    first = store(tmp_path)
    keep(first, "a", "b")
    first.put("b", "avi", b"film")
    first.flush()
    (tmp_path / ".00000003-c.jpg.part").write_bytes(b"half")
    (tmp_path / "holiday.jpg").write_bytes(b"somebody's")
    again = store(tmp_path)
    again.tidy()
    assert (again.count, again.size) == (2, 2004)
    assert content(again, "b", "avi") == b"film"
    keep(again, "c")
    assert names(tmp_path) == ["00000001-a.jpg", "00000002-b.avi", "00000002-b.jpg", "00000003-c.jpg", "holiday.jpg"]


def test_no_more_than_max_count_the_oldest_go(tmp_path: Path) -> None:
    kept = store(tmp_path, max_count=3)
    keep(kept, "a", "b", "c", "d", "e")
    assert names(tmp_path) == ["00000003-c.jpg", "00000004-d.jpg", "00000005-e.jpg"]
    again = store(tmp_path, max_count=1)
    again.tidy()
    assert names(tmp_path) == ["00000005-e.jpg"]


def test_no_more_than_max_mb_clips_included(tmp_path: Path) -> None:
    kept = store(tmp_path, max_mb=1)
    keep(kept, "a", "b", "c", size=300_000)
    kept.put("c", "avi", b"." * 300_000)
    kept.flush()
    assert names(tmp_path) == ["00000002-b.jpg", "00000003-c.avi", "00000003-c.jpg"]
    assert kept.size == 900_000


def test_what_is_larger_than_all_is_not_kept_and_removes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = store(tmp_path, max_mb=1)
    keep(kept, "a", "b")
    kept.put("b", "avi", b"." * 999_500)
    kept.flush()
    assert names(tmp_path) == ["00000001-a.jpg", "00000002-b.jpg"]
    assert kept.lost == 1
    assert not kept.holds("b", "avi")
    assert "evidence.max_mb is 1" in caplog.text


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    keep(store(tmp_path, now=lambda: NOON), "a")
    keep(store(tmp_path, now=lambda: NOON + 20 * DAY), "b")
    later = store(tmp_path, now=lambda: NOON + 31 * DAY, max_age_days=30)
    later.tidy()
    assert names(tmp_path) == ["00000002-b.jpg"]


def test_in_a_long_run_age_is_told_by_the_clock_that_never_jumps(tmp_path: Path) -> None:
    clock, wall = Clock(), Clock(NOON)
    kept = store(tmp_path, now=wall, monotonic=clock, max_age_days=30)
    keep(kept, "a")
    for jump in (400 * DAY, -800 * DAY, 400 * DAY):
        wall.now += jump
        kept.tidy()
        assert names(tmp_path) == ["00000001-a.jpg"], "the wall clock jumped"
    clock.now += 29 * DAY
    keep(kept, "b")
    clock.now += 2 * DAY
    kept.tidy()
    assert names(tmp_path) == ["00000002-b.jpg"]


def test_a_clock_that_cannot_be_believed_removes_nothing(tmp_path: Path) -> None:
    keep(store(tmp_path, now=lambda: NOON), "old")
    unsure = store(tmp_path, now=lambda: 0.0, max_age_days=1)
    keep(unsure, "undated")
    unsure.tidy()
    assert len(names(tmp_path)) == 2
    assert (tmp_path / "00000002-undated.jpg").stat().st_mtime == 0
    back = store(tmp_path, now=lambda: NOON - 900 * DAY, max_age_days=1)
    back.tidy()
    assert len(names(tmp_path)) == 2, "what lies in the future is not old"


def test_what_was_not_dated_is_dated_when_the_clock_is_right(tmp_path: Path) -> None:
    keep(store(tmp_path, now=lambda: 0.0), "a")
    keep(store(tmp_path, now=lambda: 0.0), "removed")
    clock, wall = Clock(), Clock(0.0)
    kept = store(tmp_path, now=wall, monotonic=clock, max_age_days=10)
    keep(kept, "b")
    clock.now += 100
    wall.now = NOON
    (tmp_path / "00000002-removed.jpg").unlink()
    kept.tidy()
    assert (tmp_path / "00000001-a.jpg").stat().st_mtime == NOON
    assert (tmp_path / "00000003-b.jpg").stat().st_mtime == NOON - 100
    later = store(tmp_path, now=lambda: NOON + 10 * DAY - 50, max_age_days=10)
    later.tidy()
    assert names(tmp_path) == ["00000001-a.jpg"]


@pytest.mark.parametrize("text", ["../x", "a/b", ".", "..", "", "a.b", "a\0", "ä", "a" * 65, "a\n", "a b"])
def test_no_reference_leads_out_of_the_folder(tmp_path: Path, text: str) -> None:
    assert not is_reference(text)
    assert store(tmp_path).read(text, "jpg") is None


def test_references_are_what_events_are_called() -> None:
    assert is_reference("0b54c1d8e7f24a36")
    assert is_reference("a" * 64)


def test_links_and_folders_are_none_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    folder = tmp_path / "evidence"
    folder.mkdir()
    (folder / "00000001-a.jpg").symlink_to(tmp_path / "secret")
    (folder / "00000002-b.jpg").mkdir()
    kept = store(folder)
    kept.tidy()
    assert (kept.count, kept.read("a", "jpg"), kept.read("b", "jpg")) == (0, None, None)


def test_a_link_under_the_temporary_name_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    folder = tmp_path / "evidence"
    kept = store(folder)
    keep(kept, "a")
    (folder / ".00000002-b.jpg.part").symlink_to(tmp_path / "secret")
    kept.put("b", "jpg", b"picture")
    with pytest.raises(StateError, match="check the disk"):
        kept.flush()
    assert (tmp_path / "secret").read_bytes() == b"secret"
    kept.flush()
    assert (folder / "00000002-b.jpg").read_bytes() == b"picture"


def test_a_file_that_somebody_removed_is_not_there(tmp_path: Path) -> None:
    kept = store(tmp_path)
    keep(kept, "a")
    (tmp_path / "00000001-a.jpg").unlink()
    assert kept.read("a", "jpg") is None


def test_a_folder_that_somebody_removed_is_made_again(tmp_path: Path) -> None:
    kept = store(tmp_path / "evidence")
    keep(kept, "a")
    (tmp_path / "evidence" / "00000001-a.jpg").unlink()
    (tmp_path / "evidence").rmdir()
    keep(kept, "b")
    assert not kept.holds("a")
    assert content(kept, "b", "jpg") == b"b".ljust(1000, b".")


def test_one_event_in_two_places_is_found_once(tmp_path: Path) -> None:
    (tmp_path / "00000001-a.jpg").write_bytes(b"first")
    (tmp_path / "00000007-a.jpg").write_bytes(b"second")
    kept = store(tmp_path)
    kept.tidy()
    assert content(kept, "a", "jpg") == b"first"
    assert names(tmp_path) == ["00000001-a.jpg"]


def test_what_waits_for_the_disk_is_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = store(tmp_path / "no" / "folder")
    (tmp_path / "no").write_bytes(b"a file where a folder should be")
    for number in range(5):
        kept.put(f"event-{number}", "avi", b"." * (WAITING_BYTES // 3))
        with pytest.raises(StateError):
            kept.flush()
    assert kept.lost == 2
    assert [record.getMessage() for record in caplog.records] == [
        f"the avi of event event-{number} is lost: too much waits for the disk" for number in (0, 1)
    ]
    assert [kept.holds(f"event-{number}", "avi") for number in range(5)] == [False, False, True, True, True]
    (tmp_path / "no").unlink()
    kept.flush()
    assert kept.count == 3
