"""A backend for the chaos runs: prints each alert that the reference client gives to it, one JSON object a line.

    chaos_client.py HOST PORT CURSOR_FILE CONSUMER

It survives every cut, resumes from its cursor when it is started again, and ends when its standard input does. An alert
is acked right after it was printed: of a client that is killed between the two, the next one prints it again.
"""

from __future__ import annotations

import json
import sys
import threading

from edge.stream.client import Alert, FileCursor, Gap, Lost, Reset, Subscriber


def main() -> None:
    host, port, cursor, consumer = sys.argv[1:]
    client = Subscriber(host, int(port), consumer=consumer, cursor=FileCursor(cursor, durable=False), start="oldest")

    def end_with_stdin() -> None:
        sys.stdin.read()
        client.close()

    threading.Thread(target=end_with_stdin, daemon=True).start()
    for event in client:
        if isinstance(event, Alert):
            fields = ("seq", "event_uid", "alert_id", "state", "durable", "replay")
            print(json.dumps({name: getattr(event, name) for name in fields}), flush=True)
            client.ack(event)
        elif isinstance(event, (Lost, Gap, Reset)):
            print(event, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
