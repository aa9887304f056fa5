"""Who a certificate says that its owner is, and whether it is valid now: pure functions of ``getpeercert()``."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal, TypeAlias
from urllib.parse import quote, unquote

from edge import RELEASED
from edge.errors import SecurityError
from edge.text import printable

Role: TypeAlias = Literal["viewer", "control"]
ROLES: tuple[Role, ...] = ("viewer", "control")
PeerCertificate: TypeAlias = Mapping[str, Any]  # what ssl's getpeercert() returns

DEVICE_URI = "urn:preact-edge:device:"
ROLE_URI = "urn:preact-edge:role:"
RELEASED_AT = datetime.fromisoformat(RELEASED).replace(tzinfo=timezone.utc).timestamp()
LONGEST_NAME = 64  # characters, before those that cannot be shown are escaped


@dataclass(frozen=True, slots=True)
class Peer:
    """The owner of a certificate: a ``name`` fit for logs, its role if it has one, its id if it is a device."""

    name: str
    role: Role | None
    device_id: str | None


def device_uri(device_id: str) -> str:
    """The name of a device in its certificate; what a URI cannot hold is percent-encoded."""
    return DEVICE_URI + quote(device_id, safe="")


def role_uri(role: Role) -> str:
    """The name of a role in a certificate."""
    return ROLE_URI + role


def devices(cert: PeerCertificate) -> list[str]:
    """The ids of the devices that a certificate names, as they are in settings: nothing is percent-encoded."""
    return [unquote(uri[len(DEVICE_URI) :]) for uri in _uris(cert) if uri.startswith(DEVICE_URI)]


def identify(cert: PeerCertificate) -> Peer:
    """Read names out of a certificate that TLS has verified.

    Role: the URI ``urn:preact-edge:role:ROLE``; where there is none, the subject's OU. Any unknown or second role
    beside the first leaves none. A device's certificate takes its role from a URI alone, so that an OU that merely
    names a department never makes a device's key a backend's.
    """
    uris, ids = _uris(cert), devices(cert)
    roles = [uri[len(ROLE_URI) :] for uri in uris if uri.startswith(ROLE_URI)]
    if not roles and not ids:
        roles = _subject(cert, "organizationalUnitName")
    names = [*_subject(cert, "commonName"), *uris, str(cert.get("serialNumber", "unnamed"))]
    return Peer(printable(names[0][:LONGEST_NAME]), _role(roles), ids[0] if len(ids) == 1 and ids[0] else None)


def check_dates(cert: PeerCertificate, now: float, earliest: float = RELEASED_AT) -> None:
    """Raise SecurityError where the certificate is not valid now; times are Unix seconds.

    A board without a clock of its own boots in 1970, and every certificate would be of the future then. So a clock that
    is earlier than ``earliest``, by default the day of this release, is not believed, and that time counts instead.
    """
    at = max(now, earliest)
    name = identify(cert).name
    if at < begins(cert):
        raise SecurityError(f"certificate of {name}: is valid only from {day(begins(cert))}; is the clock right?")
    if at > ends(cert):
        raise SecurityError(f"certificate of {name}: expired on {day(ends(cert))}; renew it")


def begins(cert: PeerCertificate) -> float:
    """Its first moment, Unix seconds."""
    return float(ssl.cert_time_to_seconds(cert["notBefore"]))


def ends(cert: PeerCertificate) -> float:
    """Its last moment, Unix seconds."""
    return float(ssl.cert_time_to_seconds(cert["notAfter"]))


def day(moment: float) -> str:
    """A Unix time's day in UTC, for messages."""
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%d")


def _uris(cert: PeerCertificate) -> list[str]:
    return [value for kind, value in cert.get("subjectAltName", ()) if kind == "URI"]


def _subject(cert: PeerCertificate, kind: str) -> list[str]:
    return [value for part in cert.get("subject", ()) for name, value in part if name == kind]


def _role(found: list[str]) -> Role | None:
    return next((role for role in ROLES if set(found) == {role}), None)
