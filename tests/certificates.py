"""A fleet's certificates for tests, made by the code of ``preact-edge certs``, and a handshake between two contexts."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from edge.config import Security
from edge.security.issue import Fleet, Terms
from edge.security.peers import PeerCertificate

DEVICE_ID = "edge-01"
DAY = 86400.0


@dataclasses.dataclass(frozen=True)
class FleetFiles:
    """Paths of an authority's files, and the settings of those who have a certificate of it."""

    fleet: Fleet
    ca: Path
    revoked: Path

    def security(self, name: str, *, revocation: bool = False) -> Security:
        """Settings with the certificate and key of ``device-edge-01``, ``backend-viewer`` and so on."""
        return Security(
            certificate=str(self.fleet.folder / f"{name}.pem"),
            private_key=str(self.fleet.folder / f"{name}.key"),
            ca=str(self.ca),
            revocation_list=str(self.revoked) if revocation else "",
        )

    @property
    def device(self) -> Security:
        return self.security(f"device-{DEVICE_ID}")

    @property
    def viewer(self) -> Security:
        return self.security("backend-viewer")

    @property
    def control(self) -> Security:
        return self.security("backend-control")

    def pem(self, name: str) -> Path:
        return self.fleet.folder / f"{name}.pem"

    def with_unit(self, name: str, unit: str) -> Security:
        """A client's certificate as other tools make it: a role, if it is one, in the subject's OU, and no URI."""
        old = x509.load_pem_x509_certificate(self.pem("backend-viewer").read_bytes())
        signer = serialization.load_pem_private_key((self.fleet.folder / "ca.key").read_bytes(), None)
        subject = [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
        ]
        builder = x509.CertificateBuilder(
            old.issuer,
            x509.Name(subject),
            old.public_key(),
            x509.random_serial_number(),
        )
        builder = builder.not_valid_before(old.not_valid_before_utc).not_valid_after(old.not_valid_after_utc)
        made = builder.sign(signer, hashes.SHA256())  # type: ignore[arg-type]
        self.pem(name).write_bytes(made.public_bytes(serialization.Encoding.PEM))
        key = self.fleet.folder / f"{name}.key"
        key.write_bytes((self.fleet.folder / "backend-viewer.key").read_bytes())
        key.chmod(0o600)
        return self.security(name)


def make_fleet(
    folder: Path, clock: Callable[[], float] = time.time, days: int = 30, device_id: str = DEVICE_ID
) -> FleetFiles:
    """An authority with a certificate each for a device, a viewer and a control client, valid for ``days``."""
    fleet = Fleet(folder, clock)
    fleet.create()
    fleet.device(device_id, Terms(days=days))
    fleet.backend("viewer", "viewer", Terms(days=days))
    fleet.backend("control", "control", Terms(days=days))
    return FleetFiles(fleet, fleet.certificate, fleet.revoked)


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a handshake showed each side of the other."""

    by_client: PeerCertificate | None
    by_server: PeerCertificate | None
    version: str | None
    has_ticket: bool


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, *, as_client: bool = False) -> Seen:
    """A handshake and one byte over real sockets. Raises what the server saw go wrong, else what the client did: in
    TLS 1.3 a client is done before the server has looked at its certificate. ``as_client``: what the client saw."""
    near, far = socket.socketpair()
    near.settimeout(10)
    far.settimeout(10)
    seen: list[PeerCertificate | None] = []
    faults: list[OSError] = []

    def serve() -> None:
        try:
            with server.wrap_socket(far, server_side=True) as end:
                seen.append(end.getpeercert())
                end.sendall(b"!")
                with contextlib.suppress(OSError):
                    end.recv(1)  # until the client leaves, in whatever way
        except OSError as error:
            faults.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(near) as end:
            assert end.recv(1) == b"!" or faults
            shown = Seen(end.getpeercert(), None, end.version(), bool(end.session and end.session.has_ticket))
    except OSError as error:
        near.close()
        thread.join(10)
        raise (error if as_client else _first_cause(faults, error)) from None
    finally:
        with contextlib.suppress(OSError):
            near.close()
        thread.join(10)
        far.close()
    if faults:
        raise faults[0]
    return dataclasses.replace(shown, by_server=seen[0])


def _first_cause(faults: list[OSError], error: OSError) -> OSError:
    """The side that refused knows why; the other was only told by an alert, or saw the connection end."""
    told = "alert" in str(error).lower() or not isinstance(error, ssl.SSLError)
    return faults[0] if faults and (told or isinstance(error, ssl.SSLEOFError)) else error
