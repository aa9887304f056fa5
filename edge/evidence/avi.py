"""An AVI file made of JPEGs as they are."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

_RATE = 1000  # frames a second are told in thousandths


@dataclass(frozen=True, slots=True)
class Picture:
    """One frame of a clip: captured at ``monotonic`` seconds, of ``size`` (width, height) pixels."""

    monotonic: float
    size: tuple[int, int]
    jpeg: bytes


def avi(pictures: Sequence[Picture]) -> bytes:
    """The pictures, one or more, as a Motion JPEG film in an AVI file, at the pace at which they were taken.

    The file is laid out after Microsoft's "AVI RIFF File Reference"; nothing is encoded anew.
    """
    seconds = pictures[-1].monotonic - pictures[0].monotonic
    fps = (len(pictures) - 1) / seconds if seconds > 0 else 1.0
    chunks = [_chunk(b"00dc", picture.jpeg) for picture in pictures]
    places, at = [], 4  # counted from the word movi
    for chunk, picture in zip(chunks, pictures, strict=True):
        places.append(struct.pack("<4sIII", b"00dc", 0x10, at, len(picture.jpeg)))  # 0x10: a key frame
        at += len(chunk)
    largest = max(len(picture.jpeg) for picture in pictures)
    head = _head(pictures[0].size, max(1, round(fps * _RATE)), len(pictures), largest)
    return _chunk(b"RIFF", b"AVI " + head + _list(b"movi", b"".join(chunks)) + _chunk(b"idx1", b"".join(places)))


def _head(size: tuple[int, int], rate: int, count: int, largest: int) -> bytes:
    width, height = size
    per_frame_us = round(1e6 * _RATE / rate)
    main = struct.pack("<14I", per_frame_us, 0, 0, 0x10, count, 0, 1, largest, width, height, 0, 0, 0, 0)
    stream = struct.pack(
        "<4s4sI2H8I4h", b"vids", b"MJPG", 0, 0, 0, 0, _RATE, rate, 0, count, largest, 0xFFFFFFFF, 0, 0, 0, width, height
    )
    picture = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MJPG", width * height * 3, 0, 0, 0, 0)
    return _list(b"hdrl", _chunk(b"avih", main) + _list(b"strl", _chunk(b"strh", stream) + _chunk(b"strf", picture)))


def _list(name: bytes, content: bytes) -> bytes:
    return _chunk(b"LIST", name + content)


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
