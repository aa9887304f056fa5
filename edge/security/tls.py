"""TLS 1.3 as the device speaks it, from the files of [security]; certificates and keys are OpenSSL's work."""

from __future__ import annotations

import contextlib
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from edge.config import Security
from edge.errors import SecurityError
from edge.security import notices
from edge.security.files import locate, read, read_private, stamps
from edge.security.peers import RELEASED_AT, Peer, PeerCertificate, begins, check_dates, identify
from edge.security.revocation import RevocationList, read_lists

Auth: TypeAlias = Literal["none", "hmac", "mtls"]

NO_CHECK_TIME = 0x200000  # OpenSSL's X509_V_FLAG_NO_CHECK_TIME, for which Python's ssl has no name
FILES = ("certificate", "private_key", "ca", "revocation_list")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The files of one moment. A context is None where a setting that it needs is empty."""

    server: ssl.SSLContext | None = None
    mutual: ssl.SSLContext | None = None
    client: ssl.SSLContext | None = None
    own: PeerCertificate | None = None
    revoked: tuple[RevocationList, ...] = ()
    earliest: float = RELEASED_AT


class TlsContexts:
    """The contexts for listeners and for dialling out, made again when their files change.

    The clock rule: a clock earlier than this release, the device's own certificate or the revocation list cannot be
    right. As long as it is, OpenSSL looks at no date, and :meth:`peer` checks the peer's own certificate against the
    latest of those. Signatures, purposes and the revocation list's entries are checked all the same.

    Ask for a context at each connection. Raises ConfigError for a path that cannot be, SecurityError for a file that
    cannot be used.

    Synchronization: ``reload`` is for one thread; all else may be called from any. What was loaded is replaced whole.
    """

    def __init__(
        self, security: Security, clock: Callable[[], float] = time.time, environ: Mapping[str, str] = os.environ
    ) -> None:
        texts = {key: getattr(security, key) for key in FILES}
        self._paths = {key: locate(key, text, environ) for key, text in texts.items() if text}
        self._clock = clock
        self._tried = stamps(self._paths.values())
        self._loaded = _load(self._paths)

    def server(self, auth: Auth) -> ssl.SSLContext:
        """For a listener: with ``mtls`` a client must show a certificate of ``security.ca``, else none is asked for."""
        if auth == "mtls":
            return self._for_now(self._loaded.mutual, 'a listener with auth = "mtls"', "certificate", "ca")
        return self._for_now(self._loaded.server, "a listener with tls = true", "certificate")

    def client(self, *, anonymous: bool = False) -> ssl.SSLContext:
        """For dialling out: the other side must show a certificate of ``security.ca``; its host name is not looked at,
        since the role (or a device's id) in the certificate is what counts: see :meth:`peer`.

        ``anonymous``: without a certificate of one's own, to log in with a key.
        """
        needed = ("ca",) if anonymous else ("ca", "certificate")
        return self._for_now(self._loaded.client, "dialling out over TLS", *needed)

    def peer(self, cert: PeerCertificate | None) -> Peer:
        """Who ``getpeercert()`` says is there, once its dates are checked by the clock rule; raises SecurityError."""
        if not cert:
            raise SecurityError("certificate: the other side has shown none")
        check_dates(cert, self._clock(), self._loaded.earliest)
        return identify(cert)

    def reload(self) -> bool:
        """Read the files again if one changed; True if one did. A file that cannot be used leaves everything as it
        was and raises SecurityError, once for each change. Connections that stand are not touched."""
        found = stamps(self._paths.values())
        if found == self._tried:
            return False
        self._tried = found
        self._loaded = _load(self._paths)
        return True

    def warnings(self, device_id: str) -> tuple[str, ...]:
        """What works now and will not, or should be otherwise, one line each: dates, names, a clock that is wrong."""
        loaded, now = self._loaded, self._clock()
        at = max(now, loaded.earliest)
        trusted = loaded.client
        return (
            *notices.of_clock(now, loaded.earliest),
            *(notices.of_own(loaded.own, device_id, at) if loaded.own else ()),
            *(notices.of_authorities(trusted.get_ca_certs(), at) if trusted else ()),
            *(notices.of_lists(loaded.revoked, trusted.get_ca_certs(binary_form=True), at) if trusted else ()),
        )

    def _for_now(self, context: ssl.SSLContext | None, user: str, *needed: str) -> ssl.SSLContext:
        """A connection copies the flags when it is made, so the clock's being set later changes only later ones."""
        missing = [f"security.{key}" for key in needed if key not in self._paths]
        if missing or context is None:
            raise SecurityError(f"{' and '.join(missing)}: must be set; {user} needs it")
        if self._clock() < self._loaded.earliest:
            context.verify_flags |= NO_CHECK_TIME
        else:
            context.verify_flags &= ~NO_CHECK_TIME
        return context


def handshake_fault(error: ssl.SSLError) -> str:
    """Why a handshake failed, for the log: one line without addresses."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if "CRL" in error.verify_message:
            return f"{error.verify_message}: put a fresh list at security.revocation_list (preact-edge certs revoke)"
        return f"its certificate is refused: {error.verify_message}"
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return "it hung up during the handshake"
    return _FAULTS.get(error.reason or "", f"TLS failed: {error.reason or error}")


_FAULTS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it has shown no certificate",
    "UNSUPPORTED_PROTOCOL": "it offers no TLS 1.3",
    "HTTP_REQUEST": "it does not speak TLS",
    "WRONG_VERSION_NUMBER": "it does not speak TLS",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a certificate of ours",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know the authority of our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "our certificate has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "our certificate is revoked",
}


def _load(paths: Mapping[str, Path]) -> _Loaded:
    _check_pair(paths)
    revoked = read_lists(paths["revocation_list"]) if "revocation_list" in paths else ()
    earliest = max([RELEASED_AT, *(found.made for found in revoked)])
    client = _client(paths) if "ca" in paths else None
    if "certificate" not in paths:
        return _Loaded(client=client, revoked=revoked, earliest=earliest)
    server = _server(paths)
    own = _rehearse(server, paths["certificate"])
    mutual = _mutual(paths) if "ca" in paths else None
    return _Loaded(server, mutual, client, own, revoked, max(earliest, begins(own)))


def _check_pair(paths: Mapping[str, Path]) -> None:
    """The faults for which OpenSSL has no words, and an encrypted key, for whose password it would ask a terminal."""
    for one, other in (("certificate", "private_key"), ("private_key", "certificate"), ("revocation_list", "ca")):
        if one in paths and other not in paths:
            raise SecurityError(f"security.{other}: is not set; security.{one} needs it")
    for key in ("certificate", "ca"):
        if key in paths and b"-----BEGIN CERTIFICATE-----" not in read(f"security.{key}", paths[key]):
            raise SecurityError(f"security.{key}: {paths[key]}: holds no certificate in PEM form (BEGIN CERTIFICATE)")
    if "private_key" in paths:
        pem = read_private("security.private_key", paths["private_key"])
        if b"ENCRYPTED" in pem:
            raise SecurityError(f"security.private_key: {paths['private_key']}: is encrypted; give it without password")
        if b"PRIVATE KEY-----" not in pem:
            raise SecurityError(f"security.private_key: {paths['private_key']}: holds no key in PEM form")


def _server(paths: Mapping[str, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # a resumed session would skip the certificate, and so its revocation
    _present(context, paths)
    return context


def _mutual(paths: Mapping[str, Path]) -> ssl.SSLContext:
    context = _server(paths)
    _trust(context, paths)
    return context


def _client(paths: Mapping[str, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # names in certificates are what counts, not addresses
    if "certificate" in paths:
        _present(context, paths)
    _trust(context, paths)
    return context


def _present(context: ssl.SSLContext, paths: Mapping[str, Path]) -> None:
    certificate, key = paths["certificate"], paths["private_key"]
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            raise SecurityError(f"security.private_key: {key}: is not the key of {certificate}") from error
        raise SecurityError(f"security.certificate: {certificate} or its key {key}: {_reason(error)}") from error
    except OSError as error:  # it went away since it was checked
        raise SecurityError(f"security.certificate: {certificate}: cannot be read: {error.strerror}") from error


def _trust(context: ssl.SSLContext, paths: Mapping[str, Path]) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    for key in ("ca", "revocation_list"):
        try:
            if key in paths:
                context.load_verify_locations(paths[key])
        except ssl.SSLError as error:
            raise SecurityError(f"security.{key}: {paths[key]}: {_reason(error)}") from error
        except OSError as error:
            raise SecurityError(f"security.{key}: {paths[key]}: cannot be read: {error.strerror}") from error
    if "revocation_list" in paths:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _rehearse(server: ssl.SSLContext, certificate: Path) -> PeerCertificate:
    """Our own certificate as a peer sees it, by a handshake with ourselves in memory.

    ssl shows a certificate's names and dates in no other way, and one that cannot serve is found before a client does.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | NO_CHECK_TIME
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        client.load_verify_locations(certificate)
        near = client.wrap_bio(to_client, to_server)
        far = server.wrap_bio(to_server, to_client, server_side=True)
        for end in (near, far, near, far):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
        return near.getpeercert() or {}
    except ssl.SSLError as error:
        raise SecurityError(f"security.certificate: {certificate}: cannot serve TLS: {_reason(error)}") from error


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return f"cannot be used ({(error.reason or 'damaged').replace('_', ' ').lower()}); copy or make it again"
