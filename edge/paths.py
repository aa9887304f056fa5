"""Paths as users write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from edge.errors import ConfigError


def expand(text: str) -> Path:
    """The path with a leading ``~`` or ``~user`` replaced; ConfigError where it can be no path."""
    if "\0" in text:
        raise ConfigError(f"{text!r} can be no path: it holds a zero byte")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{text}: there is no such user; write the path in full") from error


def substitute(text: str, environ: Mapping[str, str]) -> str:
    """The text with each ``${NAME}`` replaced by that variable's value; ConfigError where there is no such variable."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if not environ.get(name):
            raise ConfigError(f"{text}: there is no variable {name} here; set it, or write the path in full")
        return environ[name]

    return re.sub(r"\$\{([^{}]*)\}", value, text)
