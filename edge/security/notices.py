"""What a person should hear of certificates before it hurts; none of it stops the program.

A device that does not start sees nothing. So one whose certificate has expired starts, says so, sounds its buzzer and
keeps its alerts, and its clients are told the reason by their own TLS.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from edge.security.peers import PeerCertificate, begins, day, device_uri, ends, identify
from edge.security.revocation import RevocationList

SOON = 30 * 86400.0  # seconds before an end at which it is told


def of_clock(now: float, earliest: float) -> Iterator[str]:
    """A clock that cannot be right."""
    if now < earliest:
        yield (
            f"clock: says {day(now)}, which cannot be: certificates are checked as of {day(earliest)} until it is set; "
            "does the device have network time?"
        )


def of_own(own: PeerCertificate, device_id: str, now: float) -> Iterator[str]:
    """The device's own certificate: its dates and its name."""
    yield from _dates("security.certificate: the device's certificate", begins(own), ends(own), now)
    if identify(own).device_id != device_id:
        yield (
            f"security.certificate: does not name this device ({device_uri(device_id)}); clients that check it will "
            "hang up: make one with preact-edge certs device"
        )


def of_authorities(authorities: Iterable[PeerCertificate], now: float) -> Iterator[str]:
    """The certificates that others' are checked against."""
    for authority in authorities:
        name = identify(authority).name
        yield from _dates(f"security.ca: the authority {name}", begins(authority), ends(authority), now)


def of_lists(lists: Iterable[RevocationList], authorities: Sequence[bytes], now: float) -> Iterator[str]:
    """The lists of revoked certificates; ``authorities`` are certificates in DER."""
    what = "security.revocation_list: the list"
    for found in lists:
        if not any(found.issuer in authority for authority in authorities):
            yield f"{what} is of no authority in security.ca: every certificate will be refused"
        if found.ends is not None and found.ends < now:
            yield f"{what} expired on {day(found.ends)}: every certificate is refused until a fresh one is in its place"
        elif found.ends is not None:
            yield from _dates(what, found.made, found.ends, now)


def _dates(what: str, first: float, last: float, now: float) -> Iterator[str]:
    if now > last:
        yield f"{what} expired on {day(last)}; put a new one in its place"
    elif now > last - SOON:
        yield f"{what} expires on {day(last)}; put a new one in its place before"
    elif now < first:
        yield f"{what} is valid only from {day(first)}; is the clock right?"
