"""`preact-edge selftest` and `version`: what people and programs are told of this device."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import pytest

from edge import __version__
from edge.commands import selftest, version
from edge.inference.runtime import PACKAGES
from edge.outbox.database import FORMAT
from tests.integration.test_runtime import BUNDLED, REASONS, build, without_operators


def test_programs_are_told_in_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = report(capsys, tmp_path, "camera.width=320", "camera.height=180", min_fps=0.01)
    assert (code, told["ok"], told["problems"]) == (0, True, [])
    assert set(told) == {"ok", "problems", "runtime", "model", "delegate", "degraded", "boxes", "fps"}
    assert (told["model"], told["delegate"], told["degraded"], told["boxes"]["wrong"]) == ("bundled", "cpu", "", 0)
    assert told["boxes"]["objects"] >= told["boxes"]["frames"] > 0
    assert told["runtime"].split()[0] in PACKAGES.values()
    assert set(told["fps"]) == {"golden", "model"}
    assert min(told["fps"].values()) > 0


def test_a_device_that_is_too_slow_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = report(capsys, tmp_path, min_fps=1e9)
    assert (code, told["ok"], told["boxes"]["wrong"]) == (1, False, 0)
    assert len(told["problems"]) == 2
    assert re.fullmatch(
        r"the bundled clip: [0-9.e+]+ frames a second, fewer than the 1e\+09 of --min-fps; .*", told["problems"][0]
    )
    assert told["problems"][1].startswith("model bundled: ")
    code = selftest.run(options(tmp_path, min_fps=1e9))
    said = capsys.readouterr()
    assert (code, said.out.splitlines()[-1]) == (1, "selftest failed")
    assert [line[:9] for line in said.err.splitlines()] == ["problem  "] * 2


def test_what_reads_the_devices_own_model_does_not_read_the_bundled_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The boxes are found; that these settings do not fit the model which they name is another matter."""
    code, told = report(capsys, tmp_path, "detector.decoder=ssd", "detector.max_detections=1")
    assert (code, told["boxes"]["wrong"]) == (1, 0)
    (problem,) = told["problems"]
    assert "are no ssd detector's" in problem
    assert set(told["fps"]) == {"golden"}


def test_a_model_that_is_not_there_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = report(capsys, tmp_path, "detector.model=mobiledet")
    assert (code, told["boxes"]["wrong"]) == (1, 0)
    assert told["problems"] == [
        "model mobiledet: is not on this device; fetch it with: preact-edge models pull mobiledet"
    ]


@pytest.mark.parametrize("name", ["aborts", "cannot run the model"])
def test_an_accelerator_that_fails_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    library = build(tmp_path, name)
    code, told = report(capsys, tmp_path, f"detector.delegate={library}")
    (problem,) = told["problems"]
    assert (code, told["delegate"], told["degraded"]) == (1, "cpu", problem)
    assert re.search(REASONS[name], problem)


def test_an_accelerator_that_fails_is_told_where_nothing_else_can_run_the_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library, model = build(tmp_path, "refuses"), tmp_path / "model_edgetpu.tflite"
    model.write_bytes(without_operators(BUNDLED))
    code, told = report(capsys, tmp_path, f"detector.delegate={library}", f"detector.model={model}")
    assert (code, told["model"], told["boxes"]["wrong"]) == (1, "", 0)
    assert "the accelerator failed: " in told["degraded"]
    assert told["degraded"] == told["problems"][-1]


def test_an_edge_tpu_has_nothing_to_do_with_the_bundled_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else no device with one would ever pass: the CPU finds the boxes, and its own model is tried on the TPU."""
    code, told = report(capsys, tmp_path, "detector.delegate=edgetpu")
    assert (code, told["boxes"]["wrong"]) == (1, 0)
    (problem,) = told["problems"]
    assert problem == told["degraded"]
    assert problem.startswith("delegate edgetpu: ") or "is not compiled for the Edge TPU" in problem


def test_version_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert version.run(argparse.Namespace(json=True)) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["outbox_format"]) == (__version__, FORMAT)
    name, _, number = told["runtime"].partition(" ")
    assert told["packages"][name] == number
    assert set(told["packages"]) == set(version.PACKAGES)
    assert version.run(argparse.Namespace(json=False)) == 0
    assert f"\noutbox format {FORMAT}\n" in capsys.readouterr().out


def options(folder: Path, *overrides: str, min_fps: float | None = None, as_json: bool = False) -> argparse.Namespace:
    settings = [f"storage.state_dir={folder / 'a state'}", *overrides]
    return argparse.Namespace(config=None, overrides=settings, min_fps=min_fps, json=as_json)


def report(
    capsys: pytest.CaptureFixture[str], folder: Path, *overrides: str, min_fps: float | None = None
) -> tuple[int, dict[str, Any]]:
    """The exit code, and what stdout held: one object and nothing else."""
    code = selftest.run(options(folder, *overrides, min_fps=min_fps, as_json=True))
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, told
