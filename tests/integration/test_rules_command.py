"""`preact-edge rules try`: alerts where a person sees them and nowhere else, and what it says of the rest."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.commands.rehearsal.brush import plain
from edge.configure import load_config
from edge.rules.checks import check_rules
from edge.rules.engine import RuleEngine
from tests.support import ROOT, shared_assets

COCO = """
[[alerts.zones]]
name = "table"
points = [[0.25, 0.55], [0.85, 0.55], [1.0, 1.0], [0.15, 1.0]]

[[alerts.rules]]
name = "stays at the table"
level = "medium"
any = ["person"]
when = "dwelt"
dwell_s = 3
zones = ["table"]
resolve_after_s = 2
escalate = [{ after_s = 15, level = "high" }]
"""
# When each of the six walks in and out, as a person sees it who looks at the frames.
VISITS = ((6, 19.5), (22.5, 45), (50.5, 69.5), (74.5, 87.5), (92.5, 119.5), (123.5, 136))
BOTTLES = """
[[alerts.lines]]
name = "shelf"
start = [0.0, 0.72]
end = [1.0, 0.72]

[[alerts.rules]]
name = "bottle taken"
level = "medium"
any = ["bottle"]
min_confidence = 0.4
when = "crossed"
line = "shelf"
direction = "to_left"
track_cooldown_s = 0
resolve_after_s = 0.5

[[alerts.rules]]
name = "bottle put back"
level = "low"
any = ["bottle"]
min_confidence = 0.4
when = "crossed"
line = "shelf"
direction = "to_right"
track_cooldown_s = 0
resolve_after_s = 0.5
"""
TAKEN = (6.9, 17.5, 17.6, 31.8)  # the left one, the middle one, the left one again, the right one
PUT_BACK = (11.9, 22.7, 27.7, 35.5)  # left, middle, left, right
PERSON_RULE = """
[[alerts.rules]]
name = "somebody"
level = "low"
any = ["person"]
"""


SETTINGS = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "rules.md").read_text(), re.DOTALL)


def trial(*options: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge", "rules", "try", *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, cwd=cwd, check=False)


def told(*options: str | Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The alerts and the explanations of a trial."""
    done = trial(*options, "--json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [line for line in lines if line["type"] == "alert"], [line for line in lines if line["type"] != "alert"]


def fired(alerts: list[dict[str, Any]], rule: str) -> list[float]:
    """The times at which events of the rule began."""
    firsts = {alert["event"]: alert["time_s"] for alert in reversed(alerts) if alert["rule"] == rule}
    return sorted(firsts.values())


def config(folder: Path, text: str) -> Path:
    path = folder / "a config.toml"
    path.write_text(text)
    return path


def test_one_alert_for_each_person_who_stays(tmp_path: Path) -> None:
    assets = shared_assets()
    picture = tmp_path / "timeline.png"
    model = assets / "models" / "ssd_mobilenet_v1_coco_quant.tflite"
    alerts, (explained,) = told(
        assets / "video" / "one-by-one-person-detection.mp4",
        *("-c", config(tmp_path, COCO), "--model", model, "--labels", assets / "models" / "coco_ssd_labelmap.txt"),
        *("--picture", picture, "--no-frame"),
    )
    times = fired(alerts, "stays at the table")
    assert len(times) == explained["alerts"] == len(VISITS)
    for at, (comes, goes) in zip(times, VISITS, strict=True):
        assert comes + 2.5 < at < comes + 6 < goes, "once who came has stayed for 3 s"
    for number, (comes, goes) in enumerate(VISITS, 1):
        states = [(alert["state"], alert["threat_level"]) for alert in alerts if alert["event"] == number]
        stays = [("firing", "high")] if goes - comes > 18 else []
        assert states == [("firing", "medium"), *stays, ("resolved", "high" if stays else "medium")]
        over = [alert["time_s"] for alert in alerts if alert["event"] == number][-1]
        assert goes - 1 < over < goes + 4
    assert explained["counts"]["dwell"] > 0
    image = cv2.imread(str(picture))
    assert image is not None
    assert image.shape[1] == 1280


def test_bottles_that_are_taken_and_put_back(tmp_path: Path) -> None:
    assets = shared_assets()
    model = assets / "models" / "yolov8n_416_full_integer_quant.tflite"
    alerts, _ = told(
        assets / "video" / "bottle-detection.mp4",
        *("-c", config(tmp_path, BOTTLES), "--model", model, "--labels", assets / "models" / "coco80_labels.txt"),
    )
    assert fired(alerts, "bottle taken") == pytest.approx(TAKEN, abs=0.5)
    assert fired(alerts, "bottle put back") == pytest.approx(PUT_BACK, abs=0.5)


def test_the_drawn_scene_with_the_built_in_rules(tmp_path: Path) -> None:
    """The knife is up from second 4.5 to 12.5 of the twenty that a round lasts; unless told, two rounds are seen."""
    picture = tmp_path / "scene.png"
    done = trial("scene", "--picture", picture, "--set", "camera.width=640", "--set", "camera.height=360")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    alerts = [line.split()[:4] for line in lines if re.match(r"\d\d:\d\d\.\d ", line)]
    assert [words[1:] for words in alerts] == [
        ["1", "FIRING", "critical"], ["1", "resolved", "critical"],
        ["2", "FIRING", "critical"], ["2", "resolved", "critical"],
    ]  # fmt: skip
    assert "00:04.5" <= alerts[0][0] <= "00:05.5"
    assert "00:12.5" <= alerts[1][0] <= "00:18.5"
    assert "00:24.5" <= alerts[2][0] <= "00:25.5"
    assert "00:32.5" <= alerts[3][0] <= "00:38.5"
    assert "armed person: 2 alerts" in lines
    assert "weapon: no alerts" in lines
    assert "  next: the model knows none of 'scissors', 'baseball bat'; take another model " in done.stdout
    assert "600 frames looked at, 00:00.0 to 00:39.9: 2 alerts" in lines
    image = cv2.imread(str(picture))
    assert image is not None
    assert image.shape[1] == 1280


def test_why_a_rule_did_not_fire_and_what_to_change(tmp_path: Path) -> None:
    zone = '[[alerts.zones]]\nname = "roof"\npoints = [[0, 0], [1, 0], [1, 0.05], [0, 0.05]]\n'
    rule = '[[alerts.rules]]\nname = "up there"\nlevel = "low"\nany = ["person"]\nzones = ["roof"]\n'
    done = trial("scene", "-c", config(tmp_path, zone + rule), "--start", "4", "--end", "6")
    assert done.returncode == 0
    assert "up there: no alerts" in done.stdout
    assert "person is not in roof" in done.stdout
    assert "draw the zone larger" in done.stdout
    assert "  next: it came nearest with zone: person is not in roof; " in done.stdout
    assert "00:04.0 to 00:05.9" in done.stdout


def test_a_schedule_is_tried_at_any_hour(tmp_path: Path) -> None:
    night = '[alerts]\ntime_zone = "Europe/Berlin"\n[[alerts.schedules]]\nname = "night"\ntimes = ["22:00-06:00"]\n'
    settings = config(tmp_path, f'{night}{PERSON_RULE}schedule = "night"\n')
    part = ("scene", "-c", settings, "--start", "4", "--end", "7")
    asleep, awake = trial(*part, "--at", "2026-11-23 12:00"), trial(*part, "--at", "2026-11-23 21:59:55")
    assert "taken for Mon 2026-11-23 12:00 CET" in asleep.stdout
    assert "somebody: no alerts" in asleep.stdout
    assert "schedule" in asleep.stdout
    assert "somebody: 1 alert" in awake.stdout
    assert " FIRING " in awake.stdout
    at = next(line for line in awake.stdout.splitlines() if "FIRING" in line)
    assert at[:7] >= "00:05.0", "when the clock strikes ten"


def test_a_folder_of_pictures_is_played_once_and_looked_at_whole(tmp_path: Path) -> None:
    for number in range(7):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((90, 160, 3), 10 * number, np.uint8))
    done = trial(tmp_path, "--set", "camera.fps=2")
    assert done.returncode == 0
    assert "7 frames looked at, 00:00.0 to 00:03.0: no alerts" in done.stdout
    assert "nothing that it looks for was seen" in done.stdout


def test_what_is_under_a_privacy_mask_is_in_no_picture(tmp_path: Path) -> None:
    mask = '[[camera.privacy_masks]]\nname = "m"\npoints = [[0.0, 0.0], [1.0, 0.0], [1.0, 0.5], [0.0, 0.5]]\n'
    white = tmp_path / "pictures"
    white.mkdir()
    for number in range(3):
        cv2.imwrite(str(white / f"{number}.png"), np.full((90, 160, 3), 255, np.uint8))
    options = (white, "-c", config(tmp_path, mask), "--picture", tmp_path / "seen.png")
    assert trial(*options).returncode == 0
    image = cv2.imread(str(tmp_path / "seen.png"))
    assert image is not None
    assert image[100:300].max() == 0
    assert image[500:600].max() > 150
    assert trial(*options, "--no-frame").returncode == 0
    image = cv2.imread(str(tmp_path / "seen.png"))
    assert image is not None
    assert image[500:600].max() < 80, "nothing of the video"


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["none.mp4"], 1, "none.mp4: cannot be read: No such file or directory"),
        (["text.mp4"], 1, "is no video that OpenCV can read"),
        (["/dev/video0"], 2, "is a camera; record a video"),
        (["scene", "-c", "none.toml"], 2, "none.toml: cannot be read"),
        (["scene", "-c", "text.mp4"], 2, "is not valid TOML"),
        (["scene", "-c", "nowhere.toml"], 2, "there is no zone 'cellar' that rules may name"),
        (["scene", "-c", "entered.toml"], 2, 'when = "entered" needs zones'),
        (["scene", "-c", "camels.toml"], 2, "no rule can fire: the model lacks their classes (rule 'somebody' can"),
        (["scene", "--set", "alerts.rules=[]"], 2, "no rule can fire: alerts.rules is empty"),
        (["scene", "--model", "none.tflite"], 1, "none.tflite"),
        (["scene", "--at", "tonight"], 2, "--at 'tonight': write a day and a time"),
        (["scene", "--start", "5", "--end", "4"], 2, "--end 4 is not after --start 5"),
        (["clip", "--start", "5"], 1, "ends before --start 5; it is 0.1 s long"),
        (["scene", "--picture", "x.txt"], 2, "name a file that ends in .png"),
        (["scene", "--picture", "none/x.png"], 1, "there is no folder none"),
        (["scene", "--max-frames", "0"], 2, "expected a whole number"),
        (["scene", "--start", "-1"], 2, "expected a number of seconds, 0 or more"),
        ([], 2, "VIDEO"),
    ],
)
def test_bad_input_is_one_clear_line(options: list[str], code: int, words: str, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video, no TOML")
    (tmp_path / "nowhere.toml").write_text(f'{PERSON_RULE}zones = ["cellar"]\n')
    (tmp_path / "entered.toml").write_text(f'{PERSON_RULE}when = "entered"\n')
    (tmp_path / "camels.toml").write_text(PERSON_RULE.replace("person", "camel"))
    (tmp_path / "clip").mkdir()
    cv2.imwrite(str(tmp_path / "clip" / "1.png"), np.zeros((90, 160, 3), np.uint8))
    done = trial(*options, cwd=tmp_path)
    assert done.returncode == code
    assert done.stdout == ""
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", SETTINGS)
def test_the_settings_of_the_page_about_rules(text: str, tmp_path: Path) -> None:
    settings = load_config(config(tmp_path, text))
    check_rules(settings.alerts.rules)
    RuleEngine(settings.alerts, camera_id="main")


def test_the_page_about_rules_shows_what_was_tried(tmp_path: Path) -> None:
    assert COCO.strip() in map(str.strip, SETTINGS)
    assert BOTTLES.strip() in map(str.strip, SETTINGS)
    alerts, _ = told("scene", "-c", config(tmp_path, SETTINGS[0]))
    assert fired(alerts, "armed person") == pytest.approx((4.7, 24.8), abs=0.7)
    assert fired(alerts, "waits at the till") == pytest.approx((6.1,), abs=0.7)
    assert fired(alerts, "comes in") == pytest.approx((9.5, 25.3, 30.9), abs=0.7)


def test_on_a_terminal_it_says_how_far_it_is() -> None:
    terminal, inner = pty.openpty()
    command = [sys.executable, "-m", "edge", "rules", "try", "scene", "--end", "9"]
    shown = b""
    with subprocess.Popen(command, stdout=inner, stderr=subprocess.PIPE) as process:
        os.close(inner)
        with contextlib.suppress(OSError):  # Linux ends a terminal whose other end is closed so
            while piece := os.read(terminal, 65536):
                shown += piece
    os.close(terminal)
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"00:0\d\.\d  \d+ frames, \d+ a second", text)
    assert "armed person: 1 alert" in text


def test_names_in_other_letters_are_drawn(tmp_path: Path) -> None:
    zone = '[[alerts.zones]]\nname = "Stra\u00dfe \u5e97"\npoints = [[0, 0.5], [1, 0.5], [1, 1], [0, 1]]\n'
    rule = PERSON_RULE.replace("somebody", "T\u00fcr, wer l\u00e4nger bleibt als eine halbe Stunde")
    picture = tmp_path / "b ild.jpg"
    done = trial("scene", "-c", config(tmp_path, zone + rule), "--max-frames", "3", "--picture", picture)
    assert (done.returncode, done.stderr) == (0, "")
    assert cv2.imread(str(picture)) is not None
    assert plain("Stra\u00dfe, T\u00fcr \u5e97") == "Strasse, Tur ?"
