"""`preact-edge explain` as a process of its own, asking a whole device and devices made of a script."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge.app import App
from tests.certificates import DEVICE_ID, FleetFiles, make_fleet
from tests.integration.test_commands_device import device
from tests.scripted import Caller, scripted
from tests.streaming import serving, stages
from tests.support import wait_until

EXPLAIN = [sys.executable, "-m", "edge", "explain"]
CANDIDATE = {"reason": "zone", "text": "person is not in door", "frames": 412, "lasted_s": 41.2, "age_s": 0.5}
RULES = [
    {
        "name": "loitering\x1b[31m",
        "state": "pending",
        "hits": 2,
        "needed": 3,
        "of": 5,
        "cooldown_s": 12.4,
        "events": 1,
        "reason": "person is not in door",
        "candidates": [CANDIDATE | {"track_id": 4}, CANDIDATE | {"reason": "new", "frames": 1, "track_id": None}],
        "counts": {"zone": 412, "new": 1},
        "of_later": True,
    }
]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> FleetFiles:
    return make_fleet(tmp_path_factory.mktemp("a fleet"))


def explain(address: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*EXPLAIN, address, *options], capture_output=True, text=True, timeout=60)


def answering(rules: object) -> object:
    def talk(caller: Caller) -> None:
        caller.accept()
        asked = caller.hear()
        assert (asked["type"], asked["cmd"]) == ("command", "explain")
        caller.send({"type": "command_result", "id": asked["id"], "ok": True, "result": {"rules": rules}})
        caller.wait_for_end()

    return talk


def at(app: App) -> str:
    return f"127.0.0.1:{app.server.addresses[0][1]}"


def test_a_device_explains_itself_to_who_has_the_role_control(fleet: FleetFiles, tmp_path: Path) -> None:
    trust = ["--ca", str(fleet.ca), "--device", DEVICE_ID]
    with device(fleet, tmp_path / "a state") as app:
        wait_until(lambda: app.tally.figures().frames > 0, 30)
        control = [*trust, "--cert", fleet.control.certificate, "--key", fleet.control.private_key]
        done = explain(at(app), *control)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("device edge-01, camera main\n")
        for name in ("armed person: ", "weapon: ", "possible weapon: "):
            assert f"\n{name}" in done.stdout
        assert "of the last 5 frames matched, 3 make it fire" in done.stdout
        asked = json.loads(explain(at(app), *control, "--json").stdout)
        assert [rule["name"] for rule in asked["rules"]] == ["armed person", "weapon", "possible weapon"]
        assert {"candidates", "counts"} <= set(asked["rules"][0])
        viewer = [*trust, "--cert", fleet.viewer.certificate, "--key", fleet.viewer.private_key]
        refused = explain(at(app), *viewer)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "only the role control may ask that; come over TLS" in refused.stderr
        stranger = explain(at(app), *trust)
        assert (stranger.returncode, len(stranger.stderr.splitlines())) == (1, 1)


def test_the_answer_in_words() -> None:
    with scripted(answering(RULES)) as peer:  # type: ignore[arg-type]
        done = explain(f"127.0.0.1:{peer.address[1]}")
    assert done.stdout.splitlines() == [
        "device edge-01, camera main",
        "",
        "loitering\\x1b[31m: pending; 2 of the last 5 frames matched, 3 make it fire; 1 event going on; "
        "quiet for another 12 s",
        "  now      person is not in door",
        "  refused     0.5 s ago  zone      person is not in door #4 (412 frames in 41.2 s)",
        "              0.5 s ago  new       person is not in door (1 frame in 41.2 s)",
        "  in all     412 frames  zone      draw the zone larger, or decide by another anchor; "
        "right, where the object is elsewhere",
        "                1 frame  new",
    ]
    assert (done.returncode, done.stderr) == (0, "")


def test_an_older_device_tells_less() -> None:
    with scripted(answering([{"name": "armed", "state": "inactive", "reason": "no person"}])) as peer:  # type: ignore[arg-type]
        done = explain(f"127.0.0.1:{peer.address[1]}")
    assert done.stdout.splitlines()[-1] == "  now      no person"
    assert done.returncode == 0


@pytest.mark.parametrize("rules", [3, [{"state": "inactive"}], [{"name": "armed", "counts": {"zone": "many"}}]])
def test_an_answer_with_wrong_fields_is_one_line(rules: object) -> None:
    with scripted(answering(rules)) as peer:  # type: ignore[arg-type]
        done = explain(f"127.0.0.1:{peer.address[1]}")
    assert done.returncode == 1
    assert done.stderr.startswith("preact-edge: the device's answer has wrong fields: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_listener_without_a_login_gives_no_commands() -> None:
    with serving() as served:
        done = explain(f"127.0.0.1:{served.port}")
        wait_until(lambda: not stages(served))
    assert done.returncode == 1
    assert "only the role control may ask that" in done.stderr


def test_nobody_there_is_said_at_once() -> None:
    with serving() as served:
        port = served.port
    done = explain(f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert "Connection refused" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_device_that_does_not_answer_is_given_up() -> None:
    with scripted(lambda caller: (caller.accept(), caller.wait_for_end())[1]) as peer:  # type: ignore[func-returns-value]
        done = explain(f"127.0.0.1:{peer.address[1]}", "--timeout", "4")
    assert done.returncode == 1
    assert "no answer to the command explain" in done.stderr


@pytest.mark.parametrize("arguments", [["host:x"], ["host", "--timeout", "0"], ["host", "--key", "k"]])
def test_bad_usage_has_exit_code_2(arguments: list[str]) -> None:
    done = explain(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
