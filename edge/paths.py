"""Paths as users write them."""

from __future__ import annotations

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
