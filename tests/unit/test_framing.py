"""Bytes to messages and back. The ids in brackets are statements of docs/protocol.md."""

from __future__ import annotations

import contextlib
import json
from itertools import combinations, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ProtocolError
from edge.wire.framing import (
    MAX_JPEG,
    MAX_JSON,
    ByteOrder,
    Framing,
    Message,
    MessageReader,
    blob_prefix,
    detect,
    encode,
)
from tests.support import ROOT

VECTORS: dict[str, list[dict[str, Any]]] = json.loads((ROOT / "tests/vectors/framing.json").read_text("utf-8"))
FORMS: list[tuple[Framing, ByteOrder]] = list(product(("length", "newline"), ("big", "little")))
STEPS = (None, 1, 5)  # whole, byte by byte, five at once
WELCOME = b'{"type":"welcome"}'

keys = st.text(max_size=8).filter(lambda key: key not in ("type", "size"))
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20)
contents = st.dictionaries(keys, st.recursive(scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=5))


def pieces(data: bytes, step: int | None) -> list[bytes]:
    step = step or len(data) or 1
    return [data[start : start + step] for start in range(0, len(data), step)]


def read_all(data: bytes, step: int | None) -> tuple[MessageReader, list[Message]]:
    reader = MessageReader()
    return reader, [message for piece in pieces(data, step) for message in reader.feed(piece)]


def expected(vector: dict[str, Any]) -> list[tuple[dict[str, Any], bytes | None]]:
    return [(m["message"], bytes.fromhex(m["jpeg"]) if "jpeg" in m else None) for m in vector["messages"]]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda vector: vector["name"])
def test_vector_is_read_whatever_the_pieces(vector: dict[str, Any], step: int | None) -> None:
    """[EDGE-2-1] [EDGE-2-2] [EDGE-2-3] [EDGE-2-4] [EDGE-2-7]"""
    reader, messages = read_all(bytes.fromhex(vector["hex"]), step)
    assert [(dict(message), message.jpeg) for message in messages] == expected(vector)
    assert reader.framing == vector["framing"]
    assert vector["byteorder"] in (None, reader.byteorder)
    assert reader.between_messages


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda vector: vector["name"])
def test_vector_is_read_wherever_it_is_split(vector: dict[str, Any]) -> None:
    """[EDGE-2-1] [EDGE-2-2] [EDGE-2-3] [EDGE-2-4] Every split point, and every two."""
    data = bytes.fromhex(vector["hex"])
    for first, second in combinations(range(len(data) + 1), 2):
        if second - first > 6 and second != len(data):
            continue  # a piece of the middle longer than a size and its neighbours shows nothing new
        reader = MessageReader()
        fed = (data[:first], data[first:second], data[second:])
        messages = [message for piece in fed for message in reader.feed(piece)]
        assert [(dict(message), message.jpeg) for message in messages] == expected(vector)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("vector", VECTORS["bad"], ids=lambda vector: vector["name"])
def test_bad_vector_is_refused_after_what_was_good(vector: dict[str, Any], step: int | None) -> None:
    """[EDGE-2-5]"""
    reader = MessageReader()
    messages: list[Message] = []

    def feed_all() -> None:
        for piece in pieces(bytes.fromhex(vector["hex"]), step):
            for message in reader.feed(piece):
                messages.append(message)

    with pytest.raises(ProtocolError):
        feed_all()
    assert [(dict(message), message.jpeg) for message in messages] == expected(vector)
    with pytest.raises(ProtocolError):
        list(reader.feed(b""))


@pytest.mark.parametrize(("framing", "byteorder"), FORMS)
@given(contents=st.lists(st.tuples(contents, st.none() | st.binary(max_size=300)), max_size=4), step=st.integers(1, 40))
def test_what_is_encoded_is_read_back(
    framing: Framing, byteorder: ByteOrder, contents: list[tuple[dict[str, Any], bytes | None]], step: int
) -> None:
    """[EDGE-2-1] [EDGE-2-2] [EDGE-2-3] [EDGE-2-4]"""
    sent: list[tuple[dict[str, Any], bytes | None]] = [({"type": "welcome"}, None)]
    data = encode(WELCOME, framing, byteorder)
    for fields, jpeg in contents:
        message = {"type": "alert", **fields} if jpeg is None else {"type": "video_frame", "size": len(jpeg), **fields}
        sent.append((message, jpeg))
        data += encode(json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass"), framing, byteorder)
        if jpeg is not None:
            data += blob_prefix(len(jpeg), byteorder) + jpeg
    assert [(dict(message), message.jpeg) for message in read_all(data, step)[1]] == sent


@given(size=st.integers(2, 65535))
def test_every_size_that_a_welcome_can_have_tells_its_order(size: int) -> None:
    """[EDGE-2-7] 256 bytes, read the wrong way round, would be 65536: the smaller is meant."""
    for order in ("big", "little"):
        framing, found = detect(size.to_bytes(4, order) + b"{")
        assert framing == "length"
        assert found == order or size.to_bytes(4, "big") == size.to_bytes(4, "little")


@given(data=st.binary(max_size=400), step=st.integers(1, 50))
def test_garbage_gives_messages_or_a_protocol_error(data: bytes, step: int) -> None:
    with contextlib.suppress(ProtocolError):
        read_all(data, step)


def test_a_size_above_the_limit_is_refused_before_its_bytes_come() -> None:
    """[EDGE-2-5]"""
    reader = MessageReader()
    list(reader.feed(encode(WELCOME, "length", "big")))
    with pytest.raises(ProtocolError, match=str(MAX_JSON)):
        list(reader.feed((MAX_JSON + 1).to_bytes(4, "big")))


def test_a_line_that_never_ends_is_refused_at_the_limit() -> None:
    """[EDGE-2-5]"""
    reader = MessageReader()
    assert list(reader.feed(b"x" * MAX_JSON)) == []
    with pytest.raises(ProtocolError, match=str(MAX_JSON)):
        list(reader.feed(b"x"))


def test_the_greatest_message_and_picture_pass_and_greater_ones_are_not_encoded() -> None:
    """[EDGE-2-5]"""
    longest = b'{"type":"' + b"x" * (MAX_JSON - 11) + b'"}'
    _, messages = read_all(encode(WELCOME, "length", "big") + encode(longest, "length", "big"), None)
    assert len(messages[1].type) == MAX_JSON - 11
    assert blob_prefix(MAX_JPEG, "little") == bytes((0, 0, 0x80, 0))
    with pytest.raises(ProtocolError, match="a message of 1048577 bytes"):
        encode(longest + b" ", "newline", "big")
    with pytest.raises(ProtocolError, match="a picture of 8388609 bytes"):
        blob_prefix(MAX_JPEG + 1, "big")


def test_a_message_nested_beyond_reason_is_refused() -> None:
    deep = b'{"type":"a","b":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(ProtocolError, match="not JSON"):
        read_all(encode(deep, "length", "big"), None)


def test_the_reader_knows_when_an_end_would_cut_something_off() -> None:
    picture = encode(b'{"type":"video_frame","size":2}', "length", "big") + blob_prefix(2, "big") + b"ab"
    reader = MessageReader()
    assert reader.between_messages
    assert len(list(reader.feed(encode(WELCOME, "length", "big") + picture[:-6]))) == 1
    assert not reader.between_messages  # the header is read, its picture has not begun
    assert [message.jpeg for message in reader.feed(picture[-6:])] == [b"ab"]
    assert reader.between_messages
