"""Many clients that do anything at any time, while alerts are published: the promises of docs/protocol.md hold."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import socket
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edge.config import Listener
from edge.config import Outbox as OutboxSettings
from tests.streaming import Keeping, in_thread, keeping, make_video, nothing_left
from tests.talking import HELLO, Talker

CLIENTS = 12
LISTENERS = (
    Listener(host="127.0.0.1", port=0, video=True),
    Listener(host="127.0.0.1", port=0, framing="newline", byteorder="little", video=True),
)


class Monkey:
    """One client's life after the other; ``complaints`` is what was not as promised."""

    def __init__(self, served: Keeping, seed: int) -> None:
        self.chance = random.Random(seed)
        self.complaints: list[str] = []
        self.seen = 0
        self._served = served

    def live(self, stop: threading.Event) -> None:
        while not stop.is_set():
            number = self.chance.randrange(len(LISTENERS))
            listener = LISTENERS[number]
            with contextlib.suppress(EOFError, ConnectionError):
                address = self._served.server.addresses[number]
                with Talker(address, framing=listener.framing, byteorder=listener.byteorder) as client:
                    self._talk(client)

    def _talk(self, client: Talker) -> None:
        chance, bounds = self.chance, self._served.outbox.bounds
        assert bounds is not None
        for _ in range(chance.choice((0, 0, 1, 5))):
            client.read()
        hello: dict[str, Any] = {"subscribe": chance.choice((["alerts"], ["alerts", "frames", "detections", "health"]))}
        if chance.random() < 0.6:
            last = chance.randrange(bounds.oldest_seq - 1, bounds.next_seq)
            hello["resume"] = {"stream": bounds.stream, "after": max(last, bounds.next_seq - 300)}
        if chance.random() < 0.5:
            hello["consumer"] = f"backend-{chance.randrange(4)}"
        self._send_in_pieces(client, client.frame(HELLO | hello))
        following = client.until("hello_ok")["resume"]["from"]
        for _ in range(chance.choice((5, 50, 400))):
            self._do_something(client, following - 1, bounds.stream, "consumer" in hello)
            message = client.read()
            if message["type"] == "alert":
                if message["seq"] != following:
                    self.complaints.append(f"{message['seq']} came in the place of {following}")
                following = message["seq"] + 1
                self.seen += 1
            elif message["type"] == "goodbye" and message["reason"] == "gap":
                return
            elif message["type"] == "error" and not message["fatal"]:
                self.complaints.append(str(message))
        if chance.random() < 0.3:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        elif chance.random() < 0.3:
            client.socket.sendall(chance.randbytes(50))

    def _send_in_pieces(self, client: Talker, data: bytes) -> None:
        cut = self.chance.randrange(len(data))
        client.socket.sendall(data[:cut])
        client.socket.sendall(data[cut:])

    def _do_something(self, client: Talker, last: int, stream: str, named: bool) -> None:
        what = self.chance.random()
        if what < 0.05:
            topics = self.chance.sample(["alerts", "detections", "frames"], 2)
            client.send({"type": "unsubscribe", "subscribe": topics}, {"type": "subscribe", "subscribe": ["alerts"]})
        elif what < 0.1:
            client.send({"type": "ping", "t": 1})
        elif what < 0.2 and named and last > 0:
            client.send({"type": "ack", "stream": stream, "seq": last})
        elif what < 0.22:
            client.send({"type": "subscribe", "subscribe": ["frames"], "frames": {"max_fps": 50}})


def publish(served: Keeping, stop: threading.Event) -> int:
    number = 0
    while not stop.wait(0.001):
        number += 1
        served.publish(number)
        if number % 10 == 0:
            served.hub.publish_video(make_video(number, 20_000))
    return number


def test_whatever_clients_do_the_numbers_of_each_session_rise_by_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """[EDGE-9-7] [EDGE-9-12] [EDGE-5-8] [EDGE-8-15]"""
    caplog.set_level(logging.DEBUG)
    seed, seconds = int(os.environ.get("MONKEY_SEED", "1")), float(os.environ.get("MONKEY_S", "4"))
    stop, ended = threading.Event(), threading.Event()
    settings: dict[str, Any] = {"max_clients": 64, "max_clients_per_address": 64}
    with nothing_left(), keeping(tmp_path, *LISTENERS, outbox=OutboxSettings(max_alerts=500), **settings) as served:
        served.stored(0)
        monkeys = [Monkey(served, seed * 1000 + number) for number in range(CLIENTS)]
        published = in_thread(partial(publish, served, ended))
        lives = [in_thread(partial(monkey.live, stop)) for monkey in monkeys]
        stop.wait(seconds)
        stop.set()
        try:
            for end in lives:
                end()
        finally:
            ended.set()
            published()
        assert [complaint for monkey in monkeys for complaint in monkey.complaints] == []
        assert sum(monkey.seen for monkey in monkeys) > 1000
    assert "Traceback" not in caplog.text
