"""The login: the vectors of tests/vectors/login.json, and that every part of it counts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.wire.login import NONCE_BYTES, Challenge, Side, is_proof, prove
from tests.support import ROOT

VECTORS: list[dict[str, Any]] = json.loads((ROOT / "tests/vectors/login.json").read_text("utf-8"))
SIDES: tuple[tuple[Side, str], ...] = (("client", "mac"), ("server", "proof"))
NAMES = [field.name for field in fields(Challenge)]
every_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])


def challenge_of(vector: dict[str, Any]) -> Challenge:
    return Challenge(**{name: vector[name] for name in NAMES})


def hmac_sha256(key: bytes, message: bytes) -> str:
    """RFC 2104, written out: what the vectors were made with."""
    block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in block) + inner).hexdigest()


@every_vector
def test_mac_and_proof_are_those_of_the_vector(vector: dict[str, Any]) -> None:
    """[EDGE-11-10]"""
    key, challenge = bytes.fromhex(vector["key"]), challenge_of(vector)
    for side, field in SIDES:
        assert prove(key, side, challenge) == vector[field]
        assert is_proof(vector[field], key, side, challenge)


@every_vector
def test_the_vector_itself_is_right(vector: dict[str, Any]) -> None:
    """[EDGE-11-10]"""
    key, joined = bytes.fromhex(vector["key"]), bytes.fromhex(vector["joined"])
    names = ("key_id", "device_id", "listener", "server_nonce", "client_nonce")
    assert joined.decode().split("\0") == ["preact-edge-v1 client", *(vector[name] for name in names)]
    assert hmac_sha256(key, joined) == vector["mac"]
    assert hmac_sha256(key, joined.replace(b"client", b"server", 1)) == vector["proof"]
    assert len(key) >= 32
    assert {len(vector[name]) for name in ("server_nonce", "client_nonce")} == {2 * NONCE_BYTES}


@every_vector
@pytest.mark.parametrize("name", NAMES)
def test_a_change_of_any_part_changes_mac_and_proof(vector: dict[str, Any], name: str) -> None:
    """[EDGE-11-10] [EDGE-11-13] [EDGE-11-16]"""
    key, challenge = bytes.fromhex(vector["key"]), challenge_of(vector)
    text = vector[name]
    for changed in (text[:-1], text + "0", text[:-1] + ("1" if text[-1] != "1" else "2"), text[::-1] + "x", ""):
        other = replace(challenge, **{name: changed})
        for side, field in SIDES:
            assert not is_proof(vector[field], key, side, other)


@every_vector
def test_another_key_or_side_is_wrong(vector: dict[str, Any]) -> None:
    """[EDGE-11-10]"""
    key, challenge = bytes.fromhex(vector["key"]), challenge_of(vector)
    for other in (key[:-1], key + b"\1", bytes([key[0] ^ 1]) + key[1:]):
        assert not is_proof(vector["mac"], other, "client", challenge)
    assert not is_proof(vector["mac"], key, "server", challenge)
    assert not is_proof(vector["proof"], key, "client", challenge)


def test_what_moves_from_one_part_to_the_next_is_another_login() -> None:
    """[EDGE-11-10] The parts are kept apart by a byte that none of them has."""
    one = challenge_of(VECTORS[0])
    other = replace(one, key_id=one.key_id + one.device_id[0], device_id=one.device_id[1:])
    assert prove(b"k" * 32, "client", one) != prove(b"k" * 32, "client", other)


def test_a_login_on_plain_tcp_is_none_inside_tls() -> None:
    """[EDGE-11-16]"""
    plain, encrypted = VECTORS[0], VECTORS[1]
    assert {k: v for k, v in plain.items() if plain[k] == encrypted[k]}.keys() >= {"key", "key_id", "server_nonce"}
    assert not is_proof(plain["mac"], bytes.fromhex(plain["key"]), "client", challenge_of(encrypted))


@given(given_proof=st.text(alphabet=st.characters(), max_size=70))
def test_any_text_is_compared_without_an_error(given_proof: str) -> None:
    """[EDGE-11-14] Not ASCII, too short, half a surrogate pair: wrong, and nothing else."""
    vector = VECTORS[0]
    right = given_proof == vector["proof"]
    assert is_proof(given_proof, bytes.fromhex(vector["key"]), "server", challenge_of(vector)) is right


@pytest.mark.parametrize("near", ["upper", "space", "short", "long"])
def test_a_proof_that_is_nearly_right_is_wrong(near: str) -> None:
    """[EDGE-11-14]"""
    vector = VECTORS[0]
    proof = vector["proof"]
    wrong = {"upper": proof.upper(), "space": proof + " ", "short": proof[:-1], "long": proof + "0"}[near]
    assert not is_proof(wrong, bytes.fromhex(vector["key"]), "server", challenge_of(vector))


def test_a_name_that_is_no_utf_8_is_proven_as_the_welcome_shows_it() -> None:
    """[EDGE-11-10] Each undecodable byte of a name is shown as a question mark."""
    challenge = replace(challenge_of(VECTORS[0]), device_id="edge-\udc80")
    assert prove(b"k" * 32, "client", challenge) == prove(b"k" * 32, "client", replace(challenge, device_id="edge-?"))
