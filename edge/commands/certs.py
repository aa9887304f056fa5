"""``preact-edge certs``: a fleet's authority, certificates, revocations and login keys."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from shlex import quote
from urllib.parse import unquote

from edge.paths import expand
from edge.security import issue, keys, x509
from edge.security.issue import Fleet, Terms
from edge.security.peers import DEVICE_URI, ROLE_URI

ON_DEVICE = "/etc/preact-edge"


def run(args: argparse.Namespace) -> int:
    """0 done; raises SecurityError."""
    ACTIONS[args.action](args)
    return 0


def _ca(args: argparse.Namespace) -> None:
    _wrote(Fleet(expand(str(args.dir))).create())
    _say(
        "Keep this folder off the devices: who has ca.key can make certificates. Then:",
        f"  preact-edge certs device {quote(str(args.dir))} DEVICE_ID",
        f"  preact-edge certs backend {quote(str(args.dir))} NAME --role viewer",
    )


def _device(args: argparse.Namespace) -> None:
    fleet = Fleet(expand(str(args.dir)))
    files = fleet.device(args.device_id, _terms(args))
    _wrote(files)
    key = "device.key" if args.csr else f"{files[-1].stem}.key"
    _say(
        f"Copy it with {fleet.certificate} and {fleet.revoked} to the device,",
        f"for example to {ON_DEVICE}, where the key must be its user's alone (chmod o=). The device's config:",
        *_device_settings(args.device_id, files[-1].name, key),
        f'  ca = "{ON_DEVICE}/ca.pem"',
        f'  revocation_list = "{ON_DEVICE}/crl.pem"',
        *_listener("mtls"),
    )


def _request(args: argparse.Namespace) -> None:
    folder = expand(str(args.out_dir))
    _wrote(issue.request(args.device_id, folder, args.renew, args.role))
    kind, role = ("backend", f" --role {args.role}") if args.role else ("device", "")
    _say(
        "The key stays here. Where the authority is, with a copy of the request:",
        f"  preact-edge certs {kind} DIR {quote(args.device_id)}{role} --csr device.csr",
    )


def _backend(args: argparse.Namespace) -> None:
    fleet = Fleet(expand(str(args.dir)))
    _wrote(fleet.backend(args.name, args.role, _terms(args)))
    _say(
        f"Give it to the {args.role} with {fleet.certificate}. It shows its certificate to a device,",
        "and takes only one of that authority that names the device: urn:preact-edge:device:DEVICE_ID.",
    )


def _self_signed(args: argparse.Namespace) -> None:
    files = issue.self_signed(args.device_id, expand(str(args.out_dir)), _terms(args))
    _wrote(files)
    _say(
        f"SHA-256 for clients to pin: {x509.fingerprint(issue.read_certificate(files[-1]))}",
        "A client trusts this one certificate and logs in with a key. The device's config:",
        *_device_settings(args.device_id, "device.pem", "device.key"),
        f'  login_keys = "{ON_DEVICE}/login-keys.toml"   # preact-edge certs key NAME --role viewer --append FILE',
        *_listener("hmac"),
    )


def _revoke(args: argparse.Namespace) -> None:
    fleet = Fleet(expand(str(args.dir)))
    count = fleet.revoke([expand(str(file)) for file in args.certificates], args.days)
    _wrote([fleet.revoked])
    _say(
        f"It names {count} certificate{'' if count == 1 else 's'} and is good for {args.days} days. Copy it to every",
        "device's security.revocation_list: a device refuses all certificates once its list is out of date.",
    )


def _show(args: argparse.Namespace) -> None:
    certificate = issue.read_certificate(expand(str(args.certificate)))
    uris = x509.uris(certificate)
    rows = {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "device": ", ".join(unquote(uri.removeprefix(DEVICE_URI)) for uri in uris if uri.startswith(DEVICE_URI)),
        "role": ", ".join(uri.removeprefix(ROLE_URI) for uri in uris if uri.startswith(ROLE_URI)),
        "hosts": ", ".join(x509.hosts(certificate)),
        "valid": f"{certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}",
        "serial": f"{certificate.serial_number:x}",
        "sha256": x509.fingerprint(certificate),
    }
    _say(*(f"{name:8} {value}" for name, value in rows.items() if value))


def _key(args: argparse.Namespace) -> None:
    if args.append is None:
        print(keys.login_key(args.name, args.role), end="")
        return
    file = expand(str(args.append))
    keys.append_key(args.name, args.role, file)
    _wrote([file])
    _say(f"Its owner needs the name {args.name} and the secret that stands in that file; send it on a safe way.")


ACTIONS: Mapping[str, Callable[[argparse.Namespace], None]] = {
    "ca": _ca,
    "device": _device,
    "request": _request,
    "backend": _backend,
    "self-signed": _self_signed,
    "revoke": _revoke,
    "show": _show,
    "key": _key,
}


def _terms(args: argparse.Namespace) -> Terms:
    asked = getattr(args, "csr", None)
    return Terms(tuple(args.host), args.days, args.renew, expand(str(asked)) if asked else None)


def _device_settings(device_id: str, certificate: str, key: str) -> Iterable[str]:
    return (
        "  [device]",
        f'  id = "{device_id}"',
        "  [security]",
        f'  certificate = "{ON_DEVICE}/{certificate}"',
        f'  private_key = "{ON_DEVICE}/{key}"',
    )


def _listener(auth: str) -> Iterable[str]:
    return "  [[listeners]]", '  host = "0.0.0.0"', "  port = 8443", "  tls = true", f'  auth = "{auth}"'


def _wrote(files: Iterable[Path]) -> None:
    for file in files:
        print(f"wrote {file}{'   (secret)' if file.suffix in ('.key', '.toml') else ''}")


def _say(*lines: str) -> None:
    print("\n".join(lines))
