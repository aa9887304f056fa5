"""Reads a stream as a plain client until its first alert: ``first_alert.py PORT SECONDS``.

Fails when nothing listens within a minute or, from the connection on, no alert arrives within SECONDS.
"""

import json
import socket
import sys
import time


def connect(port):
    deadline = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(("localhost", port), timeout=5)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


port, seconds = int(sys.argv[1]), float(sys.argv[2])
began = time.monotonic()
client = connect(port)
connected = time.monotonic()
stream = client.makefile("rb")
counts = {}
while "alert" not in counts:
    message = json.loads(stream.read(int.from_bytes(stream.read(4), "big")))
    counts[message["type"]] = counts.get(message["type"], 0) + 1
    if time.monotonic() - connected > seconds:
        sys.exit(f"no alert within {seconds:g} s of connecting: {counts}")
print(f"listening after {connected - began:.1f} s, first alert {time.monotonic() - connected:.1f} s later: {message}")
print(f"messages until then: {counts}")
