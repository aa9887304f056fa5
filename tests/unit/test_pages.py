"""What the pages promise a new user: commands that exist, and everything that an install by hand needs."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys

from edge.cli import parser
from edge.commands.version import PACKAGES
from edge.configure import tomllib
from tests.support import ROOT


def test_the_readme_has_each_command_and_no_other() -> None:
    commands = next(action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)).choices
    rows = re.findall(r"^\| `preact-edge ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(rows) == set(commands) - {"version"}


def test_the_jetsons_install_names_what_pip_would_bring() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"pip install (hatchling .*)", page)
    named = {re.split(r"[<>=]", word.strip('"'))[0] for word in line.split()}
    of_system, of_a_pi = "opencv-python-headless", "lgpio"
    assert named - {"hatchling", "editables"} == needed() - {of_system, of_a_pi}


def test_version_tells_of_all_that_is_needed() -> None:
    assert needed() - {"tomli"} <= set(PACKAGES), "tomli is in Python itself from 3.11 on"


def needed() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {re.split(r"[<>=; ]", each)[0] for each in project["dependencies"]}


def test_the_client_needs_no_more_than_its_page_says() -> None:
    page = (ROOT / "docs" / "python-client.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^pip install ([a-z].*)", page, re.MULTILINE)
    assert re.findall(r"[a-z]+", line.partition(";")[0]) == ["msgspec", "tomli"]
    others = ["numpy", "cv2", "cryptography", "gpiod", "gpiozero", "lgpio", "rich", "ai_edge_litert", "tzdata"]
    script = f"import sys; sys.modules.update(dict.fromkeys({others})); import edge.stream.client"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=60)
