"""Text of others that is to be shown: in a log, on a terminal, in one line."""

from __future__ import annotations

import re

# Control characters, line and paragraph separators, what turns the direction of writing, lone halves of a character.
# Everything else may be in a name: joiners too, without which Persian or Hindi cannot be written.
_UNSAFE = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def is_printable(text: str) -> bool:
    """Whether the text can be shown as it is: one line, which steers no terminal and reads in one direction."""
    return _UNSAFE.search(text) is None


def shortened(text: str, most: int) -> str:
    """The text, at most ``most`` characters of it; one that was cut ends with three dots."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def printable(text: str) -> str:
    r"""The text with an escape (``\x1b``, ``\u202e``) for each character that is_printable refuses."""
    return _UNSAFE.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)
