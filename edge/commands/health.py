"""``preact-edge health``: does a running device see? Asked over its real port, as any other client would."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from edge.commands import common
from edge.commands.thisdevice import Way, way_in
from edge.commands.trust import login, tls
from edge.commands.watchadvice import advised, is_hopeless
from edge.errors import ConfigError, StreamError
from edge.stream.address import DEFAULT_PORT, show, split_address
from edge.stream.client import DetectionResult, Health, HelloOk, Lost, Subscriber, Welcome
from edge.stream.client.messages import Event
from edge.text import printable

COUNTED_S = 2.0  # frames are counted for so long; none for so long, where they came faster before, is a hang
OF_THE_RESULT = frozenset({"camera", "detector"})  # what they do is seen, and need not be believed
RETRY_S = 0.5  # a program that starts is there soon, and one who waits for it spreads no load
STATUS_S = 5.0  # beyond --wait, for the answer of a device that may be asked for its status


@dataclass
class Look:
    """What one connection has shown: ``status`` is ok, degraded, blind, or unreachable; ``reason`` says why."""

    status: str = "unreachable"
    reason: str = ""
    told: dict[str, Any] = field(default_factory=dict)  # as --json gives it
    frames: list[float] = field(default_factory=list)  # when they came, seconds; none from before it was blind

    @property
    def sees(self) -> bool:
        """Two frames were looked at, one after the other: a camera that gave one and then hangs shows one."""
        return len(self.frames) > 1

    def hear(self, event: Event, now: float) -> None:
        """Take what came; the connection's loss is the caller's."""
        if isinstance(event, Welcome):
            self.status, self.reason = "blind", "connected, and no frame was looked at"
            self._note(device_id=event.device_id, camera_id=event.camera_id, boot_id=event.protocol.boot_id)
            self._place_in_outbox(event.protocol)
        elif isinstance(event, HelloOk):
            self._note(camera_id=event.camera_id, boot_id=event.boot_id, role=event.role)
            self._place_in_outbox(event)
        elif isinstance(event, Health):
            self._note(components=msgspec.to_builtins(event.components))
            camera = event.components.get("camera")
            if camera is not None and camera.state == "failed" and not self.frames:
                self.reason = camera.reason  # sooner than the next result, which says the same
        elif isinstance(event, DetectionResult):
            self._judge(event, now)

    @property
    def done(self) -> bool:
        """Frames came for long enough."""
        return self.sees and self.frames[-1] - self.frames[0] >= COUNTED_S

    def give_up(self, now: float) -> None:
        """The time is over. It may have hung after its first frames, and those do not tell that it sees now."""
        if self.sees and not self.done and now - self.frames[-1] > COUNTED_S:
            self.status = "blind"
            self.reason = f"frames were looked at, and then none for {now - self.frames[-1]:.0f} s"
            self.frames.clear()

    def answer(self) -> dict[str, Any]:
        """The answer for programs."""
        span = self.frames[-1] - self.frames[0] if self.sees else 0.0
        fps = {"fps": round((len(self.frames) - 1) / span, 2)} if span > 0 else {}
        status, reason = self._verdict()
        return {"ok": self.sees, "status": status, "reason": reason} | self.told | fps

    def _verdict(self) -> tuple[str, str]:
        """Status and reason. A device that sees, and loses its alerts or makes no sound, does not do well."""
        components = self.told.get("components", {}).items()
        failed = [
            f"{name} failed: {each['reason']}"
            for name, each in components
            if each["state"] == "failed" and name not in OF_THE_RESULT
        ]
        if self.sees and failed:
            return "degraded", "; ".join([self.reason, *failed] if self.reason else failed)
        return self.status, self.reason

    def _judge(self, result: DetectionResult, now: float) -> None:
        self._note(model=result.model, camera_id=result.camera_id)
        if result.status == "blind":
            self.frames.clear()
            self.status, self.reason = result.status, result.reason
        elif result.frame_id is not None:
            self.frames.append(now)
            self.status, self.reason = result.status, result.reason
            if not self.sees:
                self.status, self.reason = "blind", "one frame was looked at, and no other came"
        elif not self.frames:
            self.reason = result.reason or self.reason

    def _note(self, **values: Any) -> None:
        self.told |= {name: value for name, value in values.items() if value not in ("", None)}

    def _place_in_outbox(self, terms: Any) -> None:
        if terms.stream:
            names = ("stream", "oldest_seq", "next_seq")
            self._note(outbox={name: getattr(terms, name) for name in names})


def run(args: argparse.Namespace) -> int:
    """0: it sees. 1: it does not, or cannot be asked; the line, or the JSON object, says why."""
    way = _way(args)
    look = _wait_for(way, time.monotonic() + args.wait, tell=not args.json)
    look.told = {"address": show((way.host, way.port))} | look.told
    if args.json:
        sys.stdout.buffer.write(msgspec.json.encode(look.answer()) + b"\n")
    else:
        print("; ".join(map(printable, _lines(look))), flush=True)
    return 0 if look.sees else 1


def _way(args: argparse.Namespace) -> Way:
    if args.address is None:
        return way_in(common.load(args), args)
    if args.config or args.overrides:
        raise ConfigError("HOST is a device elsewhere, -c FILE and --set are for this one: give one of them")
    host, port = split_address(args.address, DEFAULT_PORT)
    return Way(host, port, tls(args), login(args))


def _wait_for(way: Way, deadline: float, *, tell: bool) -> Look:
    """Connect until the device sees, what is wrong will stay so, or the time is over."""
    pause, reason = threading.Event(), "no answer in time"
    while True:
        look = Look()
        final = _follow(way, look, deadline)
        look.reason = look.reason or ("" if look.sees else reason)
        if final or time.monotonic() + RETRY_S >= deadline:
            return look
        if tell and look.reason != reason:
            print(f"waiting  {printable(look.reason)}", file=sys.stderr, flush=True)
        reason = look.reason
        pause.wait(RETRY_S)


def _follow(way: Way, look: Look, deadline: float) -> bool:
    """One connection, until the device was seen to see or the connection is lost; whether there is no use in another.

    A new one for each attempt: the client's own waits between two grow to half a minute.
    """
    topics = ("detections", "health")
    client = Subscriber(way.host, way.port, subscribe=topics, tls=way.tls, login=way.login, hello="offered")
    try:
        while not look.done and (left := deadline - time.monotonic()) > 0:
            event = client.take(left)
            if isinstance(event, Lost):
                look.frames.clear()
                look.status, look.reason = "unreachable", advised(event, encrypted=way.tls is not None).reason
                return is_hopeless(event)
            if isinstance(event, Welcome) and way.device not in ("", event.device_id):
                look.reason = f"{show((way.host, way.port))} is the device {event.device_id}, not {way.device}"
                return True
            if event is not None:
                look.hear(event, time.monotonic())
        look.give_up(time.monotonic())
        if look.told.get("role") == "control":
            look.told |= _status(client)
    finally:
        client.close()
    return True


def _status(client: Subscriber) -> dict[str, Any]:
    """What the device tells of itself to who may command; nothing where it does not answer."""
    try:
        status = client.command("get_status", timeout=STATUS_S)
    except StreamError:  # whether it sees is known already, and that was the question
        return {}
    names = ("version", "uptime_s", "clients", "outbox", "temperature_c")
    return {name: status[name] for name in names if name in status} if isinstance(status, dict) else {}


def _lines(look: Look) -> Iterator[str]:
    """What there is to say to a person, the verdict first."""
    who, address = look.told.get("device_id"), look.told["address"]
    answer = look.answer()
    place = f"{who} ({address})" if who else address
    if look.sees:
        yield f"ok       {place}: sees, {answer.get('fps', 0):g} frames a second"
    if answer["status"] != "ok":
        yield f"{'' if look.sees else f'problem  {place}: '}{answer['status']}: {answer['reason']}"
    for name, component in look.told.get("components", {}).items():
        if component["state"] in ("degraded", "failed") and component["reason"] not in answer["reason"]:
            yield f"{name} {component['state']}: {component['reason']}"
