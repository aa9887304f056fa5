"""The names of a model's classes, from a file beside it or inside it."""

from __future__ import annotations

import ast
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.errors import ModelError
from edge.text import printable

BACKGROUND = ("???", "background", "__background__")
_INDEXED = re.compile(r"\s*(\d+)\s*[:,\s]\s*(\S.*?)\s*$")
_MOST_BYTES = 1 << 20  # a labels file is a few kilobytes; a video given by mistake is not read whole


@dataclass(frozen=True, slots=True)
class Labels:
    """Class ids and their names; ``source`` says where they come from."""

    source: str = ""
    names: Mapping[int, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """One more than the highest class id that has a name."""
        return max(self.names, default=-1) + 1

    def name(self, class_id: int) -> str:
        """The name, else ``class N``."""
        return self.names.get(class_id) or f"class {class_id}"


def read_labels(path: Path) -> Labels:
    """Read one name a line, or ``index name`` / ``index: name`` / ``index, name`` lines in any order and with gaps.

    A first entry ``???`` or ``background`` is no class of the model: the next one is class 0. Raises ModelError.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise ModelError(f"labels {path}: cannot be read: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"labels {path}: is not UTF-8 text; give a file with one class name a line") from error
    names = parse_labels(text)
    if not names or "\0" in text:
        raise ModelError(f"labels {path}: holds no class names; give a file with one class name a line")
    return Labels(str(path), names)


def check_count(labels: Labels, class_count: int) -> None:
    """Raise ModelError where labels are known and too few for ``class_count`` classes."""
    if 0 < labels.count < class_count:
        raise ModelError(
            f"labels {labels.source}: {labels.count} names, but the model has {class_count} classes; "
            "give the model's own labels"
        )


def parse_labels(text: str) -> dict[int, str]:
    """Class ids and names of a labels file's text; see ``read_labels``."""
    lines = [line.strip() for line in text.rstrip().splitlines()]
    matches = [_INDEXED.match(line) for line in lines if line]
    indexed = {int(match[1]): match[2] for match in matches if match}
    if matches and len(indexed) == len(matches):
        names = indexed
    else:
        names = {index: line for index, line in enumerate(lines) if line}
    if names.get(0, "").lower() in BACKGROUND:
        names = {index - 1: name for index, name in names.items() if index > 0}
    return {index: printable(name) for index, name in names.items()}


def labels_in_model(path: Path) -> Labels:
    """The labels that exporters append to a model as a zip archive; empty where there are none."""
    try:
        with zipfile.ZipFile(path) as archive:
            small = [entry for entry in archive.infolist() if entry.file_size <= _MOST_BYTES]
            texts = {entry.filename: archive.read(entry).decode("utf-8-sig") for entry in small}
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError, RuntimeError, NotImplementedError):
        return Labels()
    for name, text in texts.items():
        if names := _names_in_metadata(text) or ("label" in name.lower() and parse_labels(text)):
            return Labels(f"{path.name}/{name}", names)
    return Labels()


def _names_in_metadata(text: str) -> dict[int, str]:
    """The ``names`` of Ultralytics' metadata, which is a Python dict or JSON; both read as a literal."""
    try:
        value: Any = ast.literal_eval(text.replace("null", "None").replace("true", "True").replace("false", "False"))
        return {int(index): printable(str(name)) for index, name in value["names"].items()}
    except (ValueError, SyntaxError, TypeError, KeyError, AttributeError, MemoryError, RecursionError):
        return {}
