"""Addresses as people write them."""

from __future__ import annotations

from typing import Any

from edge.errors import ConfigError

DEFAULT_PORT = 8080
MAX_PORT = 65535


def show(address: tuple[Any, ...]) -> str:
    """host:port, with brackets around an IPv6 host; what a socket address has beyond the two is left out."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_address(text: str, default_port: int | None = None) -> tuple[str, int]:
    """``HOST:PORT``, ``[IPV6]:PORT`` or, with a default port, the host alone; raises ConfigError."""
    bracketed = text.startswith("[")
    if bracketed:
        host, closing, rest = text[1:].partition("]")
        ok = bool(closing) and (not rest or rest.startswith(":"))
        port = rest[1:]
    elif text.count(":") > 1:  # a bare IPv6 address
        host, port, rest, ok = text, "", "", True
    else:
        host, rest, port = text.partition(":")
        ok = True
    if not rest and default_port is not None:
        port = str(default_port)
    if not (ok and host and port.isascii() and port.isdigit() and int(port) <= MAX_PORT):
        raise ConfigError(f"{text!r} is no address; write HOST:PORT, for example 127.0.0.1:8080 or [::1]:8080")
    return host, int(port)
