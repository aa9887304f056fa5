"""The session of tests/vectors/session.json, byte for byte: what device and client of this version make of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge.types import StreamBounds
from edge.wire import replies
from edge.wire.framing import MessageReader, encode
from edge.wire.inbound import InboundReader
from edge.wire.login import Challenge, is_proof
from edge.wire.messages import Terms, welcome
from edge.wire.replies import Agreed, resumption
from edge.wire.requests import Ack, Hello, Ping, Resume, decode_request
from tests.support import ROOT
from tests.unit.test_messages import IDENTITY

SAID: list[dict[str, Any]] = json.loads((ROOT / "tests/vectors/session.json").read_text("utf-8"))
LOGIN = json.loads((ROOT / "tests/vectors/login.json").read_text("utf-8"))[0]
BY_CLIENT, BY_DEVICE = ([said for said in SAID if said["from"] == side] for side in ("client", "device"))
WELCOME, HELLO_OK = (said["message"] for said in BY_DEVICE[:2])


def stream(said: list[dict[str, Any]]) -> bytes:
    return b"".join(bytes.fromhex(each["hex"]) for each in said)


def test_the_client_reads_what_the_device_says_wherever_it_is_split() -> None:
    """[EDGE-2-1]"""
    data = stream(BY_DEVICE)
    for split in range(len(data) + 1):
        reader = MessageReader()
        messages = [*reader.feed(data[:split]), *reader.feed(data[split:])]
        assert messages == [said["message"] for said in BY_DEVICE]
        assert reader.between_messages


def test_the_device_reads_what_the_client_says_wherever_it_is_split() -> None:
    """[EDGE-2-8]"""
    data = stream(BY_CLIENT)
    for split in range(len(data) + 1):
        reader = InboundReader("length", "big")
        texts = [*reader.feed(data[:split]), *reader.feed(data[split:])]
        assert [json.loads(text) for text in texts] == [said["message"] for said in BY_CLIENT]
    requests = [decode_request(text) for text in texts]
    assert [type(request) for request in requests] == [Hello, Ack, Ack, Ping]


def test_the_hello_logs_in_and_the_device_proves_itself() -> None:
    """[EDGE-11-10]"""
    hello = decode_request(bytes.fromhex(BY_CLIENT[0]["hex"])[4:])
    assert isinstance(hello, Hello)
    assert hello.auth is not None
    protocol, secret = WELCOME["protocol"], bytes.fromhex(LOGIN["key"])
    listener = f"tcp:{protocol['listener']}"
    challenge = Challenge(
        hello.auth.key_id, WELCOME["device_id"], listener, server_nonce=protocol["nonce"], client_nonce=hello.auth.nonce
    )
    assert is_proof(hello.auth.mac, secret, "client", challenge)
    assert is_proof(HELLO_OK["proof"], secret, "server", challenge)


def test_the_device_says_these_very_bytes() -> None:
    """[EDGE-2-1] [EDGE-4-1] [EDGE-4-11]"""
    hello = decode_request(bytes.fromhex(BY_CLIENT[0]["hex"])[4:])
    assert isinstance(hello, Hello)
    assert isinstance(hello.resume, Resume)
    bounds = StreamBounds(HELLO_OK["stream"], HELLO_OK["oldest_seq"], HELLO_OK["next_seq"])
    resume = resumption(bounds, hello.resume.stream, hello.resume.after)
    agreed = Agreed(HELLO_OK["session"], "viewer", hello.subscribe, 10.0, resume, HELLO_OK["proof"])
    built = {
        0: welcome(IDENTITY, WELCOME["timestamp"], Terms("listener-1", "hmac", 4.0), bounds, LOGIN["server_nonce"]),
        1: replies.hello_ok(IDENTITY, agreed, bounds),
        4: replies.pong(7.0),
        5: replies.goodbye("shutdown", 1000),
    }
    for number, message in built.items():
        assert encode(message, "length", "big").hex() == BY_DEVICE[number]["hex"]


def test_the_alerts_follow_each_other_from_the_number_that_was_promised() -> None:
    """[EDGE-9-7]"""
    alerts = [said["message"] for said in BY_DEVICE if said["message"]["type"] == "alert"]
    start = HELLO_OK["resume"]["from"]
    assert [alert["seq"] for alert in alerts] == list(range(start, start + len(alerts)))
    assert [alert["replay"] for alert in alerts] == [alert["seq"] < HELLO_OK["next_seq"] for alert in alerts]
    assert [said["message"]["seq"] for said in BY_CLIENT if said["message"]["type"] == "ack"] == [
        alert["seq"] for alert in alerts
    ]


@pytest.mark.parametrize("said", SAID, ids=lambda said: said["about"])
def test_hex_and_message_are_the_same(said: dict[str, Any]) -> None:
    data = bytes.fromhex(said["hex"])
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    assert json.loads(data[4:]) == said["message"]
