"""What is fuzzed: each target is one end of a connection, fed in pieces; what comes of each message has a name."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, TypeAlias

from edge.errors import ProtocolError
from edge.wire.faults import Complaint, Fault
from edge.wire.framing import MAX_JPEG, MAX_JSON, ByteOrder, Framing, MessageReader, encode
from edge.wire.inbound import LIMIT_AFTER, InboundReader
from edge.wire.requests import Hello, decode_request, encode_request

Form: TypeAlias = tuple[Framing, ByteOrder]
Connection: TypeAlias = Callable[[bytes], Iterable[str]]  # takes a piece; gives what came of each message in it
FORMS: list[Form] = list(product(("length", "newline"), ("big", "little")))


@dataclass(frozen=True)
class Target:
    """``speaker`` is who would send to it: what is made for it looks like that one's messages in ``form``."""

    name: str
    speaker: Literal["client", "device"]
    form: Form
    connect: Callable[[], Connection]


class Broken(Exception):
    """A target did what it must not: raised something else, or answered wrongly."""

    def __init__(self, target: Target, pieces: Sequence[bytes]) -> None:
        super().__init__(f"{target.name}, fed {[piece.hex() for piece in pieces]}")


def feed(target: Target, pieces: Sequence[bytes], outcomes: Counter[str]) -> int:
    """Feed one connection until its end, count what comes of it, and return how many bytes it took; raises Broken."""
    taken = 0
    try:
        connection = target.connect()
        for piece in pieces:
            taken += len(piece)
            outcomes.update(connection(piece))
    except Fault as fault:
        outcomes[f"fault {fault.code}"] += 1
    except ProtocolError as error:
        if type(error) is not ProtocolError or target.speaker != "device":
            raise Broken(target, pieces) from error
        outcomes["refused"] += 1
    except Exception as error:
        raise Broken(target, pieces) from error
    return taken


def device(form: Form) -> Target:
    """What a device does with what a client sends."""

    def connect() -> Connection:
        reader = InboundReader(*form)

        def take(piece: bytes) -> Iterator[str]:
            for message in reader.feed(piece):
                assert len(message) <= reader.limit
                try:
                    request = decode_request(message)
                except Complaint as complaint:
                    yield complaint.code
                    continue
                assert decode_request(encode_request(request)) == request
                if isinstance(request, Hello):
                    reader.limit = LIMIT_AFTER
                yield type(request).__name__.lower()

        return take

    return Target(f"device, {' '.join(form)}", "client", form, connect)


def client(form: Form) -> Target:
    """What the reference client does with what a device sends; it finds the form by itself."""

    def connect() -> Connection:
        reader = MessageReader()

        def take(piece: bytes) -> Iterator[str]:
            for message in reader.feed(piece):
                assert json.loads(json.dumps(message)) == message
                assert message.jpeg is None or len(message.jpeg) == message["size"] <= MAX_JPEG
                assert (message.jpeg is not None) == (message.type == "video_frame")
                yield "picture" if message.jpeg is not None else "message"

        return take

    return Target(f"client, {' '.join(form)}", "device", form, connect)


READERS: tuple[Target, ...] = (*map(device, FORMS), *map(client, FORMS))


def framed(message: bytes, form: Form) -> bytes:
    """Framed as it should be, or, where it is too long for that, with a size that is too great."""
    return encode(message, *form) if len(message) <= MAX_JSON else message
