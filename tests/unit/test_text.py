"""Text of others, shown."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import cli
from edge.commands.common import LOG_FORMAT, PrintableLines, start_logging
from edge.commands.liveview import Notes
from edge.config import Config
from edge.configure import load_config
from edge.errors import ConfigError
from edge.stream.client import CommandFailed, Refused
from edge.text import is_printable, printable, shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a knife", "a knife"),
        ("a\nWARNING forged", r"a\nWARNING forged"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b2J\x7f\r\0", r"\x9b2J\x7f\r\x00"),
        ("gun\u202eemas\u2028\u2029\u2066\u200f\u061c", r"gun\u202eemas\u2028\u2029\u2066\u200f\u061c"),
        ("\ud800", r"\ud800"),
        ("Körper 刀 🔪 چاقو\u200cکشی 100 %s \\", "Körper 刀 🔪 چاقو\u200cکشی 100 %s \\"),
    ],
)
def test_what_steers_or_forges_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert is_printable(text) == (text == shown)


@given(st.text())
def test_what_is_printable_is_one_line_and_stays(text: str) -> None:
    shown = printable(text)
    assert is_printable(shown)
    assert len(shown.splitlines()) <= 1
    assert printable(shown) == shown


@pytest.mark.parametrize(
    ("text", "most", "cut"), [("", 3, ""), ("abcdef", 6, "abcdef"), ("abcdef", 5, "ab..."), ("abcdef", 3, "...")]
)
def test_a_cut_is_seen(text: str, most: int, cut: str) -> None:
    assert shortened(text, most) == cut


def test_what_a_device_says_is_escaped_like_all_else() -> None:
    """So nothing is lost by it, and Persian stays readable."""
    assert str(Refused("\x9b", "چاقو\u200cکشی")) == "the device refused: چاقو\u200cکشی (\\x9b)"
    assert str(CommandFailed("no", "a\nb")) == r"a\nb (no)"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the program's own logging writes."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.StringIO()
    start_logging(Config(), logging.StreamHandler(out))
    try:
        yield out
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def test_no_name_forges_a_line_of_the_log(log: io.StringIO) -> None:
    logging.getLogger("edge").warning("rule %s of %d%%", "a\n2026-01-01 00:00:00,000 INFO    forged \x1b[2J\u202e", 7)
    (line,) = log.getvalue().splitlines()
    assert line.endswith(r"WARNING rule a\n2026-01-01 00:00:00,000 INFO    forged \x1b[2J\u202e of 7%")
    assert LOG_FORMAT.startswith("%(asctime)s")


def test_a_traceback_keeps_its_lines_and_steers_nothing(log: io.StringIO) -> None:
    try:
        raise ValueError("\x1b[2J of a camera")
    except ValueError:
        logging.getLogger("edge").exception("a job failed")
    lines = log.getvalue().splitlines()
    assert len(lines) >= 4
    assert lines[0].endswith("ERROR   a job failed")
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == r"ValueError: \x1b[2J of a camera"


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("kind", [logging.StreamHandler, Notes])
@pytest.mark.parametrize(("text", "args"), [("%s with %d buffers", ("cam",)), ("%d", ("x",)), ("%(a)s", ({"b": 1},))])
def test_a_bad_call_of_the_log_ends_nobody(
    capsys: pytest.CaptureFixture[str], kind: type[logging.Handler], text: str, args: tuple[object]
) -> None:
    """A library's own mistake; logging tells it on stderr, and the caller goes on."""
    handler = kind()
    start_logging(Config(), handler)
    handler.handle(logging.LogRecord("picamera2", logging.WARNING, "camera.py", 1, text, args, None))
    assert "--- Logging error ---" in capsys.readouterr().err


def test_the_record_of_others_stays_as_it_was() -> None:
    record = logging.LogRecord("edge", logging.WARNING, "x.py", 1, "a %s", ("\x1b",), None)
    formatter = PrintableLines(logging.Formatter("%(message)s"))
    assert formatter.format(record) == r"a \x1b"
    assert (record.msg, record.args) == ("a %s", ("\x1b",))


def test_an_error_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["selftest", "--set", "\x1b[2J=1"])
    assert code == 2
    assert capsys.readouterr().err.startswith(r"preact-edge: --set \x1b[2J=1: ")


@pytest.mark.parametrize("key", ["id", "camera_id"])
@pytest.mark.parametrize("name", ["door\n2026 WARNING forged", "\x1b]0;title\x07", "\u202e", "x" * 129])
def test_names_of_the_device_are_one_printable_line(key: str, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"device[.:] ?{key} ?") as caught:
        load_config(None, {}, [f"device.{key}={name}"])
    assert str(caught.value).partition(": ")[2].isprintable()
    assert getattr(load_config(None, {}, [f"device.{key}=Tür 3"]).device, key) == "Tür 3"
