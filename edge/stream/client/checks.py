"""What a Subscriber was asked for, looked at before anything is connected: each raises ConfigError."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from edge.errors import ConfigError, ProtocolError
from edge.stream.client.cursor import Cursor, CursorStore
from edge.stream.client.dialogue import HelloMode, Wish
from edge.wire.requests import PROTOCOL_VERSION, TOPICS, Frames, Hello, Resume, decode_request, encode_request


def check_address(host: Any, port: Any) -> None:
    if not isinstance(host, str) or not host:
        raise ConfigError(f"host: {host!r} is no name or address")
    if type(port) is not int or not 0 < port < 65536:
        raise ConfigError(f"port: {port!r} is no whole number from 1 to 65535")


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ConfigError(f"{name}: {value!r} is none of {', '.join(choices)}")


def check_kind(name: str, value: Any, *kinds: type) -> None:
    """``value`` is None or one of these."""
    if value is not None and not isinstance(value, kinds):
        raise ConfigError(f"{name}: must be a {' or '.join(kind.__name__ for kind in kinds)}")


def check_topics(topics: Any) -> None:
    if isinstance(topics, str):
        raise ConfigError(f'subscribe: write a list: ["{topics}"]')
    for topic in topics:
        check_choice("subscribe", topic, TOPICS)


def check_hello(mode: Any, *, named: bool) -> None:
    """``named``: there is a consumer or a cursor."""
    check_choice("hello", mode, get_args(HelloMode))
    if mode != "required" and named:
        raise ConfigError("a consumer and a cursor need hello: leave it at required")


def check_wish(wish: Wish, frames: Frames | None = None, cursor: Cursor | None = None) -> None:
    """What the device would refuse."""
    if not wish.idle_s > 0:
        raise ConfigError(f"idle_s: {wish.idle_s!r} is no length of time")
    hello = Hello(
        protocol=PROTOCOL_VERSION,
        client=wish.client,
        consumer=wish.consumer,
        subscribe=wish.topics,
        frames=frames or wish.frames,
        resume=Resume(cursor.stream, cursor.seq) if cursor is not None else None,
        heartbeat_s=wish.heartbeat_s,
    )
    try:
        decode_request(encode_request(hello))
    except ProtocolError as error:
        raise ConfigError(f"the device would refuse this: {error}") from error


def load(store: CursorStore | None) -> Cursor | None:
    """The cursor that is kept; what the store raises comes through."""
    if store is None:
        return None
    if not (callable(getattr(store, "load", None)) and callable(getattr(store, "save", None))):
        raise ConfigError("cursor: must have load and save; for a file give FileCursor(path)")
    cursor = store.load()
    if cursor is not None and not isinstance(cursor, Cursor):
        raise ConfigError("cursor: its load() must give a Cursor, or None where there is none yet")
    return cursor
