"""Settings: sources, order, and errors that name the file, the key and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.configure import load_config
from edge.errors import ConfigError


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "site.toml"
    file.write_text(text)
    return file


def test_without_a_file_the_defaults_hold() -> None:
    config = load_config(None)
    assert config.listeners[0].host == "localhost"
    assert config.listeners[0].port == 8080
    assert config.camera.source == "scene"


def test_set_wins_over_environment_and_environment_over_file(tmp_path: Path) -> None:
    file = write(tmp_path, '[camera]\nsource = "a.mp4"\nfps = 5\nwidth = 640\n[[listeners]]\nport = 9000\n')
    config = load_config(
        file,
        {"PREACT_EDGE_CAMERA__FPS": "7", "PREACT_EDGE_CAMERA__WIDTH": "800", "HOME": "/x"},
        ["camera.width=320", "listeners.0.host=127.0.0.1", "camera.source=0"],
    )
    assert (config.camera.fps, config.camera.width, config.camera.source) == (7.0, 320, "0")
    assert (config.listeners[0].port, config.listeners[0].host) == (9000, "127.0.0.1")


def test_one_key_of_the_critical_pattern_leaves_the_others(tmp_path: Path) -> None:
    """Or a longer beep would silence the siren without a word."""
    from_file = load_config(write(tmp_path, "[gpio.patterns.critical]\non_s = 1.0\n"))
    from_option = load_config(None, {}, ["gpio.patterns.critical.on_s=1.0"])
    assert from_file == from_option
    assert from_file.gpio.patterns.critical.repeats == 12


def test_a_name_that_is_no_utf8_goes_through() -> None:
    config = load_config(None, {}, ["camera.source=\udcff.avi", "camera.fps=3"])
    assert config.camera.source == "\udcff.avi"


def test_lists_and_booleans_can_be_set() -> None:
    config = load_config(None, {}, ['alerts.crime_relevant=["cat"]', "camera.loop=false"])
    assert config.alerts.crime_relevant == ("cat",)
    assert config.camera.loop is False


def test_delegate_options_take_new_keys() -> None:
    config = load_config(None, {}, ["detector.delegate_options.device=usb:0"])
    assert config.detector.delegate_options == {"device": "usb:0"}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[camera]\nwidht = 3\n", ["camera.widht", "unknown key", "did you mean width?", "height"]),
        ("[camera]\nwidth = 'a'\n", ["camera.width", "expected int, got str", "a whole number, 64 to 7680"]),
        ("[camera]\nwidth = 1\n", ["camera.width", ">= 64", "64 to 7680"]),
        ("[camera]\nfps = 0\n", ["camera.fps", "a number, above 0 to 240"]),
        ("[camera]\nfps = nan\n", ["camera.fps"]),
        ("[[listeners]]\nframing = 'json'\n", ["listeners[0].framing", "json", "length, newline"]),
        ("listeners = []\n", ["listeners", "length >= 1"]),
        ("[[alerts.rules]]\nname = 'x'\n", ["alerts.rules[0]", "needs the key level"]),
        ("[camera]\nretry_min_s = 50\nretry_max_s = 1\n", ["camera: retry_min_s is 50, more than retry_max_s, 1"]),
        ("[detector.delegate_options]\na = 3\n", ["detector.delegate_options.*: expected str, got int; allowed: text"]),
        ("listeners = []\n", ["allowed: a list of tables, at least one"]),
        (
            "[[alerts.zones]]\nname = 'x'\npoints = [[10, 1], [0, 0], [0, 1]]\n",
            ["points[0][0]", "allowed: a number, 0 to 1"],
        ),
        (
            "[[alerts.zones]]\nname = 'x'\npoints = []\n",
            ["points", "a list of points, at least 3, at most 64"],
        ),
        ("[[alerts.lines]]\nname = 'x'\nstart = [0.1]\n", ["start", "allowed: a list of 2, each a number, 0 to 1"]),
        ("[gpio]\nbuzzer_pin = -1\n", ["gpio.buzzer_pin", "allowed: a whole number, 0 to 1023, or text"]),
        ("colour = 1\n", ["colour", "unknown key", "camera"]),
        ("[camera\n", ["not valid TOML", "line 1"]),
    ],
)
def test_a_wrong_file_names_itself_the_key_and_what_is_allowed(tmp_path: Path, text: str, parts: list[str]) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    message = str(caught.value)
    assert message.startswith(str(file))
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("environ", "overrides", "start"),
    [
        ({}, ["camera.fps"], "--set camera.fps: expected key.path=value"),
        ({}, ["camera.fbs=3"], "--set camera.fbs=3: camera.fbs: unknown key"),
        ({}, ["kamera.fps=3"], "--set kamera.fps=3: kamera: unknown key"),
        ({}, ["camera.fps.x=3"], "--set camera.fps.x=3: camera.fps.x: unknown key"),
        ({}, ["listeners.3.port=1"], "--set listeners.3.port=1: listeners.3: no such entry"),
        ({}, ["listeners.²=1"], "--set listeners.²=1: listeners.²: no such entry"),
        ({}, ["=3"], "--set =3: no key given"),
        ({}, ["camera.width=abc"], "--set camera.width=abc: camera.width: expected int, got str"),
        ({"PREACT_EDGE_CAMERA__WITDH": "3"}, [], "PREACT_EDGE_CAMERA__WITDH: camera.witdh: unknown key"),
    ],
)
def test_a_wrong_override_names_itself(environ: dict[str, str], overrides: list[str], start: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, environ, overrides)
    assert str(caught.value).startswith(start)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.toml: cannot be read"):
        load_config(tmp_path / "nothing.toml")
