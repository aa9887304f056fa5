"""What a kept picture tells of itself: JSON in a comment of its JPEG, so that one file is all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from edge.errors import EdgeError

_SOI, _APP0, _COM, _SOS = b"\xff\xd8", 0xE0, 0xFE, 0xDA  # markers of a JPEG file (ITU-T T.81, annex B)
MOST = 0xFFFF - 2  # bytes that a segment can hold


def with_comment(jpeg: bytes, fields: Mapping[str, Any]) -> bytes:
    """The JPEG with the fields in a comment; raises EdgeError for what is no JPEG, or for too many fields."""
    text = msgspec.json.encode(fields)
    if len(text) > MOST:
        raise EdgeError(f"{len(text)} bytes do not fit into a JPEG's comment")
    start = 2
    for marker, begin, end in _segments(jpeg):
        if marker != _APP0:
            break
        start = end if begin == start + 4 else start
    return jpeg[:start] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[start:]


def comment_of(jpeg: bytes) -> dict[str, Any]:
    """The fields of with_comment; raises EdgeError where there are none."""
    for marker, begin, end in _segments(jpeg):
        if marker == _COM:
            try:
                return msgspec.json.decode(jpeg[begin:end], type=dict[str, Any])
            except msgspec.MsgspecError as error:
                raise EdgeError(f"a kept picture is damaged: {error}") from error
    raise EdgeError("a kept picture is damaged: it does not say what it shows")


def _segments(jpeg: bytes) -> Iterator[tuple[int, int, int]]:
    """The marker, begin and end of each segment's content, up to the picture itself."""
    if not jpeg.startswith(_SOI):
        raise EdgeError("a kept picture is damaged: it is no JPEG")
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF and jpeg[at + 1] != _SOS:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        yield jpeg[at + 1], at + 4, end
        at = end
