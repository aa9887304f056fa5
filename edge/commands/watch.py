"""``preact-edge watch``: the reference client as a viewer, or as a source of JSON lines."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from edge.commands.trust import login, tls
from edge.commands.watchadvice import advised, is_hopeless
from edge.commands.watchlines import JsonLines, PlainLines
from edge.errors import StateError, StreamError
from edge.storage import write_atomic
from edge.stream.address import DEFAULT_PORT, show, split_address
from edge.stream.client import Event, Lost, Message, Subscriber, VideoFrame
from edge.stream.client.messages import KINDS, FromDevice, decode

TICK_S = 0.25


class View(Protocol):
    """What shows the events of a watch, one after the other."""

    def show(self, event: Event) -> None: ...

    def tick(self) -> None:
        """A moment went by with nothing to show."""


def run(args: argparse.Namespace) -> int:
    """Follow the stream until it is interrupted (0) or enough was seen (0).

    Raises StreamError when patience ended, or when the device cannot be trusted or will not have this client.
    """
    host, port = split_address(args.address, DEFAULT_PORT)
    client = Subscriber(
        host,
        port,
        hello="never" if args.plain else "offered",
        start="oldest" if args.replay else "now",
        frames=args.frames is not None,
        tls=tls(args),
        login=login(args),
    )
    try:
        with contextlib.ExitStack() as stack:
            view = _open_view(args, client, stack)
            events = _patient(client, args.timeout, view.tick, encrypted=bool(args.pin or args.ca))
            follow(events, view, args.count, args.frames)
    except KeyboardInterrupt:
        pass
    finally:
        client.close()
    return 0


def follow(events: Iterable[Event], view: View, count: int | None, frames: Path | None) -> None:
    """Show events until ``count`` messages were seen; pictures are kept in ``frames``.

    Raises StreamError, which is shown once, when trying again is hopeless.
    """
    messages = 0
    for event in events:
        if isinstance(event, Lost) and is_hopeless(event):
            raise StreamError(event.reason) from event.error
        if isinstance(event, Message) and event.type in KINDS:
            decode(event)  # a message of a known type that is given raw has wrong fields: it says which
        view.show(event)
        if frames is not None and isinstance(event, VideoFrame):
            _save(frames, event)
        messages += isinstance(event, (FromDevice, Message))
        if messages == count:
            return


def _patient(
    client: Subscriber, patience: float | None, tick: Callable[[], None], *, encrypted: bool
) -> Iterator[Event]:
    """The client's events, with advice; StreamError when no message came for ``patience`` seconds."""
    heard_at, reason = time.monotonic(), "nothing came"
    while not client.closed:
        left = TICK_S if patience is None else min(TICK_S, heard_at + patience - time.monotonic())
        event = client.take(max(0.0, left))
        if isinstance(event, Lost):
            event = advised(event, encrypted=encrypted)
        if isinstance(event, (FromDevice, Message)):
            heard_at = time.monotonic()
        elif isinstance(event, Lost):
            reason = event.reason
        if event is not None:
            yield event
        elif patience is not None and time.monotonic() >= heard_at + patience:
            address = show((client.host, client.port))
            raise StreamError(f"no message from {address} for {patience:g} s: {reason}")
        else:
            tick()


def _open_view(args: argparse.Namespace, client: Subscriber, stack: contextlib.ExitStack) -> View:
    if args.json:
        return JsonLines()
    if not sys.stdout.isatty():
        return PlainLines()
    from edge.commands.watchview import Screen

    return stack.enter_context(Screen(args.address, client))


def _save(folder: Path, frame: VideoFrame) -> None:
    path = folder / f"frame-{frame.frame_id:06d}.jpg"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(path, frame.jpeg, durable=False)
    except OSError as error:
        raise StateError(
            f"cannot save {path}: {error.strerror or error}; choose another folder for --frames"
        ) from error
