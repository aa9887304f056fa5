"""A fleet's authority in a folder, and the keys, requests and certificates made there or on a device.

Nothing that exists is overwritten: a renewed certificate's old one stays beside it, since it may have to be revoked.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.x509 import Certificate

from edge.errors import SecurityError
from edge.security import x509
from edge.security.files import read, read_private
from edge.security.peers import Role, device_uri, role_uri
from edge.storage import write_atomic

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
        """Make the authority with an empty list of revoked certificates; the files made."""
        files = [self._key, self.certificate, self.revoked]
        _refuse(files)
        now = x509.moment(self._clock())
        made = x509.new_authority(f"preact-edge fleet {secrets.token_hex(4)}", AUTHORITY_DAYS, now)
        _write(self._key, x509.key_pem(made.key), private=True)
        _write(self.certificate, x509.pem(made.certificate))
        _write(self.revoked, x509.pem(made.list_revoked(None, (), DAYS, now)))
        return files

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
        write_atomic(self.revoked, x509.pem(listed))
        return len(listed)

    def _issue(self, stem: str, name: str, uri: str, terms: Terms) -> list[Path]:
        file, key_file = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        authority = self._authority()
        old = _renewed(file, terms)
        names = x509.Names(name, uri, terms.hosts or _hosts(old))
        key = None
        if terms.request:
            content = read("request", terms.request)
            public = _of(terms.request, lambda found: x509.requested_key(found, uri), content)
        else:
            key = _key(key_file, terms.renew)
            public = key.public_key()
        certificate = authority.sign(names, public, terms.days, x509.moment(self._clock()))
        return _put(file, certificate, old, key_file, key)

    def _authority(self) -> x509.Authority:
        try:
            key = _of(self._key, x509.read_key, read_private("authority", self._key))
            certificate = read_certificate(self.certificate)
        except SecurityError as error:
            raise SecurityError(f"{error}; make an authority with: preact-edge certs ca DIR") from error
        if certificate.public_key() != key.public_key():
            raise SecurityError(f"{self._key}: is not the key of {self.certificate}")
        return x509.Authority(certificate, key)


def request(device_id: str, folder: Path, renew: bool = False) -> list[Path]:
    """A key that stays here, and a request for the authority; ``renew``: a new request for the key that is here."""
    file, key_file = folder / "device.csr", folder / "device.key"
    if not renew:
        _refuse([file, key_file])
    key = _key(key_file, renew)
    content = x509.pem(x509.request(x509.Names(device_id, device_uri(device_id)), key))
    if renew:
        write_atomic(file, content)
        return [file]
    _write(key_file, x509.key_pem(key), private=True)
    _write(file, content)
    return [key_file, file]


def self_signed(device_id: str, folder: Path, terms: Terms, clock: Callable[[], float] = time.time) -> list[Path]:
    """A key and a certificate without authority, for clients that pin it; ``renew``: a new one for the same key."""
    file, key_file = folder / "device.pem", folder / "device.key"
    old = _renewed(file, terms)
    key = _key(key_file, terms.renew)
    names = x509.Names(device_id, device_uri(device_id), terms.hosts or _hosts(old))
    certificate = x509.self_sign(names, key, terms.days, x509.moment(clock()))
    return _put(file, certificate, old, key_file, key)


def read_certificate(file: Path) -> Certificate:
    """The first certificate of a file; raises SecurityError."""
    return _of(file, x509.read_certificates, read("certificate", file))[0]


def _renewed(file: Path, terms: Terms) -> Certificate | None:
    """The certificate to be renewed; SecurityError where there is none, or one that nobody asked to renew."""
    if not terms.renew:
        _refuse([file])
        return None
    return read_certificate(file)


def _hosts(certificate: Certificate | None) -> tuple[str, ...]:
    return tuple(x509.hosts(certificate)) if certificate else ()


def _key(file: Path, renew: bool) -> EllipticCurvePrivateKey:
    """The key of what is renewed, else a new one, which must not stand in the way of another."""
    if renew and not file.exists():
        raise SecurityError(f"{file}: is not there; where the key stays elsewhere, give a request with --csr")
    if renew:
        return _of(file, x509.read_key, read_private("key", file))
    _refuse([file])
    return x509.new_key()


def _put(
    file: Path, certificate: Certificate, old: Certificate | None, key_file: Path, key: EllipticCurvePrivateKey | None
) -> list[Path]:
    """Write a certificate, and its key if both are new; a replaced one goes beside it under its serial number."""
    if old is not None:
        _write(file.with_name(f"{file.stem}.{old.serial_number:x}{file.suffix}"), x509.pem(old))
        write_atomic(file, x509.pem(certificate))
        return [file]
    if key is not None:
        _write(key_file, x509.key_pem(key), private=True)
    _write(file, x509.pem(certificate))
    return [file] if key is None else [key_file, file]


def _of(file: Path, parse: Callable[[bytes], Parsed], content: bytes) -> Parsed:
    """Parse a file's content; its name goes before what is wrong with it."""
    try:
        return parse(content)
    except SecurityError as error:
        raise SecurityError(f"{file}: {error}") from error


def _refuse(files: Sequence[Path]) -> None:
    for file in files:
        if os.path.lexists(file):
            raise SecurityError(f"{file}: exists already and is left as it is; see --renew, or take another folder")


def _write(file: Path, content: bytes, *, private: bool = False) -> None:
    """Make a new file, from its first moment with its mode: 0600 for a secret."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(file, flags, 0o600 if private else 0o644), "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise SecurityError(f"{file}: cannot be written: {error.strerror}") from error
