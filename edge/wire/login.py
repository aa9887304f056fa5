"""Proving that one knows a key without sending it: HMAC-SHA256 over both sides' nonces.

The specification is docs/protocol.md, section 11.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Literal, TypeAlias

NONCE_BYTES = 32
Side: TypeAlias = Literal["client", "server"]


@dataclass(frozen=True, slots=True)
class Challenge:
    """What both sides know of one login. Nonces are NONCE_BYTES random bytes as lowercase hex.

    ``listener`` is ``tcp:NAME`` or ``tls:NAME``; each side writes the prefix from what its own end of the connection
    is, so that nobody between them can pass a login from one to the other.
    """

    key_id: str
    device_id: str
    listener: str
    server_nonce: str
    client_nonce: str


def prove(secret: bytes, side: Side, challenge: Challenge) -> str:
    """The ``mac`` of the client, or the ``proof`` of the server: 64 hexadecimal digits."""
    parts = (
        f"preact-edge-v1 {side}",
        challenge.key_id,
        challenge.device_id,
        challenge.listener,
        challenge.server_nonce,
        challenge.client_nonce,
    )
    return hmac.digest(secret, "\0".join(parts).encode("utf-8", "replace"), "sha256").hex()


def is_proof(given: str, secret: bytes, side: Side, challenge: Challenge) -> bool:
    """Whether ``given`` is the other side's proof; takes the same time wherever they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), prove(secret, side, challenge).encode())
