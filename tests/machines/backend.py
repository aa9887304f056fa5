"""A backend outside the machine: what it is given over mutual TLS, and whether every alert came once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sqlite3
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.stream.client import Alert, DetectionResult, Subscriber, Tls
from tests.chaos.clients import Client
from tests.machines.nspawn import Machine
from tests.machines.remote import Remote

PORT = 8443
CHUNK = 65536


@dataclass(frozen=True)
class Papers:
    """What a backend has of the fleet's authority: paths of PEM files."""

    ca: Path
    certificate: Path
    key: Path

    def tls(self, device: str) -> Tls:
        return Tls(ca=self.ca, device=device, certificate=self.certificate, private_key=self.key)


def first_results(machine: Remote, papers: Papers, timeout: float = 60.0) -> list[DetectionResult]:
    """Three results of a device, as the reference client gives them; AssertionError where they do not come."""
    results: list[DetectionResult] = []
    client = Subscriber(machine.address, PORT, tls=papers.tls(machine.name))
    late = threading.Timer(timeout, client.close)
    late.start()
    try:
        for event in client:
            if isinstance(event, DetectionResult):
                results.append(event)
            if len(results) == 3:
                return results
    finally:
        late.cancel()
        client.close()
    raise AssertionError(f"{machine.name} gave {len(results)} results in {timeout} s")


def first_alert(machine: Remote, papers: Papers, timeout: float = 60.0) -> Alert:
    """The oldest alert that the device keeps, or the next that it has."""
    client = Subscriber(machine.address, PORT, start="oldest", tls=papers.tls(machine.name))
    late = threading.Timer(timeout, client.close)
    late.start()
    try:
        return next(event for event in client if isinstance(event, Alert))
    finally:
        late.cancel()
        client.close()


@contextlib.contextmanager
def witness(machine: Remote, papers: Papers, folder: Path) -> Iterator[Client]:
    """tests/chaos' client that was written from the protocol alone, with a consumer name, for as long as it is asked.

    It speaks no TLS: a relay on 127.0.0.1 does that for it.
    """
    folder.mkdir()
    with _relay(machine.address, papers.tls(machine.name).context(), machine.name) as port:
        client = Client("witness", ("127.0.0.1", port), folder, folder.with_suffix(".log"))
        try:
            yield client
        finally:
            client.close()


@contextlib.contextmanager
def _relay(host: str, context: ssl.SSLContext, device: str) -> Iterator[int]:
    """Bytes from connections to the port that it gives, over TLS to ``host``; one thread has both."""
    listening = socket.create_server(("127.0.0.1", 0))
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()
    serving: set[asyncio.Task[None] | None] = set()

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK):
                target.write(data)
                await target.drain()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connecting = asyncio.open_connection(host, PORT, ssl=context, server_hostname=device)
        far_reader, far_writer = await asyncio.wait_for(connecting, 10)
        ways = [asyncio.create_task(pump(*ends)) for ends in ((reader, far_writer), (far_reader, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)  # the other may never hear of it
        finally:
            for way in ways:
                way.cancel()
            far_writer.transport.abort()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(task := asyncio.current_task())  # the loop itself would forget it
        try:
            await join(reader, writer)
        except (OSError, asyncio.TimeoutError, asyncio.CancelledError):
            pass  # it tries again, or the relay ends
        finally:
            writer.close()
            serving.discard(task)

    async def relay() -> None:
        server = await asyncio.start_server(serve, sock=listening)
        await ended.wait()
        server.close()
        if left := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=10)

    thread = threading.Thread(target=loop.run_until_complete, args=(relay(),))
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.run_until_complete(asyncio.sleep(0))  # what was cut off is closed in the next round
        loop.close()


def committed(machine: Machine, into: Path) -> list[tuple[int, str]]:
    """Number and label of each alert in the device's outbox, from a copy that its own program makes."""
    copy = "/var/lib/preact-edge/copy-of-the-tests.db"
    machine.run(
        f"CREDENTIALS_DIRECTORY=/etc/preact-edge/credentials STATE_DIRECTORY=/var/lib/preact-edge "
        f"/opt/preact-edge/current/venv/bin/preact-edge outbox backup {copy} "
        f"-c /opt/preact-edge/current/config/preact-edge.toml"
    )
    (machine.root / copy.lstrip("/")).rename(into)
    with contextlib.closing(sqlite3.connect(into)) as database:
        return [
            (int(seq), str(label)) for seq, label in database.execute("SELECT seq, alert_id FROM alerts ORDER BY seq")
        ]


def every_one_once(rows: list[tuple[int, str]], given: list[dict[str, Any]]) -> None:
    """AssertionError unless each alert of the outbox was given once, and those with numbers in their order."""
    labels = [str(each["alert_id"]) for each in given]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    missing = [row for row in rows if row[1] not in set(labels)]
    numbers = [each["seq"] for each in given if each["seq"] is not None]
    assert not twice, f"given twice: {json.dumps(twice)}"
    assert not missing, f"never given: {missing}"
    assert numbers == sorted(numbers)
    assert len(labels) == len(rows), "something was given that is in no outbox"
