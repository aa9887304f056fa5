"""Opening the sockets of a listener: every address of its name, and none that strangers reach by accident."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
from collections.abc import Sequence
from itertools import combinations
from typing import Any, TypeAlias

from edge.config import Listener
from edge.errors import ConfigError, StreamError
from edge.stream.address import show

logger = logging.getLogger(__name__)

BACKLOG = 128
FREE_PORT_ATTEMPTS = 16  # for port 0: a port free on the first address may be taken on the second
ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)  # the machine has no such address

Address: TypeAlias = tuple[socket.AddressFamily, tuple[Any, ...]]


def open_listener(listener: Listener) -> list[socket.socket]:
    """Listen on every address that the listener's host has; with port 0 it is one free port on all of them.

    Raises ConfigError when other machines could reach it and ``allow_insecure`` is off, and StreamError when the
    host is unknown or the port cannot be had. The caller closes the sockets.
    """
    addresses = _resolve(listener)
    _check_reach(listener, addresses)
    attempts = 1 if listener.port else FREE_PORT_ATTEMPTS
    for attempt in range(1, attempts + 1):
        try:
            return _open_all(listener, addresses)
        except OSError as error:
            if attempt == attempts or error.errno != errno.EADDRINUSE:
                raise StreamError(_explain(listener, error)) from error
    raise AssertionError("unreachable")


def check_apart(listeners: Sequence[Listener]) -> None:
    """Raise ConfigError where two of these want one port of one address, StreamError where such a host is unknown."""
    for (first, one), (second, other) in combinations(enumerate(listeners, 1), 2):
        if one.port and one.port == other.port and (shared := _shared(one, other)):
            names = f"{one.name or f'listener-{first}'} and {other.name or f'listener-{second}'}"
            raise ConfigError(f"listeners: {names} both want {shared}; give each a port of its own")


def _shared(one: Listener, other: Listener) -> str:
    """An address that both would listen on; empty where there is none."""
    taken = _resolve(one)
    for family, address in _resolve(other):
        if any(family == theirs and _overlap(host[0], address[0]) for theirs, host in taken):
            return show(address)
    return ""


def _overlap(one: str, other: str) -> bool:
    return one == other or any(ipaddress.ip_address(host.partition("%")[0]).is_unspecified for host in (one, other))


def _resolve(listener: Listener) -> list[Address]:
    try:
        found = socket.getaddrinfo(listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise StreamError(
            f"listener host {listener.host!r} is not known ({error}); use localhost or an address of this machine"
        ) from error
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _check_reach(listener: Listener, addresses: list[Address]) -> None:
    reachable = ", ".join(show(address) for _, address in addresses if not _is_loopback(address[0]))
    if not reachable:
        return
    if listener.auth == "none" and not listener.allow_insecure:
        raise ConfigError(
            f"listener {show((listener.host, listener.port))} can be reached from other machines, without login; bind "
            'localhost, set auth = "mtls" or "hmac", or allow_insecure = true if everybody there may see the stream'
        )
    if listener.auth == "none":
        hidden = "no login" if listener.tls else "no encryption, no login"
        logger.warning("listener %s is open to everybody who can reach it: %s", reachable, hidden)
    elif not listener.tls:
        logger.warning("listener %s is not encrypted: who listens in on the network sees the stream", reachable)


def _is_loopback(host: str) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def _open_all(listener: Listener, addresses: list[Address]) -> list[socket.socket]:
    opened: list[socket.socket] = []
    port = listener.port
    missing: OSError | None = None
    try:
        for family, address in addresses:
            try:
                opened.append(_open_one(family, (address[0], port, *address[2:])))
            except OSError as error:
                if error.errno not in ABSENT:
                    raise
                missing = error
                logger.debug("not listening on %s: %s", address[0], error)
                continue
            port = opened[-1].getsockname()[1]
    except BaseException:
        for sock in opened:
            sock.close()
        raise
    if not opened and missing is not None:
        raise missing
    return opened


def _open_one(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # Connections of the last run linger in TIME_WAIT; without this a restart would wait a minute for them.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # the IPv4 address has a socket of its own
        sock.bind(address)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _explain(listener: Listener, error: OSError) -> str:
    where = f"port {listener.port} on {listener.host}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where} is in use by another program; `sudo ss -ltnp 'sport = :{listener.port}'` shows which; "
            "stop it, or choose another port (0 takes a free one)"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{where} needs privileges that this program does not have; choose a port from 1024 on"
    if error.errno in ABSENT:
        return f"{where} cannot be opened: no such address on this machine; use localhost or one that `ip addr` shows"
    return f"{where} cannot be opened: {error.strerror or error}"
