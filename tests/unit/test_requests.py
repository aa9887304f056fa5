"""What clients say: the vectors of tests/vectors/requests.json, and what may be said back about them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.wire import requests
from edge.wire.faults import Complaint, Fault
from edge.wire.requests import MAX_DEPTH, TOPICS, decode_request, encode_request, topics
from tests.support import ROOT

VECTORS: dict[str, list[dict[str, Any]]] = json.loads((ROOT / "tests/vectors/requests.json").read_text("utf-8"))


def name_of(vector: dict[str, Any]) -> str:
    return str(vector["name"])


def plain(request: Any) -> Any:
    """A struct with every field, those that have their default value too."""
    if isinstance(request, msgspec.Struct):
        return {field: plain(getattr(request, field)) for field in request.__struct_fields__}
    return list(request) if isinstance(request, tuple) else request


def nested(depth: int, before: str, after: str = "}") -> bytes:
    return (before + "[" * depth + "]" * depth + after).encode()


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=name_of)
def test_valid_message_means_what_the_vector_says(vector: dict[str, Any]) -> None:
    """[EDGE-8-3] [EDGE-8-5]"""
    request = decode_request(vector["text"].encode())
    assert type(request).__name__.lower() == vector["kind"]
    assert json.dumps(plain(request), sort_keys=True) == json.dumps(vector["means"], sort_keys=True)


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=name_of)
def test_what_the_reference_client_writes_means_the_same(vector: dict[str, Any]) -> None:
    request = decode_request(vector["text"].encode())
    assert decode_request(encode_request(request)) == request


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=name_of)
def test_wrong_message_is_refused_with_the_code_of_the_vector(vector: dict[str, Any]) -> None:
    """[EDGE-8-1] [EDGE-8-2] [EDGE-8-4] [EDGE-8-6]"""
    data = bytes.fromhex(vector["hex"]) if "hex" in vector else vector["text"].encode()
    with pytest.raises(Fault if vector["fatal"] else Complaint) as caught:
        decode_request(data)
    assert caught.value.code == vector["code"]
    assert str(caught.value).isprintable()
    if isinstance(caught.value, Complaint) and vector["code"] == "bad_message":
        assert caught.value.about == json.loads(data)["type"]


def test_every_code_that_a_message_can_have_is_in_the_vectors() -> None:
    codes = {vector["code"] for vector in VECTORS["refused"]}
    assert codes == {"bad_json", "unsupported_version", "unknown_type", "bad_message"}
    kinds = {vector["kind"] for vector in VECTORS["valid"]}
    assert kinds == {"hello", "ack", "ping", "pong", "subscribe", "unsubscribe", "command"}


@pytest.mark.parametrize("opening", ['{"type":"command","id":"1","cmd":"x","args":{"a":', '{"type":"ping","t":1,"a":'])
def test_the_depth_is_met_exactly(opening: str) -> None:
    """[EDGE-8-1] Objects count like lists, in fields that nobody knows too."""
    around = opening.count("{")
    after = "}" * around
    decode_request(nested(MAX_DEPTH - around, opening, after))
    with pytest.raises(Fault, match="deeper than 32"):
        decode_request(nested(MAX_DEPTH - around + 1, opening, after))
    objects = opening + '{"b":' * (MAX_DEPTH - around) + "1" + "}" * (MAX_DEPTH - around) + after
    decode_request(objects.encode())
    with pytest.raises(Fault, match="deeper than 32"):
        decode_request(objects.replace(":1}", ":[]}").encode())


def test_a_depth_beyond_what_python_bears_is_a_fault_too() -> None:
    """[EDGE-8-1]"""
    for depth in (1000, 30_000):
        with pytest.raises(Fault) as caught:
            decode_request(nested(depth, '{"type":"ping","t":1,"a":'))
        assert caught.value.code == "bad_json"


def test_a_long_type_is_not_repeated_whole() -> None:
    """[EDGE-8-4] An answer is not as long as what it complains of."""
    with pytest.raises(Complaint) as caught:
        decode_request(json.dumps({"type": "x" * 4000}).encode())
    assert len(str(caught.value)) < 200


def test_no_complaint_repeats_a_login() -> None:
    """[EDGE-11-17]"""
    secret = "5e" * 31 + "5"
    for auth in ({"key_id": "k", "nonce": secret, "mac": secret}, {"key_id": "k " + secret, "nonce": "", "mac": ""}):
        with pytest.raises(Complaint) as caught:
            decode_request(json.dumps({"type": "hello", "protocol": 1, "auth": auth}).encode())
        assert secret not in str(caught.value)


def test_topics_that_are_none_are_left_out() -> None:
    """[EDGE-8-7]"""
    assert topics(("alerts", "weather", "alerts", "Health")) == {"alerts"}
    assert topics(()) == set()
    assert topics((*TOPICS, "")) == set(TOPICS)
    assert topics(requests.Hello(protocol=1).subscribe) == {"alerts", "detections", "health"}


fields = st.dictionaries(
    st.sampled_from(["protocol", "client", "consumer", "subscribe", "frames", "resume", "auth", "heartbeat_s"])
    | st.sampled_from(["stream", "seq", "t", "id", "cmd", "args"])
    | st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70) | st.just("last_ack"),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=10,
    ),
)


@given(kind=st.sampled_from([*requests._KINDS, "shout"]), fields=fields, one=st.booleans())
def test_any_fields_are_a_message_or_are_refused(kind: str, fields: dict[str, Any], one: bool) -> None:
    """[EDGE-8-2]"""
    message = {"type": kind, **({"protocol": 1} if one else {}), **fields}
    try:
        request = decode_request(json.dumps(message).encode("utf-8", "surrogatepass"))
    except (Fault, Complaint):
        return
    assert type(request).__name__.lower() == kind
    assert decode_request(encode_request(request)) == request
