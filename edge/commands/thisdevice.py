"""How a tool on the device itself reaches the program that runs there: by the settings that it runs with."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from edge.commands.trust import login, tls
from edge.config import Config, Listener
from edge.errors import ConfigError, SecurityError
from edge.security.files import locate
from edge.storage import known_device_id, state_dir
from edge.stream.client import Login, Tls

NEAREST = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "localhost"}  # noqa: S104 - what is bound, and what is called then


@dataclass(frozen=True, slots=True)
class Way:
    """Where a device listens, and what to show and to ask for there; ``device`` is its id, "" where any will do."""

    host: str
    port: int
    tls: Tls | None = None
    login: Login | None = None
    device: str = ""


def way_in(config: Config, args: argparse.Namespace) -> Way:
    """To the first listener with certificates, if ``--cert`` is given, else with logins, if ``--login`` is, else to
    the first without either. ``--ca``, ``--pin`` and ``--device`` win over the settings.

    Raises ConfigError where there is no such listener, or a file or variable of it is missing.
    """
    listener = _choose(config.listeners, args)
    if not listener.port:
        raise ConfigError("this device listens on a port of its own choice (port = 0): give HOST:PORT, as its log says")
    device = args.device or known_device_id(config, state_dir(config))
    host = NEAREST.get(listener.host, listener.host)
    key = login(args) if listener.auth == "hmac" else None
    return Way(host, listener.port, _tls(config, listener, args, device), key, device)


def _choose(listeners: tuple[Listener, ...], args: argparse.Namespace) -> Listener:
    given = {"mtls": args.cert is not None, "hmac": args.login is not None, "none": True}
    for auth, usable in given.items():
        for listener in listeners:
            if usable and listener.auth == auth:
                return listener
    wanted = {"mtls": "--cert FILE and --key FILE of a viewer", "hmac": "--login KEYFILE:KEY_ID"}
    named = " or ".join(words for auth, words in wanted.items() if any(each.auth == auth for each in listeners))
    raise ConfigError(f"every listener of this device has a login: give {named}")


def _tls(config: Config, listener: Listener, args: argparse.Namespace, device: str) -> Tls | None:
    """None where the listener has none: what is given for another one is not needed then."""
    if not listener.tls:
        return None
    security, shown = config.security, argparse.Namespace(**vars(args))
    if listener.auth != "mtls":
        shown.cert = shown.key = None
    if not (args.ca or args.pin) and security.ca:
        shown.ca = locate("ca", security.ca, os.environ)
    elif not (args.ca or args.pin):
        shown.pin = _pin(locate("certificate", security.certificate, os.environ))
    shown.device = None if shown.pin else device or None
    return tls(shown)


def _pin(certificate: Path) -> str:
    """The SHA-256 of this device's own certificate, which signs itself."""
    from edge.security import issue, x509  # not where an authority's file does

    try:
        return x509.fingerprint(issue.read_certificate(certificate))
    except SecurityError as error:
        raise ConfigError(str(error)) from error
