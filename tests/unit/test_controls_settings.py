"""Changes of settings: checked, kept, loaded again, undone."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.config import Config
from edge.configure import load_config
from edge.controls.settings import CHANGEABLE, FILE, KeptSettings, kept_settings
from edge.errors import ConfigError, EdgeError, StateError

START = load_config(None, {}, ["video.quality=70"])
RULE = {"name": "dog", "level": "low", "any": ["dog"]}
ZONE = {"name": "door", "points": [[0, 0], [1, 0], [1, 1]]}
LINE = {"name": "step", "start": [0, 0], "end": [1, 1]}
NIGHT = {"name": "night", "times": ["22:00-06:00"]}
IN_ZONE = {**RULE, "zones": ["door"], "schedule": "night"}


class Program:
    """What settings are applied to."""

    def __init__(self) -> None:
        self.applied: list[Config] = []
        self.fault: EdgeError | None = None

    def __call__(self, config: Config) -> None:
        if self.fault is not None:
            raise self.fault
        self.applied.append(config)


def kept(folder: Path) -> Any:
    return json.loads((folder / FILE).read_bytes())


def test_changes_are_applied_kept_and_there_after_a_restart(tmp_path: Path) -> None:
    settings, program = kept_settings(START, tmp_path), Program()
    assert (settings.config, settings.changed, settings.warnings) == (START, {}, ())
    settings.change({"detector.score_threshold": 0.7, "alerts.rules": [RULE]}, program)
    settings.change({"video.annotated": False}, program)
    assert program.applied[-1] == settings.config
    assert (settings.config.detector.score_threshold, settings.config.video.annotated) == (0.7, False)
    assert settings.config.video.quality == 70
    again = kept_settings(START, tmp_path)
    assert again.config == settings.config
    assert again.changed == settings.changed
    assert set(again.changed) == {"detector.score_threshold", "alerts.rules", "video.annotated"}
    assert again.changed["alerts.rules"][0]["name"] == "dog"


def test_kept_changes_win_over_the_start_and_reset_forgets_them(tmp_path: Path) -> None:
    settings, program = kept_settings(START, tmp_path), Program()
    settings.change({"video.quality": 20}, program)
    again = kept_settings(load_config(None, {}, ["video.quality=90"]), tmp_path)
    assert again.config.video.quality == 20
    again.reset(program)
    assert again.config.video.quality == 90
    assert program.applied[-1] == again.config
    assert again.changed == {}
    assert kept_settings(START, tmp_path).config == START


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"camera.source": "0"}, "camera.source: cannot be changed so; changeable are detector.score_threshold, "),
        ({"video.quality": 50, "gpio.buzzer_pin": 3}, "gpio.buzzer_pin: cannot be changed so"),
        ({"video.quality": 50, "video.max_fps": 0}, "set_config: video.max_fps: "),
        ({"video.quality": True}, "set_config: video.quality: expected int, got bool"),
        ({"detector.score_threshold": None}, "set_config: detector.score_threshold: expected float, got null"),
        ({"alerts.rules": [{**RULE, "lvl": 1}]}, "set_config: alerts.rules.0.lvl: unknown key (did you mean level?)"),
        ({"alerts.rules": [RULE, RULE]}, "set_config: alerts.rules: rule 'dog': another rule has this name"),
        ({"alerts.rules.0.level": "high"}, "alerts.rules.0.level: cannot be changed so"),
        (
            {"alerts.rules": [{**RULE, "name": str(n)} for n in range(65)]},
            "set_config: alerts.rules: expected array of",
        ),
        ({"alerts.rules": [{**RULE, "name": "x" * 65}]}, "set_config: alerts.rules[0].name: expected str of length"),
        ({"alerts.rules": [{**RULE, "cooldown_s": -1}]}, "set_config: alerts.rules[0].cooldown_s: expected float >= 0"),
        ({"alerts.rules": [{**RULE, "near": 101}]}, "set_config: alerts.rules[0].near: expected float <= 100"),
        ({"alerts.rules": [{**RULE, "zones": ["x"]}]}, "set_config: alerts: rule 'dog': there is no zone 'x' that rul"),
        (
            {"alerts.rules": [{**RULE, "when": "entered"}]},
            "set_config: alerts.rules[0]: rule 'dog': when = \"entered\"",
        ),
        (
            {"alerts.zones": [{**ZONE, "points": [[0, 0]]}]},
            "set_config: alerts.zones[0].points: expected array of leng",
        ),
        (
            {"alerts.schedules": [{"name": "s", "times": ["x"]}]},
            "set_config: alerts.schedules[0]: schedule s: 'x' is no",
        ),
        ({"alerts.time_zone": "Mars/Base"}, "set_config: alerts: time_zone: there is no time zone 'Mars/Base'"),
        ({"alerts.rules": [{**RULE, "any": ["a"] * 65}]}, "set_config: alerts.rules[0].any: expected array of length"),
        ({"alerts.rules": [{**RULE, "none": ["a" * 129]}]}, "set_config: alerts.rules[0].none[0]: expected str of len"),
        ({"alerts.crime_relevant": ["a"] * 257}, "set_config: alerts.crime_relevant: expected array of length <= 256"),
        ({"alerts.rules": [{**RULE, "name": "a\nb"}]}, r"set_config: alerts.rules: rule 'a\nb': its name or that of a"),
        ({"alerts.rules": [{**RULE, "any": ["\x1b[2J"]}]}, "set_config: alerts.rules: rule 'dog': its name or that"),
    ],
)
def test_wrong_values_change_nothing(tmp_path: Path, values: dict[str, Any], words: str) -> None:
    settings, program = kept_settings(START, tmp_path), Program()
    settings.change({"video.max_width": 640}, program)
    with pytest.raises(ConfigError) as caught:
        settings.change(values, program)
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)
    assert len(program.applied) == 1
    assert settings.changed == kept(tmp_path) == {"video.max_width": 640}


def test_everything_changeable_can_be_changed(tmp_path: Path) -> None:
    settings, program = kept_settings(START, tmp_path), Program()
    values = (0.9, [IN_ZONE], ["dog"], [ZONE], [LINE], [NIGHT], "Europe/Berlin", 3.0, 3.5, 33, False, 99)
    settings.change(dict(zip(CHANGEABLE, values, strict=True)), program)
    assert set(settings.changed) == set(CHANGEABLE)
    assert kept_settings(START, tmp_path).config == settings.config


def test_rules_and_the_zones_that_they_name_come_back_together_in_whatever_order(tmp_path: Path) -> None:
    settings, program = kept_settings(START, tmp_path), Program()
    settings.change({"alerts.rules": [RULE]}, program)
    settings.change({"alerts.zones": [ZONE], "alerts.schedules": [NIGHT]}, program)
    settings.change({"alerts.rules": [IN_ZONE], "video.quality": 33}, program)
    assert next(iter(kept(tmp_path))) == "alerts.rules"
    again = kept_settings(START, tmp_path)
    assert again.config == settings.config
    old = {"zones": [{**ZONE, "name": "old"}], "rules": [{**RULE, "zones": ["old"]}]}
    other = kept_settings(msgspec.convert({"alerts": old}, Config), tmp_path)
    assert [zone.name for zone in other.config.alerts.zones] == ["door"], "none of both would be valid by itself"
    assert set(other.changed) == set(again.changed)


def test_of_rules_and_zones_the_valid_ones_are_kept(tmp_path: Path) -> None:
    values = {"alerts.rules": [{**RULE, "zones": ["nowhere"]}], "alerts.zones": [ZONE], "video.quality": 33}
    (tmp_path / FILE).write_text(json.dumps(values))
    settings = kept_settings(START, tmp_path)
    assert set(settings.changed) == {"alerts.zones", "video.quality"}
    assert "there is no zone 'nowhere' that rules may name; there are: door; it is left out" in settings.warnings[0]


def test_what_cannot_be_written_is_not_applied(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    settings, program = kept_settings(START, folder), Program()
    folder.rmdir()
    with pytest.raises(StateError, match=r"settings\.json: cannot be written: No such file .*; nothing was changed"):
        settings.change({"video.quality": 50}, program)
    assert program.applied == []
    assert (settings.config, settings.changed) == (START, {})


def test_what_cannot_be_applied_is_not_kept(tmp_path: Path) -> None:
    settings, program = kept_settings(START, tmp_path), Program()
    settings.change({"video.quality": 60}, program)
    program.fault = EdgeError("the inference thread did not answer")
    for attempt in (lambda: settings.change({"video.quality": 50}, program), lambda: settings.reset(program)):
        with pytest.raises(EdgeError, match="did not answer"):
            attempt()
    assert settings.config.video.quality == 60
    assert settings.changed == kept(tmp_path) == {"video.quality": 60}


def test_of_two_changes_at_once_one_is_refused(tmp_path: Path) -> None:
    settings = kept_settings(START, tmp_path)
    inside, go = threading.Event(), threading.Event()

    def slow(_: Config) -> None:
        inside.set()
        assert go.wait(10)

    first = threading.Thread(target=settings.change, args=({"video.quality": 50}, slow))
    first.start()
    assert inside.wait(10)
    with pytest.raises(EdgeError, match="are being changed by somebody else"):
        settings.change({"video.quality": 40}, Program())
    go.set()
    first.join(10)
    assert settings.changed == {"video.quality": 50}


def test_kept_values_that_are_no_longer_valid_are_left_out_and_told(tmp_path: Path) -> None:
    values = {"video.quality": 5, "camera.source": "0", "alerts.rules": [{**RULE, "any": []}], "video.max_fps": 2}
    (tmp_path / FILE).write_text(json.dumps(values))
    settings = kept_settings(START, tmp_path)
    assert settings.changed == {"video.max_fps": 2}
    assert settings.config.video.max_fps == 2
    assert settings.config.video.quality == 70
    assert len(settings.warnings) == 4
    assert "video.quality: expected int >= 10" in settings.warnings[0]
    assert "camera.source: cannot be changed so; it is left out" in settings.warnings[1]
    assert "asks for no class" in settings.warnings[2]


def test_kept_changes_are_told_at_every_start(tmp_path: Path) -> None:
    """Who reads the config file alone would take its values for those in use."""
    settings, program = kept_settings(START, tmp_path), Program()
    settings.change({"detector.score_threshold": 0.97, "video.quality": 70, "alerts.rules": []}, program)
    for _ in range(2):
        threshold, rules = kept_settings(START, tmp_path).warnings
        assert threshold == (
            "kept change (set_config): detector.score_threshold = 0.97 instead of 0.4; "
            f"clear with the command reset_config or delete {tmp_path / FILE}"
        )
        assert rules.startswith('kept change (set_config): alerts.rules = [] instead of [{"name": "armed person", ')
        assert len(rules) < 500, "a line"
    settings.reset(program)
    assert kept_settings(START, tmp_path).warnings == ()


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[1]", b"", b"[" * 100_000])
def test_a_damaged_file_is_put_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    settings = kept_settings(START, tmp_path)
    assert settings.config == START
    (aside,) = tmp_path.iterdir()
    assert aside.name.startswith("settings.json.damaged-")
    assert aside.read_bytes() == content
    assert len(settings.warnings) == 1
    assert aside.name in settings.warnings[0]
    settings.change({"video.quality": 50}, Program())
    assert kept(tmp_path) == {"video.quality": 50}


def test_damaged_files_of_one_second_are_both_there(tmp_path: Path) -> None:
    for content in ("{1", "{2"):
        (tmp_path / FILE).write_text(content)
        KeptSettings(START, tmp_path / FILE).load(1_700_000_000.0)
    names = ["settings.json.damaged-20231114T221320Z", "settings.json.damaged-20231114T221320Z-2"]
    assert sorted(os.listdir(tmp_path)) == names
    assert [(tmp_path / name).read_text() for name in names] == ["{1", "{2"]


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    settings = kept_settings(START, tmp_path)
    assert settings.config == START
    assert "settings.json: cannot be read: Is a directory" in settings.warnings[0]
