"""docs/protocol.md is true: its statements are proven by tests, its examples and vectors are the tested ones."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

import pytest

from edge.config import Config
from edge.wire import faults
from edge.wire.framing import MAX_JPEG, MAX_JSON
from edge.wire.inbound import LIMIT_AFTER, LIMIT_BEFORE
from edge.wire.requests import MAX_DEPTH
from tests.support import ROOT

PAGE = (ROOT / "docs/protocol.md").read_text("utf-8")
STATEMENT = re.compile(r"\[(EDGE-[0-9]+(?:\.[0-9]+)?-[0-9]+)\]")
VECTORS = ROOT / "tests/vectors"


def vectors(name: str) -> Any:
    return json.loads((VECTORS / name).read_text("utf-8"))


def section(number: str) -> str:
    """The text of one section, its subsections included."""
    (text,) = re.findall(rf"^## {number}\. .*?(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    return str(text)


def examples(text: str) -> list[dict[str, Any]]:
    return [json.loads(found) for found in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]


def cited() -> set[str]:
    files = [path for folder in ("unit", "integration") for path in (ROOT / "tests" / folder).rglob("test_*.py")]
    return {found for path in files for found in STATEMENT.findall(path.read_text("utf-8"))}


def test_each_statement_stands_once_and_is_proven_by_a_test() -> None:
    stated = STATEMENT.findall(PAGE)
    assert len(stated) == len(set(stated)) > 100
    assert sorted(set(stated) - cited()) == []


def test_no_test_cites_a_statement_that_is_not_there() -> None:
    assert sorted(cited() - set(STATEMENT.findall(PAGE))) == []


def test_each_statement_stands_in_its_section_in_order() -> None:
    for number in range(1, 12):
        stated = STATEMENT.findall(section(str(number)))
        assert all(found.startswith(f"EDGE-{number}-") for found in stated)
        assert sorted(int(found.split("-")[2]) for found in stated) == list(range(1, len(stated) + 1))


def test_a_must_stands_only_in_a_numbered_statement() -> None:
    paragraphs = re.split(r"\n\n|\n(?=- )", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL))
    assert [each for each in paragraphs if re.search(r"\bMUST\b", each) and not STATEMENT.search(each)] == []


def test_the_examples_are_those_that_the_tests_compare_with() -> None:
    assert examples(section("4")) == list(vectors("messages.json").values())
    valid = [json.loads(vector["text"]) for vector in vectors("requests.json")["valid"]]
    assert len(examples(section("8"))) == 7
    assert [example for example in examples(section("8")) if example not in valid] == []


def test_the_examples_of_commands_are_those_of_the_vectors() -> None:
    printed = examples(section("10"))
    assert [(command["cmd"], command["args"]) for command in printed[::2]] == [
        (vector["cmd"], vector["args"]) for vector in vectors("commands.json")
    ]
    assert [answer["result"] for answer in printed[1::2]] == [vector["result"] for vector in vectors("commands.json")]


@pytest.mark.parametrize(("number", "least"), [("4", 10), ("8", 5), ("10", 9)])
def test_every_field_of_an_example_is_in_its_section(number: str, least: int) -> None:
    sections = re.split(r"^### [0-9]+\.[0-9]+ ", section(number), flags=re.MULTILINE)[1:]
    assert len(sections) >= least
    for text in sections:
        table = text.split("```")[0]
        for example in examples(text):
            fields = [*example.get("args", {}), *example.get("result", {})] if number == "10" else [*example]
            assert [name for name in fields if not re.search(rf"\b{name}\b", table)] == []


def test_both_lists_of_errors_are_complete() -> None:
    """[EDGE-7-1]"""
    fatal, mild = (re.findall(r"^\| ([a-z_]+) \|", text, re.MULTILINE) for text in section("7").split("**Not fatal"))
    assert sorted(fatal[1:]) == sorted(get_args(faults.FatalCode))
    assert sorted(mild[1:]) == sorted(get_args(faults.MildCode))


def test_the_limits_are_the_defaults_of_the_settings() -> None:
    config = Config()
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \| ([a-z_]+\.[a-z_., ]+) \|", section("6"), re.MULTILINE)
    settings = {name for _, names in rows for name in names.split(", ")}
    assert settings >= {f"stream.{name}" for name in config.stream.__struct_fields__} - {"stream.alerts"}
    assert settings >= {f"outbox.{name}" for name in config.outbox.__struct_fields__}
    for limit, names in rows:
        for name in names.split(", "):
            value = getattr(getattr(config, name.split(".")[0]), name.split(".")[1])
            assert re.search(rf"(^|\D){value:,g}(\D|$)".replace(".", "[.]"), limit), name


def test_the_limits_of_messages_are_those_of_the_code() -> None:
    text = section("6")
    for limit in (f"{LIMIT_BEFORE} bytes", f"{LIMIT_AFTER} bytes", f"| {MAX_DEPTH} |"):
        assert limit in text
    assert f"{MAX_JSON >> 20} MiB, a picture at most {MAX_JPEG >> 20} MiB" in section("2")


def test_the_framing_vectors_are_printed() -> None:
    printed = re.findall(r"```\n([0-9a-f]+)\n```", PAGE)
    assert printed == [vector["hex"] for kind in ("good", "bad") for vector in vectors("framing.json")[kind]]


def test_the_commented_vector_is_one_of_them() -> None:
    transcript, _ = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    data = "".join(line for line in transcript.splitlines() if not line.startswith(" "))
    assert data in [vector["hex"] for vector in vectors("framing.json")["good"]]


def test_the_printed_session_is_the_vector_byte_for_byte() -> None:
    _, transcript = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    printed = re.findall(r"^(device|client): (.*)\n    ([0-9a-f]{8}) (.*)$", transcript, re.MULTILINE)
    assert len(printed) * 2 == len(transcript.splitlines())
    assert [(side, about, size + text.encode().hex()) for side, about, size, text in printed] == [
        (said["from"], said["about"], said["hex"]) for said in vectors("session.json")
    ]


def test_the_worked_login_is_the_first_vector() -> None:
    (printed,) = re.findall(r"```\n(key  .*?)```", PAGE, re.DOTALL)
    values = dict(line.split(" = ") for line in re.sub(" +=", " =", printed).splitlines())
    first = vectors("login.json")[0]
    assert values == {name: first[name] for name in first if name not in ("name", "joined")}


def test_every_file_of_vectors_is_told_of_in_the_page() -> None:
    assert re.findall(r"^\| ([a-z_]+\.json) \|", section("12"), re.MULTILINE) == [
        *["framing.json", "messages.json", "requests.json", "login.json", "resume.json"],
        *["cursor.json", "commands.json", "session.json"],
    ]
    assert sorted(path.name for path in VECTORS.glob("*.json")) == sorted(
        re.findall(r"^\| ([a-z_]+\.json) \|", section("12"), re.MULTILINE)
    )


def test_the_printed_client_is_the_one_that_runs_in_the_tests_and_is_short() -> None:
    (printed,) = re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL)
    assert printed == (ROOT / "tests/integration/plain_client.mjs").read_text("utf-8")
    assert len(printed.splitlines()) <= 30
