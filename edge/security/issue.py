"""A fleet's authority in a folder, and the keys, requests and certificates made there or on a device.

Nothing that exists is overwritten: a renewed certificate's old one stays beside it, since it may have to be revoked.
A key is written before its certificate, and each file is there whole or not at all. So a try that was broken off leaves
at most a key that nobody uses yet, and the next one takes it up.
"""

from __future__ import annotations

import os
import secrets
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.x509 import Certificate

from edge.errors import SecurityError
from edge.security import x509
from edge.security.files import read, read_private, replace, write_new
from edge.security.peers import Role, device_uri, role_uri

AUTHORITY_DAYS = 3653  # ten years
DAYS = 825
Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of a new certificate. ``request``: the file of a request for it, which brings the public key."""

    hosts: tuple[str, ...] = ()
    days: int = DAYS
    renew: bool = False
    request: Path | None = None


class Fleet:
    """The folder of one authority: ca.pem, ca.key, crl.pem, and a certificate for each device and backend.

    ``clock`` gives Unix seconds. Raises SecurityError.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self._clock = clock
        self.certificate, self._key, self.revoked = folder / "ca.pem", folder / "ca.key", folder / "crl.pem"

    def create(self) -> list[Path]:
        """Make the authority with an empty list of revoked certificates, or what of it is missing; the files made.

        Refused where a certificate was issued: an empty list would make those good again that were revoked.
        """
        files = (self._key, self.certificate, self.revoked)
        missing = _missing(*files, otherwise="another authority takes another folder")
        self._check_none_issued(missing)
        now = x509.moment(self._clock())
        if self.certificate in missing:
            key = x509.new_key() if self._key in missing else _read_key(self._key)
            made = x509.new_authority(f"preact-edge fleet {secrets.token_hex(4)}", key, AUTHORITY_DAYS, now)
        else:
            made = self._authority()
        contents = {
            self._key: x509.key_pem(made.key),
            self.certificate: x509.pem(made.certificate),
            self.revoked: x509.pem(made.list_revoked(None, (), DAYS, now)),
        }
        for file in missing:
            write_new(file, contents[file], private=file == self._key)
        return missing

    def device(self, device_id: str, terms: Terms) -> list[Path]:
        """A device's certificate, and its key unless a request brought one; the files made."""
        return self._issue(f"device-{quote(device_id, safe='')}", device_id, device_uri(device_id), terms)

    def backend(self, name: str, role: Role, terms: Terms) -> list[Path]:
        """The same for a backend or another client, with its role."""
        return self._issue(f"backend-{quote(name, safe='')}", name, role_uri(role), terms)

    def revoke(self, files: Sequence[Path], days: int = DAYS) -> int:
        """Put certificates on the list and date it anew, for ``days`` from now; how many it names then."""
        authority, now = self._authority(), x509.moment(self._clock())
        before = _of(self.revoked, x509.read_list, read("list", self.revoked))
        certificates = [read_certificate(file) for file in files]
        for file, certificate in zip(files, certificates, strict=True):
            if not authority.made(certificate):
                raise SecurityError(f"{file}: is not of the authority {self.certificate}; nothing is changed")
        listed = authority.list_revoked(before, [found.serial_number for found in certificates], days, now)
        replace(self.revoked, x509.pem(listed))
        return len(listed)

    def _issue(self, stem: str, name: str, uri: str, terms: Terms) -> list[Path]:
        paper = _Paper(self.folder / f"{stem}.pem", self.folder / f"{stem}.key")
        authority = self._authority()
        old = paper.renewed() if terms.renew else None
        names = x509.Names(name, uri, terms.hosts or _hosts(old))
        if terms.request:
            content = read("request", terms.request)
            public = _of(terms.request, lambda found: x509.requested_key(found, uri), content)
            paper.check_no_other_key(public)
            key, missing = None, [] if old else _missing(paper.certificate)
        else:
            key, missing = paper.key_for(old)
            public = key.public_key()
        certificate = authority.sign(names, public, terms.days, x509.moment(self._clock()))
        return paper.put(certificate, old, key, missing)

    def _check_none_issued(self, missing: Sequence[Path]) -> None:
        issued = sorted(file.name for kind in ("device", "backend") for file in self.folder.glob(f"{kind}-*.pem"))
        if issued:
            lost = ", ".join(file.name for file in missing)
            advice = f"bring {lost} back from a backup; devices have a copy of {self.revoked.name}, too"
            raise SecurityError(
                f"{missing[0]}: is lost, for {issued[0]} was issued here, and a new one would not know what is revoked;"
                f" {advice}"
            )

    def _authority(self) -> x509.Authority:
        if not os.path.lexists(self._key):
            holds = f"{self.folder}: holds no authority ({self._key.name})"
            raise SecurityError(f"{holds}; make one with: preact-edge certs ca {shlex.quote(str(self.folder))}")
        key = _read_key(self._key)
        certificate = read_certificate(self.certificate)
        if certificate.public_key() != key.public_key():
            raise SecurityError(f"{self._key}: is not the key of {self.certificate}")
        return x509.Authority(certificate, key)


def request(name: str, folder: Path, renew: bool = False, role: Role | None = None) -> list[Path]:
    """A key that stays here, and a request for the authority; ``renew``: a new request for the key that is here.

    It is for the device of that name; with a ``role`` for a client of it.
    """
    file, key_file = folder / "device.csr", folder / "device.key"
    missing = [] if renew else _missing(key_file, file)
    key = x509.new_key() if key_file in missing else _read_key(key_file)
    uri = role_uri(role) if role else device_uri(name)
    content = x509.pem(x509.request(x509.Names(name, uri), key))
    if renew:
        replace(file, content)
        return [file]
    if key_file in missing:
        write_new(key_file, x509.key_pem(key), private=True)
    write_new(file, content)
    return missing


def self_signed(device_id: str, folder: Path, terms: Terms, clock: Callable[[], float] = time.time) -> list[Path]:
    """A key and a certificate without authority, for clients that pin it; ``renew``: a new one for the same key."""
    paper, uri = _Paper(folder / "device.pem", folder / "device.key"), device_uri(device_id)
    old = paper.renewed() if terms.renew else None
    if old is not None and (old.issuer != old.subject or uri not in x509.uris(old)):
        raise SecurityError(f"{paper.certificate}: is no self-signed certificate of {device_id}; take another folder")
    key, missing = paper.key_for(old)
    names = x509.Names(device_id, uri, terms.hosts or _hosts(old))
    certificate = x509.self_sign(names, key, terms.days, x509.moment(clock()))
    return paper.put(certificate, old, key, missing)


def read_certificate(file: Path) -> Certificate:
    """The first certificate of a file; raises SecurityError."""
    return _of(file, x509.read_certificates, read("certificate", file))[0]


@dataclass(frozen=True, slots=True)
class _Paper:
    """The files of a certificate and of its key."""

    certificate: Path
    key: Path

    def renewed(self) -> Certificate:
        """The certificate to be renewed."""
        if not os.path.lexists(self.certificate):
            raise SecurityError(f"{self.certificate}: is not there to be renewed; make a first one without --renew")
        return read_certificate(self.certificate)

    def key_for(self, old: Certificate | None) -> tuple[EllipticCurvePrivateKey, list[Path]]:
        """The key of what is renewed, else the one of a try that was broken off, else a new one; the files to make."""
        if old is None:
            missing = _missing(self.key, self.certificate)
            return (x509.new_key() if self.key in missing else _read_key(self.key)), missing
        if not self.key.exists():
            raise SecurityError(f"{self.key}: is not there; where the key stays elsewhere, give a request with --csr")
        key = _read_key(self.key)
        if key.public_key() != old.public_key():
            advice = "if its key stays elsewhere, move this one away and give a request with --csr"
            raise SecurityError(f"{self.key}: is not the key of {self.certificate}; {advice}")
        return key, []

    def check_no_other_key(self, public: EllipticCurvePublicKey) -> None:
        """A key here that is not the certificate's would be copied to the device with it one day."""
        if os.path.lexists(self.key) and _read_key(self.key).public_key() != public:
            raise SecurityError(f"{self.key}: is not the key of the request; move it away first, or leave --csr out")

    def put(
        self,
        certificate: Certificate,
        old: Certificate | None,
        key: EllipticCurvePrivateKey | None,
        missing: Sequence[Path],
    ) -> list[Path]:
        """Write a certificate, and its key if that is missing; a replaced one goes beside it, under its number."""
        if old is not None:
            file = self.certificate
            replace(file.with_name(f"{file.stem}.{old.serial_number:x}{file.suffix}"), x509.pem(old), like=file)
            replace(file, x509.pem(certificate))
            return [file]
        if key is not None and self.key in missing:
            write_new(self.key, x509.key_pem(key), private=True)
        write_new(self.certificate, x509.pem(certificate))
        return list(missing)


def _missing(*files: Path, otherwise: str = "--renew makes it anew, for the same key") -> list[Path]:
    """Of files that are made in this order, those that are not there: all, or those that a broken-off try left out.

    SecurityError where none is missing, and where one is there that comes after a missing one: it is of something else.
    """
    there = [file for file in files if os.path.lexists(file)]
    if len(there) < len(files) and there == list(files[: len(there)]):
        return list(files[len(there) :])
    raise SecurityError(f"{there[-1]}: exists already and is left as it is; {otherwise}")


def _hosts(certificate: Certificate | None) -> tuple[str, ...]:
    return tuple(x509.hosts(certificate)) if certificate else ()


def _read_key(file: Path) -> EllipticCurvePrivateKey:
    return _of(file, x509.read_key, read_private("key", file))


def _of(file: Path, parse: Callable[[bytes], Parsed], content: bytes) -> Parsed:
    """Parse a file's content; its name goes before what is wrong with it."""
    try:
        return parse(content)
    except SecurityError as error:
        raise SecurityError(f"{file}: {error}") from error
