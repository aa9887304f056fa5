"""``preact-edge watch``: the reference client as a viewer, or as a source of JSON lines."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Protocol

import msgspec

from edge.commands.watchview import PlainLines, Screen
from edge.errors import ProtocolError, StateError
from edge.storage import write_atomic
from edge.stream.address import DEFAULT_PORT, split_address
from edge.stream.client import Event, Lost, Watch
from edge.wire.framing import Message


class View(Protocol):
    """What shows the events of a watch, one after the other."""

    def show(self, event: Event) -> None: ...


def run(args: argparse.Namespace) -> int:
    """Follow the stream until it is interrupted (0) or enough was seen (0); StreamError when patience ended."""
    watch = Watch(*split_address(args.address, DEFAULT_PORT), patience=args.timeout)
    try:
        with contextlib.ExitStack() as stack:
            _follow(watch, _open_view(args, stack), args.count, args.frames)
    except KeyboardInterrupt:
        pass
    finally:
        watch.close()
    return 0


def _follow(watch: Watch, view: View, count: int | None, frames: Path | None) -> None:
    seen = 0
    for event in watch:
        try:
            view.show(event)
        except (TypeError, ValueError, AttributeError) as error:
            raise ProtocolError(f"the device sent a message with wrong fields: {error}") from error
        if not isinstance(event, Message):
            continue
        if frames is not None and event.jpeg is not None:
            _save(frames, event, event.jpeg)
        seen += 1
        if seen == count:
            return


def _open_view(args: argparse.Namespace, stack: contextlib.ExitStack) -> View:
    if args.json:
        return JsonLines()
    if sys.stdout.isatty():
        return stack.enter_context(Screen(args.address))
    return PlainLines()


class JsonLines:
    """Messages on stdout, each one line of JSON; what happens to the connection on stderr."""

    def show(self, event: Event) -> None:
        if isinstance(event, Message):
            sys.stdout.buffer.write(msgspec.json.encode(dict(event)) + b"\n")
            sys.stdout.buffer.flush()
        elif isinstance(event, Lost):
            print(f"preact-edge: {event}", file=sys.stderr, flush=True)


def _save(folder: Path, message: Message, jpeg: bytes) -> None:
    number = message.get("frame_id")
    if not isinstance(number, int):
        raise ProtocolError(f"a video_frame has the frame_id {number!r}, which is no number")
    path = folder / f"frame-{number:06d}.jpg"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(path, jpeg, durable=False)
    except OSError as error:
        raise StateError(
            f"cannot save {path}: {error.strerror or error}; choose another folder for --frames"
        ) from error
