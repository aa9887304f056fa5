"""A third client, written from docs/protocol.md alone: it shares no code with the program or with its other clients.

    .venv/bin/python -m tests.chaos.witness HOST PORT CURSOR CONSUMER

It prints a line of JSON for each alert that it gives to its application (which is you) and ends when its stdin does.
"""

import json
import os
import random
import socket
import sys
import threading
import time
from typing import Any, BinaryIO

HOST, PORT, CURSOR, CONSUMER = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
given: set[tuple[str, str]] = set()  # copies without a number that the application has


def load() -> dict[str, Any]:
    """The cursor; at first one that no stream has, which gives a reset: everything from the oldest alert on."""
    try:
        with open(CURSOR) as file:
            return dict(json.load(file))
    except FileNotFoundError:
        return {"stream": "", "after": 0}


def save(cursor: dict[str, Any]) -> None:
    with open(CURSOR + ".new", "w") as file:
        json.dump(cursor, file)
    os.replace(CURSOR + ".new", CURSOR)


def read(file: BinaryIO, lines: bool) -> dict[str, Any]:
    data = file.readline() if lines else file.read(int.from_bytes(file.read(4), "big"))
    if not data or (lines and data[-1:] != b"\n"):
        raise ConnectionError("the stream ended")
    return dict(json.loads(data))


def give(alert: dict[str, Any]) -> None:
    fields = ("seq", "event_uid", "alert_id", "durable", "replay")
    print(json.dumps({name: alert.get(name) for name in fields}), flush=True)


def session(sock: socket.socket, cursor: dict[str, Any], met: threading.Event) -> None:
    """One connection, to its end; ``met`` is set by a hello_ok. Raises OSError or ValueError."""
    file = sock.makefile("rb")
    lines = file.peek(5)[4:5] != b"{"
    greeted = False

    def say(message: dict[str, Any]) -> None:
        body = json.dumps(message).encode()
        sock.sendall(body + b"\n" if lines else len(body).to_bytes(4, "big") + body)

    while True:
        message = read(file, lines)
        if message["type"] == "welcome":
            hello = {"type": "hello", "protocol": 1, "consumer": CONSUMER, "subscribe": ["alerts"]}
            say(hello | {"resume": cursor})
        elif message["type"] == "hello_ok" and "resume" in message:
            start = message["resume"]["from"]
            if message["resume"]["status"] == "ok" and start != cursor["after"] + 1:
                raise ValueError(f"asked for {cursor['after'] + 1}, got {start}")
            cursor.update(stream=message["stream"], after=start - 1)
            greeted = True
            met.set()
        elif message["type"] == "ping":
            say({"type": "pong", "t": message["t"]})
        elif message["type"] == "alert" and greeted:
            key = (message["event_uid"], message["state"], message["threat_level"])
            if message["durable"]:
                if message["seq"] != cursor["after"] + 1:
                    raise ValueError(f"{message['seq']} came where {cursor['after'] + 1} was due")
                if key not in given:
                    give(message)
                given.discard(key)
                cursor["after"] = message["seq"]
                save(cursor)
                say({"type": "ack", "stream": cursor["stream"], "seq": cursor["after"]})
            elif key not in given:
                given.add(key)
                give(message)


def main() -> None:
    cursor, bound = load(), 0.25
    while True:
        met = threading.Event()
        try:
            with socket.create_connection((HOST, PORT), timeout=25) as sock:
                session(sock, cursor, met)
        except (OSError, ValueError, KeyError) as error:
            print(f"{error or type(error).__name__}", file=sys.stderr, flush=True)
        bound = 0.25 if met.is_set() else min(bound * 2, 30.0)
        time.sleep(random.uniform(0, bound))


if __name__ == "__main__":
    threading.Thread(target=main, daemon=True).start()
    sys.stdin.read()
    sys.stdout.flush()
    os._exit(0)
