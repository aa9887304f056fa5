"""Clients written by hand, as a backend engineer would from the specification alone: they share no code with the
program."""

from __future__ import annotations

import contextlib
import hmac
import json
import secrets
import socket
import ssl
from typing import Any, TypeVar, cast

from edge.config import Security
from edge.wire.framing import ByteOrder
from tests.certificates import FleetFiles

HELLO: dict[str, Any] = {"type": "hello", "protocol": 1}
SECRET, OTHER = "5ec4e7" * 11, "0ddba1" * 11
KEYS = f"""
[keys.backend-1]
role = "viewer"
secret = "{SECRET}"

[keys.desk]
role = "control"
secret = "{SECRET.upper()}"
"""
ClientT = TypeVar("ClientT", bound="PlainClient")


class PlainClient:
    """What a backend engineer would write from the guide alone; it shares no code with the program.

    ``receive_buffer`` bytes of kernel buffer make a client that soon takes no more.
    """

    def __init__(
        self,
        address: tuple[str, int],
        *,
        framing: str = "length",
        byteorder: ByteOrder = "big",
        receive_buffer: int | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.framing, self.byteorder = framing, byteorder
        self.tls = tls is not None
        self.socket = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(10)
        try:
            self.socket.connect(address)
            if tls is not None:
                self.socket = tls.wrap_socket(self.socket)
        except OSError:
            self.socket.close()
            raise
        self.file = self.socket.makefile("rb")

    def read(self) -> dict[str, Any]:
        """The next message, a picture under ``jpeg``; EOFError at the end of the stream."""
        if self.framing == "newline":
            text = self.file.readline()
            if not text:
                raise EOFError
            assert text.endswith(b"\n")
        else:
            text = self.read_sized()
        message = cast("dict[str, Any]", json.loads(text))
        if message["type"] == "video_frame":
            message["jpeg"] = self.read_sized()
        return message

    def read_sized(self) -> bytes:
        size = int.from_bytes(self.read_exactly(4), self.byteorder)
        return self.read_exactly(size)

    def read_exactly(self, count: int) -> bytes:
        data = self.file.read(count)
        if len(data) < count:
            raise EOFError
        return data

    def read_all(self) -> list[dict[str, Any]]:
        """Everything up to the end of the stream, which must lie between two messages."""
        messages = []
        with contextlib.suppress(EOFError):
            while True:
                messages.append(self.read())
        return messages

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def __enter__(self: ClientT) -> ClientT:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def client_tls(fleet: FleetFiles, own: Security | None = None, **versions: ssl.TLSVersion) -> ssl.SSLContext:
    """A backend's own context, made without the program's code."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(fleet.ca)
    if own is not None:
        context.load_cert_chain(own.certificate, own.private_key)
    for name, version in versions.items():
        setattr(context, name, version)
    return context


class Talker(PlainClient):
    """A client that says hello and more, still written by hand; its welcome is read. ``passed`` is what came before
    hello_ok."""

    def __init__(self, address: tuple[str, int], **options: Any) -> None:
        super().__init__(address, **options)
        self.passed: list[dict[str, Any]] = []
        try:
            self.welcome = self.read()
        except BaseException:
            self.close()
            raise

    def frame(self, message: dict[str, Any] | bytes) -> bytes:
        text = message if isinstance(message, bytes) else json.dumps(message).encode()
        return text + b"\n" if self.framing == "newline" else len(text).to_bytes(4, self.byteorder) + text

    def send(self, *messages: dict[str, Any] | bytes) -> None:
        """All of them in one write."""
        self.socket.sendall(b"".join(map(self.frame, messages)))

    def hello(self, **fields: Any) -> dict[str, Any]:
        """Say hello; the hello_ok."""
        self.send(HELLO | fields)
        return self.until("hello_ok", self.passed)

    def log_in(self, secret: str, key_id: str = "backend-1", **changes: str) -> dict[str, Any]:
        """The auth of a hello; ``changes`` replace what goes into the mac."""
        parts = {
            "label": "preact-edge-v1 client",
            "key_id": key_id,
            "device_id": self.welcome["device_id"],
            "listener": f"{'tls' if self.tls else 'tcp'}:{self.welcome['protocol']['listener']}",
            "server_nonce": self.welcome["protocol"]["nonce"],
            "client_nonce": secrets.token_hex(32),
        } | changes
        self.proof = self._mac(secret, parts | {"label": "preact-edge-v1 server"})
        return {"key_id": key_id, "nonce": parts["client_nonce"], "mac": self._mac(secret, parts)}

    def _mac(self, secret: str, parts: dict[str, str]) -> str:
        return hmac.new(bytes.fromhex(secret), "\0".join(parts.values()).encode(), "sha256").hexdigest()

    def until(self, kind: str, passed: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        """The next message of that type; what comes before it goes into ``passed``. An error in its place fails."""
        while (message := self.read())["type"] != kind:
            assert message["type"] != "error", message
            if passed is not None:
                passed.append(message)
        return message

    def ask(self, command: str, command_id: str = "1", **args: Any) -> dict[str, Any]:
        """Give a command; its answer."""
        self.send({"type": "command", "id": command_id, "cmd": command, "args": args})
        while (answer := self.until("command_result"))["id"] != command_id:
            pass
        return answer

    def round_trip(self) -> list[dict[str, Any]]:
        """What came before the answer to a ping: after it the device has dealt with all that was sent."""
        passed: list[dict[str, Any]] = []
        mark = secrets.randbelow(1 << 40)
        self.send({"type": "ping", "t": mark})
        while (message := self.read()) != {"type": "pong", "t": mark}:
            passed.append(message)
        return passed

    def alerts(self, count: int) -> list[dict[str, Any]]:
        """The next so many, all else left out."""
        return [self.until("alert") for _ in range(count)]

    def seqs(self, count: int) -> list[int]:
        return [alert["seq"] for alert in self.alerts(count)]

    def end(self) -> list[dict[str, Any]]:
        """All up to the end of the stream, or of the connection."""
        messages: list[dict[str, Any]] = []
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                messages.append(self.read())
        return messages
