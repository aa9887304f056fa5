"""The units that a device gets: systemd knows every line of them, and how far the service is shut in."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT

FOLDER = ROOT / "deploy" / "systemd"
UNITS = sorted(path.name for kind in ("service", "timer") for path in FOLDER.glob(f"*.{kind}"))
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", "--no-pager", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_knows_every_line(unit: str, tmp_path: Path) -> None:
    for each in UNITS:  # the programs are not on this machine
        text = re.sub(r"^(Exec\w+=-?)/\S+", r"\1/bin/sh", (FOLDER / each).read_text(), flags=re.MULTILINE)
        (tmp_path / each).write_text(text)
    found = analyze("verify", "--man=no", tmp_path / unit)
    assert found.stderr == ""
    assert found.returncode == 0


@needs_systemd
def test_the_service_is_shut_in() -> None:
    if "--offline" not in analyze("--help").stdout:
        pytest.skip("needs a systemd-analyze that judges a file: 250 or later")
    found = analyze("security", "--offline=true", "--threshold=16", FOLDER / "preact-edge.service")
    assert found.returncode == 0, found.stdout


def test_what_the_release_brings_and_what_runs_it_are_the_same() -> None:
    """The end of a killed program is seen to with the settings that it had."""
    text = (FOLDER / "preact-edge.service").read_text()
    found = [re.findall(rf"^{key}=-?(\S+) .*-c (\S+)$", text, re.MULTILINE) for key in ("ExecStart", "ExecStopPost")]
    current = "/opt/preact-edge/current"
    assert found == 2 * [[(f"{current}/venv/bin/preact-edge", f"{current}/config/preact-edge.toml")]]


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_a_file_that_has_another_name_on_the_device_says_so(path: Path) -> None:
    if path.suffix in {".conf", ".rules"}:
        assert path.read_text().startswith("# Installed as /etc/")
    else:
        assert path.name in UNITS
