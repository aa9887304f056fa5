"""Cutting what a client sends into messages: every piece, every limit."""

from __future__ import annotations

import json
from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.wire.faults import Fault
from edge.wire.framing import ByteOrder, Framing, encode
from edge.wire.inbound import LIMIT_AFTER, LIMIT_BEFORE, InboundReader
from tests.support import ROOT

FORMS: list[tuple[Framing, ByteOrder]] = list(product(("length", "newline"), ("big", "little")))
STEPS = (None, 1, 5)  # whole, byte by byte, five at once
VALID: list[dict[str, Any]] = json.loads((ROOT / "tests/vectors/requests.json").read_text("utf-8"))["valid"]
TEXTS = [vector["text"].encode() for vector in VALID]


def read(reader: InboundReader, data: bytes, step: int | None = None) -> list[bytes]:
    step = step or len(data) or 1
    return [each for start in range(0, len(data), step) for each in reader.feed(data[start : start + step])]


def refused(reader: InboundReader, data: bytes) -> str:
    with pytest.raises(Fault) as caught:
        read(reader, data)
    return caught.value.code


@pytest.mark.parametrize(("framing", "byteorder"), FORMS)
@pytest.mark.parametrize("step", STEPS)
def test_what_was_framed_is_cut_again(framing: Framing, byteorder: ByteOrder, step: int | None) -> None:
    """[EDGE-2-8]"""
    data = b"".join(encode(text, framing, byteorder) for text in TEXTS)
    assert read(InboundReader(framing, byteorder), data, step) == TEXTS


@pytest.mark.parametrize(("framing", "byteorder"), FORMS)
def test_a_message_is_cut_wherever_it_is_split(framing: Framing, byteorder: ByteOrder) -> None:
    """[EDGE-2-8] Every split point of every vector, with another message behind it."""
    for text in TEXTS:
        data = encode(text, framing, byteorder) + encode(b"{}", framing, byteorder)
        for split in range(len(data) + 1):
            reader = InboundReader(framing, byteorder)
            assert read(reader, data[:split]) + read(reader, data[split:]) == [text, b"{}"]


@given(
    form=st.sampled_from(FORMS),
    messages=st.lists(st.binary(min_size=1, max_size=200).map(lambda data: data.replace(b"\n", b" ")), max_size=5),
    cuts=st.lists(st.integers(0, 1100), max_size=8),
)
def test_any_bytes_in_any_pieces(form: tuple[Framing, ByteOrder], messages: list[bytes], cuts: list[int]) -> None:
    """[EDGE-2-8]"""
    data = b"".join(encode(message, *form) for message in messages)
    ends = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    reader = InboundReader(*form)
    found = [each for start, end in pairwise(ends) for each in reader.feed(data[start:end])]
    assert found == messages


@pytest.mark.parametrize(("framing", "byteorder"), FORMS)
@pytest.mark.parametrize("limit", [LIMIT_BEFORE, LIMIT_AFTER])
@pytest.mark.parametrize("step", [None, 1000])
def test_the_limit_is_met_to_the_byte(framing: Framing, byteorder: ByteOrder, limit: int, step: int | None) -> None:
    """[EDGE-6-2]"""
    longest = b"x" * limit
    reader = InboundReader(framing, byteorder, limit)
    assert read(reader, encode(longest, framing, byteorder) * 2, step) == [longest, longest]
    assert refused(reader, encode(longest + b"x", framing, byteorder)) == "too_large"


@pytest.mark.parametrize("byteorder", ["big", "little"])
@pytest.mark.parametrize("size", [LIMIT_BEFORE + 1, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1])
def test_a_great_size_is_refused_from_its_four_bytes(byteorder: ByteOrder, size: int) -> None:
    """[EDGE-6-2]"""
    reader = InboundReader("length", byteorder)
    prefix = size.to_bytes(4, byteorder)
    assert read(reader, prefix[:3]) == []
    assert refused(reader, prefix[3:]) == "too_large"


def test_a_line_without_an_end_is_refused_at_the_limit() -> None:
    """[EDGE-6-2]"""
    reader = InboundReader("newline", "big")
    assert read(reader, b"x" * LIMIT_BEFORE, 100) == []
    assert refused(reader, b"x") == "too_large"


@pytest.mark.parametrize("byteorder", ["big", "little"])
def test_a_size_of_zero_is_refused_after_what_was_good(byteorder: ByteOrder) -> None:
    """[EDGE-8-1]"""
    reader = InboundReader("length", byteorder)
    messages = reader.feed(encode(b"{}", "length", byteorder) + encode(b"[]", "length", byteorder) + bytes(4))
    assert [next(messages), next(messages)] == [b"{}", b"[]"]
    with pytest.raises(Fault) as caught:
        next(messages)
    assert caught.value.code == "bad_frame"


def test_an_empty_line_is_an_empty_message_and_a_carriage_return_stays() -> None:
    assert read(InboundReader("newline", "big"), b"\n{}\r\n\n") == [b"", b"{}\r", b""]


@pytest.mark.parametrize(("framing", "byteorder"), FORMS)
def test_a_limit_raised_between_two_messages_holds_for_the_second(framing: Framing, byteorder: ByteOrder) -> None:
    """[EDGE-6-2] Both come in one piece: a hello and, at once, a long command."""
    long = b"x" * (LIMIT_BEFORE + 1)
    reader = InboundReader(framing, byteorder)
    found = []
    for message in reader.feed(encode(b"{}", framing, byteorder) + encode(long, framing, byteorder)):
        found.append(message)
        reader.limit = LIMIT_AFTER
    assert found == [b"{}", long]


@pytest.mark.parametrize(("framing", "byteorder"), FORMS)
def test_what_follows_a_message_is_kept_when_reading_stops_at_it(framing: Framing, byteorder: ByteOrder) -> None:
    """Whoever deals with one message at a time, or fails at one, loses none of the next."""
    reader = InboundReader(framing, byteorder)
    assert next(reader.feed(b"".join(encode(text, framing, byteorder) for text in TEXTS[:3]))) == TEXTS[0]
    assert read(reader, encode(TEXTS[3], framing, byteorder)) == TEXTS[1:4]
    reader.feed(encode(TEXTS[4], framing, byteorder))  # nobody asked for its messages yet
    assert list(reader.feed(b"")) == [TEXTS[4]]
