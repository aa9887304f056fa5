"""The storms of tests.chaos, small: cuts, kills, bad disks. The large ones are run by their command lines."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path

import pytest

from tests.bench import tlssoak
from tests.chaos import clients, disk
from tests.chaos.storm import Plan, run
from tests.streaming import in_thread

ALERTS, CUTS, KILLS = 300, 15, 3


def skip_or_fail(reason: str) -> None:
    if reason and os.environ.get("CI") == "true" and os.geteuid() == 0:
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest.mark.parametrize(("kind", "framing"), [("python", "length"), ("node", "length"), ("witness", "newline")])
def test_every_alert_arrives_once_and_in_order(kind: str, framing: str, tmp_path: Path) -> None:
    """[EDGE-9-1] [EDGE-9-7] [EDGE-9-12] [EDGE-9-13]"""
    skip_or_fail(clients.missing(kind))
    verdict, happened = run(Plan(ALERTS, CUTS, KILLS, kind, framing=framing), tmp_path)
    assert verdict.ok, verdict
    assert verdict.committed == verdict.given == ALERTS
    assert happened["device killed"] == KILLS
    assert sum(count for what, count in happened.items() if what.startswith("cuts")) == CUTS


@pytest.mark.parametrize("kind", ["python", "witness"])
def test_a_killed_client_is_given_again_only_what_it_had_not_finished(kind: str, tmp_path: Path) -> None:
    """[EDGE-9-6]"""
    verdict, happened = run(Plan(ALERTS, 5, 1, kind, client_kills=4), tmp_path)
    assert verdict.ok, verdict
    assert verdict.given == ALERTS + verdict.again
    assert happened["client killed"] == 4


def test_two_storms_at_once_do_not_meet(tmp_path: Path) -> None:
    """Each keeps its port while its device is dead."""
    plan = Plan(100, 4, 3, "python")
    folders = [tmp_path / "one", tmp_path / "the other"]
    for folder in folders:
        folder.mkdir()
    storms = [in_thread(partial(run, plan, folder)) for folder in folders]
    for storm in storms:
        verdict, happened = storm()
        assert verdict.ok, verdict
        assert verdict.given == 100
        assert happened["device killed"] == 3


@pytest.mark.parametrize("story", [story.__name__ for story in disk.STORIES])
def test_alerts_flow_whatever_the_disk_does(story: str) -> None:
    """[EDGE-9-2] [EDGE-9-4] [EDGE-9-11]"""
    skip_or_fail(disk.missing(story))
    done = disk.enter(story)
    assert done.returncode == 0, done.stderr


def test_tls_both_ways_at_full_rate() -> None:
    with tempfile.TemporaryDirectory() as folder:
        errors, same, _ = tlssoak.soak(50_000_000, 1, tlssoak.contexts(Path(folder)))
    assert errors == 0
    assert same
