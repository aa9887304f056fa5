"""docs/configuration.md is what the structs say."""

from __future__ import annotations

import re

import msgspec

from edge.commands.document import document
from edge.config import Config
from edge.configure import tomllib
from tests.support import ROOT


def test_the_page_is_made_from_the_settings() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == document(), "run: .venv/bin/python -m edge.commands.document"


def test_the_example_on_the_page_is_a_valid_config() -> None:
    example = re.search(r"```toml\n(.*?)```", document(), re.DOTALL)
    assert example is not None
    config = msgspec.convert(tomllib.loads(example.group(1)), Config)
    assert config.listeners[0].video


def test_every_setting_is_described() -> None:
    rows = [line for line in document().splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    assert [row for row in rows if row.endswith("|  |")] == []
