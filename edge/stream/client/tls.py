"""How a client knows that it speaks to the device: TLS 1.3 and whose certificate it accepts."""

from __future__ import annotations

import hashlib
import hmac
import ssl
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ConfigError, SecurityError
from edge.security.files import read_private
from edge.security.peers import devices
from edge.stream.client.refusals import Untrusted
from edge.text import printable


@dataclass(frozen=True, slots=True)
class Tls:
    """What is asked of the device's certificate, and the client's own.

    Either ``pin``, the SHA-256 of the certificate in hex (colons allowed), for one that signs itself; or ``ca``, a
    PEM file with the authority's certificates, and ``device``, the id that the certificate must name. Without
    ``device`` it must name the host that is connected to. ``certificate`` and ``private_key`` are PEM files; without
    ``private_key`` the key is in the certificate's file. One that every user of the machine may open is refused.
    """

    pin: str = ""
    ca: str | Path = ""
    device: str = ""
    certificate: str | Path = ""
    private_key: str | Path = ""

    def __post_init__(self) -> None:
        if bool(self.pin) == bool(self.ca):
            raise ConfigError("TLS needs to know the device: give either its pin or the authority's file (ca)")
        if self.pin and len(_digits(self.pin)) != 2 * hashlib.sha256().digest_size:
            raise ConfigError("the pin is no SHA-256 of a certificate: 64 hexadecimal digits are needed")
        if self.private_key and not self.certificate:
            raise ConfigError("a private key was given without its certificate")

    def context(self) -> ssl.SSLContext:
        """The settings of a connection; ConfigError when a file cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = bool(self.ca) and not self.device
        if self.pin:
            context.verify_mode = ssl.CERT_NONE  # the pin says more than any signature
        what: str | Path = self.ca
        try:
            if self.ca:
                context.load_verify_locations(self.ca)
            what = self.certificate
            if self.certificate:
                context.load_cert_chain(self.certificate, self.private_key or None, password=_no_password)
                _check_private(self.private_key or self.certificate)
        except SecurityError as error:
            raise ConfigError(str(error)) from error
        except (OSError, ValueError) as error:
            raise ConfigError(f"{what}: cannot be used for TLS: {_reason(error)}") from error
        return context

    def verify(self, sock: ssl.SSLSocket) -> None:
        """Raise Untrusted unless this is the device; the chain itself was checked in the handshake."""
        if self.pin:
            print_ = hashlib.sha256(sock.getpeercert(binary_form=True) or b"").hexdigest()
            if not hmac.compare_digest(print_, _digits(self.pin)):
                raise Untrusted("pin", f"the certificate is not the pinned one: its SHA-256 is {print_}")
        elif self.device:
            named = devices(sock.getpeercert() or {})
            if self.device not in named:
                shown = printable(", ".join(named)) or "no device"
                raise Untrusted("device", f"the certificate is of {shown}, not of the device {self.device}")


def _check_private(file: str | Path) -> None:
    """A key that others may open proves nothing; the same rule as for the device's own."""
    read_private("the private key", Path(file))


def _digits(pin: str) -> str:
    digits = pin.replace(":", "").strip().lower()
    return digits if all(digit in "0123456789abcdef" for digit in digits) else ""


def _no_password() -> str:
    raise ValueError("the private key is encrypted; a plain one is needed")


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
