"""``preact-edge watch``: the reference client as a viewer, or as a source of JSON lines."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from edge.stream.client import Event, Watch
    from edge.wire.framing import Message


class View(Protocol):
    """What shows the events of a watch, one after the other."""

    def show(self, event: Event) -> None: ...


def add_parser(subparsers: Any) -> None:
    """Add the subcommand to what ``ArgumentParser.add_subparsers`` gave."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "watch",
        help="show the stream of a device",
        description="Connect to a device's stream, show it, and connect again whenever the connection is lost.",
    )
    parser.add_argument("address", metavar="HOST[:PORT]", help="the device's stream, port 8080 unless given")
    parser.add_argument("--json", action="store_true", help="one message a line as JSON, nothing else on stdout")
    parser.add_argument("--count", type=_count, metavar="N", help="end after N messages, the welcome included")
    parser.add_argument(
        "--frames", type=Path, metavar="DIR", help="save each picture there as frame-NNNNNN.jpg, by its frame_id"
    )
    parser.add_argument(
        "--timeout", type=_seconds, metavar="S", help="give up, with exit code 1, after S seconds without a message"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Follow the stream until it is interrupted (0) or enough was seen (0); StreamError when patience ended."""
    from edge.stream.address import DEFAULT_PORT, split_address
    from edge.stream.client import Watch

    watch = Watch(*split_address(args.address, DEFAULT_PORT), patience=args.timeout)
    try:
        with contextlib.ExitStack() as stack:
            _follow(watch, _open_view(args, stack), args.count, args.frames)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # Who read our output has left. Python would complain once more when it flushes stdout at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        watch.close()
    return 0


def _follow(watch: Watch, view: View, count: int | None, frames: Path | None) -> None:
    from edge.wire.framing import Message

    seen = 0
    for event in watch:
        view.show(event)
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
    from edge.commands.watchview import PlainLines, Screen

    if sys.stdout.isatty():
        return stack.enter_context(Screen(args.address))
    return PlainLines()


class JsonLines:
    """Messages on stdout, each one line of JSON; what happens to the connection on stderr."""

    def show(self, event: Event) -> None:
        import msgspec

        from edge.stream.client import Lost
        from edge.wire.framing import Message

        if isinstance(event, Message):
            sys.stdout.buffer.write(msgspec.json.encode(dict(event)) + b"\n")
            sys.stdout.buffer.flush()
        elif isinstance(event, Lost):
            print(f"preact-edge: {event}", file=sys.stderr, flush=True)


def _save(folder: Path, message: Message, jpeg: bytes) -> None:
    """Write a picture under another name first: a file called frame-* is always a whole one."""
    from edge.errors import ProtocolError, StateError

    number = message.get("frame_id")
    if not isinstance(number, int):
        raise ProtocolError(f"a video_frame has the frame_id {number!r}, which is no number")
    path = folder / f"frame-{number:06d}.jpg"
    part = folder / f".{path.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.write_bytes(jpeg)
        part.replace(path)
    except OSError as error:
        raise StateError(
            f"cannot save {path}: {error.strerror or error}; choose another folder for --frames"
        ) from error


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, 1 or more")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of seconds above 0")
    return seconds
