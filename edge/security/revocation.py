"""What must be known of a list of revoked certificates before OpenSSL uses it: its issuer and its dates.

Python's ssl shows nothing of a list, and OpenSSL refuses everybody once a list is out of date; read here, that can be
told in time.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from edge.errors import SecurityError
from edge.security.files import read

_PEM = re.compile(rb"-----BEGIN X509 CRL-----(.+?)-----END X509 CRL-----", re.DOTALL)
_INTEGER, _SEQUENCE, _UTC_TIME, _GENERAL_TIME = 0x02, 0x30, 0x17, 0x18


@dataclass(frozen=True, slots=True)
class RevocationList:
    """``issuer`` is the authority's name in DER; the list is of ``made`` and good until ``ends``, Unix seconds."""

    issuer: bytes
    made: float
    ends: float | None


def read_lists(path: Path) -> tuple[RevocationList, ...]:
    """The lists of a PEM file, one for each authority; raises SecurityError."""
    what = "security.revocation_list"
    blocks = _PEM.findall(read(what, path))
    if not blocks:
        raise SecurityError(f"{what}: {path}: holds no list in PEM form (BEGIN X509 CRL)")
    try:
        return tuple(_parse(base64.b64decode(block)) for block in blocks)
    except (ValueError, IndexError) as error:
        raise SecurityError(f"{what}: {path}: is damaged; copy it again from the authority") from error


def _parse(der: bytes) -> RevocationList:
    """One list (RFC 5280, 5.1): tbsCertList { version?, signature, issuer, thisUpdate, nextUpdate?, ... }."""
    ((_, outer, _),) = _elements(der)
    (_, listed, _), *_signature = _elements(outer)
    fields = [field for field in _elements(listed) if field[0] != _INTEGER]
    (tag, _, issuer), (made_tag, made, _) = fields[1:3]
    if tag != _SEQUENCE:
        raise ValueError("no issuer")
    following = fields[3] if len(fields) > 3 else (0, b"", b"")
    ends = _time(*following[:2]) if following[0] in (_UTC_TIME, _GENERAL_TIME) else None
    return RevocationList(issuer, _time(made_tag, made), ends)


def _elements(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Each DER element: its tag, its content, and the two with the length between."""
    at = 0
    while at < len(data):
        start, tag, length = at, data[at], data[at + 1]
        at += 2
        if length & 0x80:
            width = length & 0x7F
            length = int.from_bytes(data[at : at + width], "big")
            at += width
        if at + length > len(data):
            raise ValueError("cut off")
        yield tag, data[at : at + length], data[start : at + length]
        at += length


def _time(tag: int, content: bytes) -> float:
    text = content.decode("ascii")
    if tag == _UTC_TIME:  # two digits of the year: below 50 it is 20xx (RFC 5280, 4.1.2.5.1)
        text = ("20" if text < "50" else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
