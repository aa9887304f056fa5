"""`websockets`' own broadcast() with the same payloads as tests.bench.device, for tests.bench.broadcast."""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import ssl
import sys
import time
from collections.abc import Callable

from websockets.asyncio.server import ServerConnection, broadcast, serve

from edge.wire.messages import detection_result
from tests.bench.device import IDENTITY, make_result, stamp

LOW = 32 * 1100  # bytes that may wait for a client while it publishes as fast as they take it: as DEEP results


class Feeder:
    """Publishes to whoever is connected."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.published = 0
        self._args = args
        self._connections: set[ServerConnection] = set()
        bare = len(detection_result(make_result(1, stamp()), IDENTITY.device_id))
        self._padding = "x" * (args.result_bytes - bare)
        self._picture = bytes(args.video_bytes)

    async def stay(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        try:
            await connection.wait_closed()
        finally:
            self._connections.discard(connection)

    async def results(self) -> None:
        if self._args.results_hz >= 0:
            await self._pace(self._args.results_hz, self._result)
        while True:
            waiting = [connection.transport.get_write_buffer_size() for connection in self._connections]
            if waiting and max(waiting) < LOW:
                broadcast(self._connections, self._result())
                self.published += 1
            await asyncio.sleep(0)

    async def pictures(self) -> None:
        await self._pace(self._args.video_hz, lambda: self._picture)

    def _result(self) -> str:
        result = make_result(self.published, stamp() + self._padding)
        return detection_result(result, IDENTITY.device_id).decode()

    async def _pace(self, rate: float, make: Callable[[], str | bytes]) -> None:
        due = time.monotonic()
        while rate:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due += 1 / rate
            payload = make()
            broadcast(self._connections, payload)
            self.published += isinstance(payload, str)


async def run(args: argparse.Namespace) -> None:
    context = None
    if args.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(args.certificate, args.key)
    feeder = Feeder(args)
    async with serve(feeder.stay, "127.0.0.1", 0, ssl=context, compression=None, ping_interval=None) as server:
        print(json.dumps({"addresses": [server.sockets[0].getsockname()[:2]]}), flush=True)
        jobs = [asyncio.create_task(feeder.results()), asyncio.create_task(feeder.pictures())]
        cpu, at, before = 0.0, time.monotonic(), 0
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, sys.stdin.readline):
            usage, now = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
            total = usage.ru_utime + usage.ru_stime
            figures = {"cpu": total - cpu, "seconds": now - at, "published": feeder.published - before}
            print(json.dumps(figures | {"results_dropped": 0}), flush=True)
            cpu, at, before = total, now, feeder.published
        for job in jobs:
            job.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results-hz", type=float, default=0.0)
    parser.add_argument("--result-bytes", type=int, default=1024)
    parser.add_argument("--video-hz", type=float, default=0.0)
    parser.add_argument("--video-bytes", type=int, default=60_000)
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
