"""What to do where a connection is not to be, in the words of watch's options."""

from __future__ import annotations

from dataclasses import replace

from edge.stream.client import Lost, NoWelcome, Refused, Untrusted
from edge.stream.client.refusals import Distrust

HOPELESS = ("auth_failed", "auth_required", "unsupported_version")  # trying again would only be refused again
NO_WELCOME = "it speaks TLS (then give --ca FILE or --pin SHA256), or has too many clients"
NO_ROOM = "it may have too many clients"
ADVICE: dict[Distrust, str] = {
    "no_tls": "take the port that does; without --ca and --pin nothing is protected",
    "certificate": "is --ca the file of its authority? Without --device ID the certificate must name the host",
    "pin": "is it another device, or was its certificate made anew? Then give the new one's --pin",
    "device": "give that as --device, or connect to the other one",
    "client_certificate": "give --cert FILE and --key FILE, made with `preact-edge certs backend`",
    "login_wanted": "give --login KEYFILE:KEY_ID",
    "login_unasked": "leave out --login, or take the port that does",
    "login_plain": "give --ca FILE or --pin SHA256 where the port speaks TLS, else --plain-login",
    "proof": "does --login name a key of this device?",
}


def advised(lost: Lost, *, encrypted: bool) -> Lost:
    """The same, its reason followed by the option that helps, where one does."""
    error = lost.error
    if isinstance(error, Untrusted):
        return replace(lost, reason=f"{error.what}; {ADVICE[error.code]}")
    if isinstance(error, NoWelcome):
        return replace(lost, reason=f"{error}; {NO_ROOM if encrypted else NO_WELCOME}")
    return lost


def is_hopeless(lost: Lost) -> bool:
    error = lost.error
    return isinstance(error, Untrusted) or (isinstance(error, Refused) and error.code in HOPELESS)
