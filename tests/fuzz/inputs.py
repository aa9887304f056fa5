"""What is sent to them: noise, mended and broken vectors, and messages with the right names and wrong values."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from edge.wire.framing import ByteOrder, blob_prefix
from tests.fuzz.targets import Form, Target, framed
from tests.support import ROOT

VECTORS = ROOT / "tests/vectors"
KINDS = ("hello", "ack", "ping", "pong", "subscribe", "unsubscribe", "command", "hello_ok", "alert", "video_frame")
NAMES = (
    *["protocol", "client", "consumer", "subscribe", "frames", "resume", "auth", "heartbeat_s", "stream", "seq"],
    *["after", "t", "id", "cmd", "args", "max_fps", "quality", "annotated", "key_id", "nonce", "mac", "size", "type"],
)
LITERALS = (
    *[b"NaN", b"-Infinity", b"1e999", b"-0", b"0.1e-400", b"1" * 330, b"18446744073709551616", b"{}", b'""', b"null"],
    *[b"9007199254740993", b"true", b'"last_ack"', b'"\\ud800"', b'"\xed\xa0\x80"', b'"\xff"', b'"\\u0000"'],
    *[b'"' + b"a" * 64 + b'"', b"[" * 40 + b"]" * 40],
)
LONG_LITERALS = (b"1" * 4400, b'"' + b"x" * 3900 + b'"', b"[" * 3000)
HELLO = b'{"type":"hello","protocol":1,"subscribe":["alerts","health"],"consumer":"backend-1"}'
WEIGHTS = (10, 20, 50, 50, 1)  # the last are long


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text("utf-8"))


def said_by_clients() -> list[bytes]:
    requests = load("requests.json")
    found = [*requests["valid"] * 8, *requests["refused"]]  # mostly right ones, or no connection would live long
    return [bytes.fromhex(vector["hex"]) if "hex" in vector else vector["text"].encode() for vector in found]


def said_by_devices() -> list[bytes]:
    examples = [*load("messages.json").values(), *(m for case in load("cursor.json") for m in _messages(case))]
    return [json.dumps(message, ensure_ascii=False).encode() for message in examples]


def _messages(case: dict[str, Any]) -> list[Any]:
    return [message for connection in case["connections"] for message in connection["messages"]]


class Inputs:
    """Makes the bytes of one connection after the other; the same from the same ``random``."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._said = {"client": said_by_clients(), "device": said_by_devices()}
        self._streams = [bytes.fromhex(v["hex"]) for kind in ("good", "bad") for v in load("framing.json")[kind]]
        self._streams += [bytes.fromhex(said["hex"]) for said in load("session.json")]
        self._makers: tuple[Callable[[Target], bytes], ...] = (
            self._noise, self._vectors, self._mutated, self._shaped, self._extreme
        )  # fmt: skip

    def pieces(self, target: Target) -> list[bytes]:
        """What a connection brings, cut as a network might cut it."""
        (make,) = self._random.choices(self._makers, WEIGHTS)
        data = make(target)
        if target.speaker == "client" and self._random.random() < 0.5:
            data = framed(HELLO, target.form) + data  # what follows is then heard as a session's
        longest = self._random.choice((1, 5, 40, 1448, 16384, 16384))
        if len(data) > 4000:
            longest = max(longest, 40)
        found = []
        while data:
            size = self._random.randint(1, longest)
            found.append(data[:size])
            data = data[size:]
        return found

    def _noise(self, _: Target) -> bytes:
        return self._random.randbytes(self._random.randint(0, 300))

    def _vectors(self, target: Target) -> bytes:
        """Good bytes, as they are: whole connections."""
        if self._random.random() < 0.3:
            return self._random.choice(self._streams)
        messages = self._random.choices(self._said[target.speaker], k=self._random.randint(1, 6))
        return b"".join(self._frame(message, target.form) for message in messages)

    def _mutated(self, target: Target) -> bytes:
        data = bytearray(self._vectors(target))
        for _ in range(self._random.choice((1, 1, 2, 5, 20))):
            self._mutate(data)
        return bytes(data)

    def _mutate(self, data: bytearray) -> None:
        random = self._random
        at = random.randint(0, len(data))
        end = min(len(data), at + random.choice((1, 1, 2, 4, 30)))
        action = random.randrange(6)
        if action == 0:
            data[at:end] = random.randbytes(end - at)
        elif action == 1:
            del data[at:end]
        elif action == 2:
            data[at:at] = random.choice(LITERALS)
        elif action == 3:
            data[at:at] = data[at:end] * random.randint(1, 3)
        elif action == 4 and at < len(data):
            data[at] ^= 1 << random.randrange(8)
        else:
            data[at:end] = random.choice((b"\n", b"{", b"}", b'"', b"\\", b"\0", b"\0\0\0\0", b"\xff\xff\xff\xff"))

    def _shaped(self, target: Target) -> bytes:
        """Messages of known types with known fields and any values, some with another size than theirs."""
        data = b""
        for _ in range(self._random.randint(1, 8)):
            message = self._object(3, self._random.choice(KINDS))
            data += self._frame(message, target.form)
            if self._random.random() < 0.05:
                data += self._random.choice((bytes(4), self._random.randbytes(self._random.randint(1, 4))))
        return data

    def _object(self, depth: int, kind: str = "") -> bytes:
        members = [b'"type":' + json.dumps(kind).encode()] if kind else []
        if kind == "hello" and self._random.random() < 0.8:
            members.append(b'"protocol":1')
        for _ in range(self._random.randint(0, 5)):
            members.append(json.dumps(self._random.choice(NAMES)).encode() + b":" + self._value(depth - 1))
        self._random.shuffle(members)
        return b"{" + b",".join(members) + b"}"

    def _value(self, depth: int) -> bytes:
        random = self._random
        (choice,) = random.choices(range(8), (3, 8, 8, 8, 8, 1, 8, 8) if depth > 0 else (3, 8, 8, 8, 8, 1, 0, 0))
        if choice == 0:
            return random.choice(LITERALS if random.random() < 0.97 else LONG_LITERALS)
        if choice == 1:
            return str(random.choice((0, 1, -1, 10, 100, 2**53, random.randint(-(2**64), 2**64)))).encode()
        if choice == 2:
            return repr(random.choice((0.5, -1.5, 1e300, random.random() * 100))).encode()
        if choice == 3:
            return json.dumps(random.choice(("alerts", "frames", "get_status", "é☕🚓", "a" * 64, "\n"))).encode()
        if choice == 4:
            return json.dumps(random.randbytes(32).hex()).encode()
        if choice == 5:
            return b'"' + random.randbytes(random.randint(0, 12)) + b'"'
        if choice == 6:
            return self._object(depth)
        return b"[" + b",".join(self._value(depth - 1) for _ in range(random.randint(0, 4))) + b"]"

    def _extreme(self, target: Target) -> bytes:
        """Lengths at and about the limits, sizes that lie, lines without an end, pictures."""
        random, (_, byteorder) = self._random, target.form
        length = random.choice((0, 1, 4095, 4096, 4096, 4097, 65536)) + random.randint(-1, 1)
        filled = b'{"type":"ping","t":1,"x":"' + b"y" * max(0, length - 28) + b'"}'
        wrong = random.choice((0, 1, length + 1, 1 << 20, (1 << 20) + 1, 1 << 31, (1 << 32) - 1))
        return random.choice((
            self._frame(filled, target.form),
            framed(b'{"type":"hello","protocol":1}', target.form) + self._frame(filled, target.form),
            wrong.to_bytes(4, byteorder) + filled,
            b" " * length,
            self._picture(byteorder, target.form) * 2,
        ))  # fmt: skip

    def _picture(self, byteorder: ByteOrder, form: Form) -> bytes:
        jpeg = self._random.randbytes(self._random.randint(0, 3000))
        said = len(jpeg) + self._random.choice((0, 0, 0, 1, -1))
        header = b'{"type":"video_frame","size":%d}' % said
        return framed(b'{"type":"welcome"}', form) + framed(header, form) + blob_prefix(len(jpeg), byteorder) + jpeg

    def _frame(self, message: bytes, form: Form) -> bytes:
        if form[0] == "newline":
            message = message.replace(b"\n", b" ")
        return framed(message, form)
