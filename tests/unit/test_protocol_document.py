"""docs/protocol.md is true: its statements are proven by tests, its examples and vectors are the tested ones."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.support import ROOT

PAGE = (ROOT / "docs/protocol.md").read_text("utf-8")
STATEMENT = re.compile(r"\[(EDGE-[0-9]+(?:\.[0-9]+)?-[0-9]+)\]")


def cited() -> set[str]:
    files = [path for folder in ("unit", "integration") for path in (ROOT / "tests" / folder).glob("test_*.py")]
    return {found for path in files for found in STATEMENT.findall(path.read_text("utf-8"))}


def test_each_statement_stands_once_and_is_proven_by_a_test() -> None:
    stated = STATEMENT.findall(PAGE)
    assert len(stated) == len(set(stated)) > 20
    assert sorted(set(stated) - cited()) == []


def test_no_test_cites_a_statement_that_is_not_there() -> None:
    assert sorted(cited() - set(STATEMENT.findall(PAGE))) == []


def test_the_examples_are_those_that_the_tests_compare_with() -> None:
    printed = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
    tested = json.loads((ROOT / "tests/vectors/messages.json").read_text())
    assert printed == list(tested.values())


def test_every_field_of_an_example_is_in_its_section() -> None:
    sections = re.split(r"\n### 4\.\d ", PAGE)[1:]
    for section in sections:
        for text in re.findall(r"```json\n(.*?)```", section, re.DOTALL):
            missing = [name for name in json.loads(text) if not re.search(rf"\b{name}\b", section.split("```")[0])]
            assert missing == []


def test_the_vectors_are_printed() -> None:
    vectors: dict[str, list[dict[str, Any]]] = json.loads((ROOT / "tests/vectors/framing.json").read_text("utf-8"))
    printed = re.findall(r"```\n([0-9a-f]+)\n```", PAGE)
    assert printed == [vector["hex"] for kind in ("good", "bad") for vector in vectors[kind]]


def test_the_commented_transcript_is_one_of_the_vectors() -> None:
    (transcript,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    data = "".join(line for line in transcript.splitlines() if not line.startswith(" "))
    assert data in re.findall(r"```\n([0-9a-f]+)\n```", PAGE)


def test_the_printed_client_is_the_one_that_runs_in_the_tests_and_is_short() -> None:
    (printed,) = re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL)
    assert printed == (ROOT / "tests/integration/plain_client.mjs").read_text("utf-8")
    assert len(printed.splitlines()) <= 30
