"""``preact-edge check`` refuses what ``run`` refuses, in the same words."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.app import App
from edge.commands import check, common
from edge.controls.settings import FILE
from edge.errors import EdgeError
from tests.certificates import FleetFiles, make_fleet
from tests.integration.test_runtime import BUNDLED, REASONS, build, without_operators
from tests.streaming import own_port

TLS = "[[listeners]]\nhost = '127.0.0.1'\nport = 0\ntls = true\n"
SECURITY = "[security]\ncertificate = '{certificate}'\nprivate_key = "
CERTIFICATE = SECURITY + "'{key}'\n"
ELSEWHERE = "[[backends]]\nhost = '192.0.2.1'\nport = 9\n"
HMAC = "[[listeners]]\nport = 0\nauth = 'hmac'\n"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> FleetFiles:
    return make_fleet(tmp_path_factory.mktemp("a fleet"))


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


@pytest.fixture
def free() -> Iterator[int]:
    """A port that nobody listens on."""
    with own_port() as port:
        yield port


def options(folder: Path, text: str) -> argparse.Namespace:
    file = folder / "edge.toml"
    file.write_text(text)
    listen = [] if "[[listeners]]" in text else ["listeners.0.port=0"]
    overrides = [f"storage.state_dir={folder}", *listen]
    return argparse.Namespace(config=str(file), overrides=overrides, no_hardware=False)


def refusal_of_run(args: argparse.Namespace) -> str:
    try:
        config = common.load(args)
        app = App(config)
        app.start(common.resolve_model(config))
    except EdgeError as error:
        return str(error)
    app.stop()
    raise AssertionError("it started")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{ELSEWHERE}tls = false\n", "backend 192.0.2.1:9: without TLS anybody could answer there"),
        (ELSEWHERE, "security.ca and security.certificate: must be set; dialling out over TLS needs it"),
        (ELSEWHERE + CERTIFICATE, "security.ca: must be set; dialling out over TLS needs it"),
        (TLS, "security.certificate: must be set; a listener with tls = true needs it"),
        (TLS + "auth = 'mtls'\n" + CERTIFICATE, "security.ca: must be set; a listener with auth"),
        (TLS + "[security]\ncertificate = '{folder}/none.pem'\nprivate_key = 'x'\n", "none.pem: cannot be read"),
        (TLS + SECURITY + "'{folder}/open.key'\n", "open.key: every user of this machine may open it"),
        (TLS + SECURITY + "'{other}'\n", "is not the key of"),
        (TLS + SECURITY + "'{folder}'\n", "cannot be read: Is a directory"),
        (TLS + CERTIFICATE + "revocation_list = '{folder}/x'\n", "security.ca: is not set; security.revocation_list"),
        (HMAC, 'security.login_keys: is not set; a listener with auth = "hmac" needs it'),
        (HMAC + "[security]\nlogin_keys = '{folder}/keys.toml'\n", "keys.toml: must hold [keys.NAME] tables"),
        ("[[listeners]]\nport = 0\nname = 'a'\n" * 2, "listeners: two have the name a"),
        ("[[listeners]]\nport = 0\nname = 'listener-2'\n[[listeners]]\nport = 0\n", "two have the name listener-2"),
        ("[[listeners]]\nhost = '127.0.0.1'\nport = {taken}\n", "is in use by another program"),
        ("[[listeners]]\nhost = '127.0.0.1'\nport = {free}\n" * 2, "both want 127.0.0.1:"),
        ("[[listeners]]\nhost = '0.0.0.0'\nport = 0\n", "can be reached from other machines, without login"),
        ("[[listeners]]\nhost = '192.0.2.1'\nport = 0\nallow_insecure = true\n", "no such address on this machine"),
        ("[gpio]\nrequired = true\n", "gpio.required is true"),
        ("[storage]\nmodels_dir = '/proc/none'\n[detector]\nmodel = 'mobiledet'\n", "mobiledet"),
        ("[[alerts.rules]]\nname = 'x'\nlevel = 'low'\n", "rule 'x': it asks for no class"),
    ],
)
def test_check_and_run_refuse_in_the_same_words(
    fleet: FleetFiles, taken: int, free: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    shutil.copy(fleet.device.private_key, tmp_path / "open.key")
    (tmp_path / "open.key").chmod(0o644)
    (tmp_path / "keys.toml").touch(0o600)
    words_for = {
        "{folder}": tmp_path,
        "{taken}": taken,
        "{free}": free,
        "{certificate}": fleet.device.certificate,
        "{key}": fleet.device.private_key,
        "{other}": fleet.viewer.private_key,
    }
    for word, value in words_for.items():
        text = text.replace(word, str(value))
    args = options(tmp_path, text)
    refusal = refusal_of_run(args)
    assert words in refusal
    assert check.run(args) in (1, 2)
    problems = {line[18:] for line in capsys.readouterr().out.splitlines() if line.startswith("problem")}
    assert problems == {refusal}


def test_check_dials_no_backend(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as backend:
        backend.setblocking(False)
        port = backend.getsockname()[1]
        assert check.run(options(tmp_path, f"[[backends]]\nhost = '127.0.0.1'\nport = {port}\ntls = false\n")) == 0
        with pytest.raises(BlockingIOError):
            backend.accept()
    assert "can be bound" in capsys.readouterr().out


def test_check_tells_of_kept_changes_and_of_settings_that_blind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / FILE).write_text(json.dumps({"detector.score_threshold": 0.97}))
    assert check.run(options(tmp_path, "")) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note")]
    assert notes[0] == (
        "note     state    kept change (set_config): detector.score_threshold = 0.97 instead of 0.4; "
        f"clear with the command reset_config or delete {tmp_path / FILE}"
    )
    assert notes[1] == "note     model    detector.score_threshold is 0.97: hardly anything can be detected"
    assert check.run(options(tmp_path, "[alerts]\nrules = []\n")) == 0
    assert "note     model    no rule can fire: alerts.rules is empty" in capsys.readouterr().out


def beside(folder: Path, text: str) -> int:
    args = options(folder, text)
    args.no_hardware = True
    return check.run(args)


def lines(said: str) -> dict[str, list[str]]:
    """The kinds of line that each part had."""
    found: dict[str, list[str]] = {}
    for line in said.splitlines():
        kind, name = line.split()[:2]
        found.setdefault(name, []).append(kind)
    return found


def test_beside_a_running_service_what_it_has_is_left_out(
    taken: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"[camera]\nsource = '/dev/video87'\n[gpio]\nrequired = true\n[[listeners]]\nport = {taken}\n"
    assert beside(tmp_path, text) == 0
    said = capsys.readouterr().out
    assert set(lines(said)) == {"config", "state", "model", "security", "port"}
    assert "the ports were left out" in said
    assert "problem" not in said


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("[camera]\nfps = 0\n", 2, "camera.fps"),
        (TLS, 2, "security.certificate: must be set"),
        ("[[listeners]]\nhost = '0.0.0.0'\nport = 80\n", 2, "can be reached from other machines, without login"),
        ("[[listeners]]\nport = 0\nname = 'a'\n" * 2, 2, "listeners: two have the name a"),
        ("[[listeners]]\nport = 4567\n" * 2, 2, "both want "),
        ("[detector]\nmodel = '/nowhere/a.tflite'\n", 1, "/nowhere/a.tflite: cannot be read"),
        ("[detector]\nmodel = 'mobiledet-edgetpu'\ndelegate = 'edgetpu'\n", 1, "models pull mobiledet-edgetpu"),
        (ELSEWHERE + "tls = false\n", 2, "without TLS anybody could answer there"),
    ],
)
def test_beside_a_running_service_what_is_wrong_with_the_settings_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, code: int, words: str
) -> None:
    assert beside(tmp_path, text) == code
    (problem,) = {line for line in capsys.readouterr().out.splitlines() if line.startswith("problem")}
    assert words in problem


def test_beside_a_running_service_its_accelerator_is_not_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert beside(tmp_path, "[detector]\ndelegate = 'edgetpu'\n") == 0
    said = capsys.readouterr().out
    assert "note     model    delegate edgetpu was left out; `preact-edge selftest` tries it" in said
    assert "CPU with" in said
    accelerated = tmp_path / "model_edgetpu.tflite"
    accelerated.write_bytes(without_operators(BUNDLED))
    assert beside(tmp_path, f"[detector]\ndelegate = 'edgetpu'\nmodel = '{accelerated}'\n") == 0
    assert "is for the accelerator alone" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["segfaults", "refuses"])
def test_an_accelerator_that_does_not_fit_is_a_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """A driver of another release than its runtime ends the process that loads it, or refuses."""
    library = build(tmp_path, name)
    assert check.run(options(tmp_path, f"[detector]\ndelegate = '{library}'\n")) == 1
    said = capsys.readouterr().out
    (problem,) = [line for line in said.splitlines() if line.startswith("problem")]
    assert problem.startswith(f"problem  model    delegate {library}: ")
    assert re.search(REASONS[name], problem)
