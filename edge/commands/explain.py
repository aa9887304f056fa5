"""``preact-edge explain``: a running device says why its rules do not fire."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from edge.commands.reasons import advice
from edge.commands.trust import login, tls
from edge.commands.watchadvice import advised
from edge.errors import StreamError
from edge.stream.address import DEFAULT_PORT, show, split_address
from edge.stream.client import CommandFailed, HelloOk, Lost, Subscriber, Welcome
from edge.text import printable


class Candidate(msgspec.Struct, frozen=True):
    """One of the last that did not fire, as docs/protocol.md has it."""

    reason: str = ""
    text: str = ""
    track_id: int | None = None
    frames: int = 0
    lasted_s: float = 0.0
    age_s: float = 0.0


class RuleAnswer(msgspec.Struct, frozen=True):
    """How one rule stands, as docs/protocol.md has it; a field that a device does not tell has its default."""

    name: str
    state: str = ""
    hits: int = 0
    needed: int = 0
    of: int = 0
    cooldown_s: float = 0.0
    events: int = 0
    reason: str = ""
    candidates: tuple[Candidate, ...] = ()
    counts: dict[str, int] = {}


class Answer(msgspec.Struct, frozen=True):
    rules: tuple[RuleAnswer, ...]


def run(args: argparse.Namespace) -> int:
    """Ask once and print the answer; raises StreamError when the device cannot be asked, or refuses."""
    host, port = split_address(args.address, DEFAULT_PORT)
    deadline = time.monotonic() + args.timeout
    encryption = tls(args)
    client = Subscriber(host, port, subscribe=(), tls=encryption, login=login(args))
    try:
        device = _connect(client, deadline, encrypted=encryption is not None)
        answer = _ask(client, deadline)
    finally:
        client.close()
    if args.json:
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        return 0
    print(device)
    for line in _lines(_read(answer)):
        print(line)
    return 0


def _connect(client: Subscriber, deadline: float, *, encrypted: bool) -> str:
    """Wait for the session; who the device says it is. The first thing that goes wrong ends it."""
    device = camera = ""
    while (left := deadline - time.monotonic()) > 0:
        event = client.take(left)
        if isinstance(event, Welcome):
            device, camera = event.device_id, event.camera_id
        elif isinstance(event, HelloOk):
            return f"device {printable(device)}, camera {printable(event.camera_id or camera)}"
        elif isinstance(event, Lost):
            raise StreamError(advised(event, encrypted=encrypted).reason) from event.error
    raise StreamError(f"{show((client.host, client.port))}: no session in time; is it a preact-edge device?")


def _ask(client: Subscriber, deadline: float) -> Any:
    try:
        return client.command("explain", timeout=max(0.1, deadline - time.monotonic()))
    except CommandFailed as error:
        if error.code != "forbidden":
            raise
        raise StreamError(
            f"{show((client.host, client.port))}: only the role control may ask that; "
            "come over TLS with its certificate (--cert, --key) or its login key (--login)"
        ) from error


def _read(answer: Any) -> Answer:
    try:
        return msgspec.convert(answer, Answer)
    except msgspec.ValidationError as error:
        raise StreamError(f"the device's answer has wrong fields: {printable(str(error))}") from error


def _lines(answer: Answer) -> Iterator[str]:
    if not answer.rules:
        yield "it has no rules: alerts.rules is empty"
    for rule in answer.rules:
        yield ""
        yield f"{printable(rule.name)}: {_state(rule)}"
        yield f"  now      {printable(rule.reason)}"
        for number, candidate in enumerate(rule.candidates):
            yield f"  {'' if number else 'refused':<8} {_candidate(candidate)}"
        for number, (reason, count) in enumerate(sorted(rule.counts.items(), key=lambda pair: -pair[1])):
            frames = f"{count} frame{'' if count == 1 else 's'}"
            yield f"  {'' if number else 'in all':<8} {frames:>12}  {printable(reason):<8}  {advice(reason)}".rstrip()


def _state(rule: RuleAnswer) -> str:
    words = [printable(rule.state), f"{rule.hits} of the last {rule.of} frames matched, {rule.needed} make it fire"]
    if rule.events:
        words.append(f"{rule.events} event{'' if rule.events == 1 else 's'} going on")
    if rule.cooldown_s:
        words.append(f"quiet for another {rule.cooldown_s:.0f} s")
    return "; ".join(words)


def _candidate(candidate: Candidate) -> str:
    track = f" #{candidate.track_id}" if candidate.track_id is not None else ""
    frames = f"{candidate.frames} frame{'' if candidate.frames == 1 else 's'} in {candidate.lasted_s:.1f} s"
    age = f"{candidate.age_s:.1f} s ago"
    return f"{age:>12}  {printable(candidate.reason):<8}  {printable(candidate.text)}{track} ({frames})"
