"""From the options of a command that connects to a device: TLS, and who logs in."""

from __future__ import annotations

import argparse

from edge.errors import ConfigError, SecurityError
from edge.stream.client import Login, Tls


def tls(args: argparse.Namespace) -> Tls | None:
    """None: without. Raises ConfigError for options that do not go together."""
    if not (args.pin or args.ca):
        if args.cert or args.key or args.device:
            raise ConfigError("--cert, --key and --device are for TLS: give --ca or --pin too")
        return None
    if args.pin and args.ca:
        raise ConfigError("--pin and --ca: give one of them")
    if args.key and not args.cert:
        raise ConfigError("--key: give its certificate too, with --cert FILE")
    if args.device and args.pin:
        raise ConfigError("--device is for --ca: a --pin names one certificate already")
    try:
        return Tls(args.pin or "", args.ca or "", args.device or "", args.cert or "", args.key or "")
    except ConfigError as error:
        raise ConfigError(f"--pin: {error}") from error


def login(args: argparse.Namespace) -> Login | None:
    """None: nobody logs in. Raises ConfigError, also for a file that cannot be used."""
    if args.login is None:
        return None
    path, _, key_id = args.login.rpartition(":")
    if not path or not key_id:
        raise ConfigError(f"--login {args.login}: write KEYFILE:KEY_ID")
    try:
        return Login.from_file(path, key_id, allow_plain=args.plain_login)
    except SecurityError as error:
        raise ConfigError(f"--login: {error}") from error
