"""Why a connection, or a command, was not to be: the client's own kinds of StreamError."""

from __future__ import annotations

from typing import Literal, TypeAlias

from edge.errors import StreamError
from edge.text import printable

Distrust: TypeAlias = Literal[
    "no_tls",  # what answers speaks no TLS
    "certificate",  # its certificate is not of the authority, is not valid by its dates, or names another host
    "pin",  # its certificate is another one
    "device",  # its certificate names another device
    "client_certificate",  # the device does not accept this client's certificate, or wants one
    "login_wanted",  # the device wants a login, and none was given
    "login_unasked",  # a login was given, and what answers asks for none
    "login_plain",  # a login was given, and the connection is not encrypted
    "proof",  # what answers does not know the login key
]


class Refused(StreamError):
    """The device ended the connection with an error; ``code`` is one of the protocol's fatal codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"the device refused: {printable(message)} ({printable(code)})")
        self.code = code


class Untrusted(StreamError):
    """What answered is not the device, or could not prove it, or the connection is not fit for a login.

    ``code`` says which, in one word of ``Distrust``; ``what`` is the message without its advice.
    """

    def __init__(self, code: Distrust, what: str, advice: str = "") -> None:
        super().__init__(f"{what}; {advice}" if advice else what)
        self.code = code
        self.what = what


class NoWelcome(StreamError):
    """What answered said nothing: it closed, or was silent.

    A port with TLS does so to a client without, and a device with too many clients to everybody.
    """


class CommandFailed(StreamError):
    """The device did not do what a command asked; ``code`` says why in one word."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{printable(message) or 'the command failed'} ({printable(code)})")
        self.code = code
