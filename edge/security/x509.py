"""Certificates, requests and lists as values, made with the cryptography package; no file is touched here.

ECDSA on P-256 with SHA-256: small, quick on a Pi, and every TLS 1.3 peer must have it (RFC 8446, 9.1).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge.errors import SecurityError

LONGEST_COMMON_NAME = 64  # characters, X.520's bound
MOST_DAYS = 36525  # a hundred years
BACKDATED = timedelta(days=1)  # for clocks that are behind
_HOST = re.compile(
    r"(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)


@dataclass(frozen=True, slots=True)
class Names:
    """Who a certificate is of: ``uri`` says it to programs, ``common`` to people; ``hosts`` are names and addresses."""

    common: str
    uri: str
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.common.isprintable() or not self.common.strip():
            raise SecurityError(f"{self.common!r}: is no name for a certificate; give one that can be read")

    def subject(self) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.common[:LONGEST_COMMON_NAME])])

    def alternatives(self) -> x509.SubjectAlternativeName:
        return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(self.uri), *map(_host, self.hosts)])


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate and its key, which signs others."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def sign(self, names: Names, key: ec.EllipticCurvePublicKey, days: int, now: datetime) -> x509.Certificate:
        """A certificate for TLS in both directions, valid from the authority's own first day on.

        So no certificate of a fleet is of the future for a board whose clock stands at its own certificate's first day.
        """
        last = min(_later(now, days), self.certificate.not_valid_after_utc)
        if last <= now:
            raise SecurityError(
                f"the authority expired on {last:%Y-%m-%d} and signs no more; make a new one in a new folder "
                "(preact-edge certs ca DIR), and with it certificates for all devices and backends"
            )
        issuer = self.certificate.subject
        builder = _leaf(names, key, issuer, self.certificate.not_valid_before_utc, last)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return builder.add_extension(identifier, critical=False).sign(self.key, hashes.SHA256())

    def list_revoked(
        self, before: x509.CertificateRevocationList | None, serials: Sequence[int], days: int, now: datetime
    ) -> x509.CertificateRevocationList:
        """A new list: the entries of the one ``before``, and ``serials``."""
        first, last = now - BACKDATED, _later(now, days)
        builder = x509.CertificateRevocationListBuilder(self.certificate.subject)
        builder = builder.last_update(first).next_update(last)
        number, known = 1, set[int]()
        if before is not None:
            number = before.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number + 1
            for entry in before:
                builder, known = builder.add_revoked_certificate(entry), known | {entry.serial_number}
        for serial in dict.fromkeys(serials):
            if serial not in known:
                revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
                builder = builder.add_revoked_certificate(revoked)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(identifier, critical=False).add_extension(x509.CRLNumber(number), False)
        return builder.sign(self.key, hashes.SHA256())

    def made(self, certificate: x509.Certificate) -> bool:
        """Whether the certificate is of this authority."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def new_authority(name: str, key: ec.EllipticCurvePrivateKey, days: int, now: datetime) -> Authority:
    """A self-signed authority that signs no other authorities."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = _usage(key_cert_sign=True, crl_sign=True)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(_later(now, days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def self_sign(names: Names, key: ec.EllipticCurvePrivateKey, days: int, now: datetime) -> x509.Certificate:
    """A certificate that no authority stands behind; its other side must know it beforehand."""
    builder = _leaf(names, key.public_key(), names.subject(), now - BACKDATED, _later(now, days))
    return builder.sign(key, hashes.SHA256())


def request(names: Names, key: ec.EllipticCurvePrivateKey) -> x509.CertificateSigningRequest:
    """What an authority needs to make a certificate for a key that it never sees."""
    builder = x509.CertificateSigningRequestBuilder(names.subject())
    return builder.add_extension(names.alternatives(), critical=False).sign(key, hashes.SHA256())


def requested_key(pem: bytes, uri: str) -> ec.EllipticCurvePublicKey:
    """The public key of a request. Nothing else in it is taken over; a request for another name is refused."""
    try:
        asked = x509.load_pem_x509_csr(pem)
        valid, names, key = asked.is_signature_valid, [found.value for found in asked.extensions], asked.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SecurityError("it is no certificate request (PEM)") from error
    if not valid or not isinstance(key, ec.EllipticCurvePublicKey) or key.key_size < 256:
        raise SecurityError("its key must be one on P-256 (preact-edge certs request) and its signature right")
    for found in names:
        if isinstance(found, x509.SubjectAlternativeName):
            uris = found.get_values_for_type(x509.UniformResourceIdentifier)
            if any(other != uri for other in uris):
                raise SecurityError(f"it asks for {', '.join(uris)}, not for {uri}; is it the right file?")
    return key


def uris(certificate: x509.Certificate) -> list[str]:
    """The URIs among its names."""
    return _alternatives(certificate, x509.UniformResourceIdentifier)


def hosts(certificate: x509.Certificate) -> list[str]:
    """The host names and addresses among its names."""
    return [*_alternatives(certificate, x509.DNSName), *map(str, _alternatives(certificate, x509.IPAddress))]


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate, in the form of openssl and of Node's ``fingerprint256``."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def pem(value: x509.Certificate | x509.CertificateSigningRequest | x509.CertificateRevocationList) -> bytes:
    return value.public_bytes(serialization.Encoding.PEM)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS #8, not encrypted."""
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption())


def read_key(content: bytes) -> ec.EllipticCurvePrivateKey:
    """Raises SecurityError."""
    try:
        key = serialization.load_pem_private_key(content, None)
    except TypeError as error:
        raise SecurityError(
            "it is locked with a passphrase, which this program cannot ask for; unlock a copy with: "
            "openssl pkey -in LOCKED -out KEY"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SecurityError("it is no private key (PEM)") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise SecurityError("it is no key on an elliptic curve; keys made here are")
    return key


def read_certificates(content: bytes) -> list[x509.Certificate]:
    """One or more; raises SecurityError."""
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise SecurityError("it holds no certificate (PEM)") from error


def read_list(content: bytes) -> x509.CertificateRevocationList:
    """Raises SecurityError."""
    try:
        return x509.load_pem_x509_crl(content)
    except ValueError as error:
        raise SecurityError("it is no list of revoked certificates (PEM)") from error


def moment(seconds: float) -> datetime:
    """Unix time for certificates, which know whole seconds only."""
    return datetime.fromtimestamp(int(seconds), timezone.utc)


def _later(now: datetime, days: int) -> datetime:
    if days > MOST_DAYS:
        raise SecurityError(f"{days} days: is too long; {MOST_DAYS} at most")
    return now + timedelta(days=days)


def _leaf(
    names: Names, key: ec.EllipticCurvePublicKey, issuer: x509.Name, first: datetime, last: datetime
) -> x509.CertificateBuilder:
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return (
        x509.CertificateBuilder(issuer, names.subject(), key, x509.random_serial_number())
        .not_valid_before(first)
        .not_valid_after(last)
        .add_extension(names.alternatives(), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage(both), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        if not _HOST.fullmatch(text) or len(text) > 253:
            raise SecurityError(f"--host {text}: is neither an address nor a host name") from None
        return x509.DNSName(text)


def _alternatives(certificate: x509.Certificate, kind: type[x509.GeneralName]) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(kind)  # type: ignore[arg-type]  # of kinds with text or an address alone
