"""A storm: a device that is killed, a wire that breaks, a client that must be given each alert exactly once."""

from __future__ import annotations

import contextlib
import random
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.outbox.files import DATABASE
from tests.chaos.clients import ROOT, Client, finish
from tests.chaos.proxy import CuttingProxy
from tests.chaos.verdict import Row, Verdict, judge

EARLY_KILLS = 0.2  # share of the kills that fall into the device's start
START_S = 1.0  # about what a start takes
LATE_CUTS = 0.02  # share of the looks that cut, when all is on disk before all cuts are made
QUIET_S = 90.0  # without one more alert, on disk or given, the storm has failed


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    alerts: int
    cuts: int
    kills: int
    client: str
    client_kills: int = 0
    seed: int = 1
    rate: float = 60.0
    framing: str = "length"


class Killable:
    """The device's process, which begins again on the same port and folder."""

    def __init__(self, plan: Plan, folder: Path, log: Path) -> None:
        self._place = _reserve_port()
        self.port = int(self._place.getsockname()[1])
        self.starts = 0
        self._log = log.open("a")
        words = [str(folder), str(self.port), "--alerts", str(plan.alerts), "--rate", str(plan.rate)]
        self._command = [sys.executable, "-m", "tests.chaos.device", *words, "--framing", plan.framing]
        self.start()

    def start(self) -> None:
        self.starts += 1
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stderr=self._log, cwd=ROOT)

    def kill(self) -> None:
        """As a power cut does it to a program: no handler runs, nothing is flushed."""
        if self._process.poll() is not None:
            raise RuntimeError(f"the device ended by itself: {self._process.returncode}")
        self._process.kill()
        finish(self._process)

    def close(self) -> None:
        finish(self._process)
        self._log.close()
        self._place.close()


def rows(folder: Path) -> list[Row]:
    """All alerts of the outbox."""
    with _reading(folder) as connection:
        query = "SELECT seq, alert_id, event_uid FROM alerts ORDER BY seq"
        found = [Row(*row) for row in connection.execute(query)]
    connection.close()
    return found


def committed(folder: Path) -> int:
    """The newest number on disk, 0 while there is none."""
    try:
        with _reading(folder) as connection:
            (newest,) = connection.execute("SELECT max(seq) FROM alerts").fetchone()
        connection.close()
    except sqlite3.Error:
        return 0
    return newest or 0


def run(plan: Plan, folder: Path, tell: Callable[[str], None] = lambda _: None) -> tuple[Verdict, dict[str, int]]:
    """The whole storm; the verdict, and how often what happened. ``folder`` must be empty."""
    state, cursors = folder / "state", folder / "cursors"
    state.mkdir()
    cursors.mkdir()
    device = Killable(plan, state, folder / "device.log")
    proxy = CuttingProxy(("127.0.0.1", device.port), plan.cuts, plan.seed)
    client = Client(plan.client, proxy.address, cursors, folder / "client.log")
    try:
        _Weather(plan, state, device, proxy, client, tell).blow()
    finally:
        client.close()
        proxy.close()
        device.close()
    happened = {f"cuts, {way}": count for way, count in proxy.done.items()}
    happened |= {"device killed": device.starts - 1, "client killed": len(client.lives) - 1}
    return judge(rows(state), client.lives), happened


class _Weather:
    """Decides when something is killed."""

    def __init__(
        self,
        plan: Plan,
        state: Path,
        device: Killable,
        proxy: CuttingProxy,
        client: Client,
        tell: Callable[[str], None],
    ) -> None:
        self._plan, self._state, self._tell = plan, state, tell
        self._device, self._proxy, self._client = device, proxy, client
        self._random = random.Random(plan.seed + 1)
        self._kills = self._moments(plan.kills)
        self._client_kills = self._moments(plan.client_kills)
        self._best, self._best_at = (0, 0), time.monotonic()

    def blow(self) -> None:
        while not self._over():
            on_disk = committed(self._state)
            self._watch(on_disk)
            self._proxy.plan(self._plan.alerts - self._client.events)
            if on_disk >= self._plan.alerts and self._proxy.left and self._random.random() < LATE_CUTS:
                self._proxy.cut_now()
            if self._kills and on_disk >= self._kills[0]:
                self._kills.pop(0)
                self._kill_device()
            if self._client_kills and self._client.events >= self._client_kills[0]:
                self._client_kills.pop(0)
                time.sleep(self._random.uniform(0, 2 / self._plan.rate))
                self._client.kill()
            time.sleep(0.02)

    def _moments(self, count: int) -> list[int]:
        return sorted(self._random.randrange(1, self._plan.alerts) for _ in range(count))

    def _over(self) -> bool:
        to_do = self._kills or self._client_kills or self._proxy.left
        return not to_do and committed(self._state) == self._plan.alerts == self._client.events

    def _kill_device(self) -> None:
        if self._random.random() < EARLY_KILLS and self._kills:
            self._kills.pop(0)  # this one comes while it starts
            self._device.kill()
            self._device.start()
            time.sleep(self._random.uniform(0, START_S))
        else:
            time.sleep(self._random.uniform(0, 2 / self._plan.rate))
        self._device.kill()
        self._device.start()

    def _watch(self, on_disk: int) -> None:
        events, now = self._client.events, time.monotonic()
        if (on_disk, events) != self._best:
            self._best, self._best_at = (on_disk, events), now
        if not self._client.alive:
            raise RuntimeError("the client ended by itself: see client.log")
        if now - self._best_at > QUIET_S:
            raise RuntimeError(f"nothing moves any more: {on_disk} on disk, {events} given")
        killed = self._device.starts - 1
        self._tell(f"{on_disk} on disk, {events} given, {self._proxy.left} cuts left, {killed} kills")


def _reading(folder: Path) -> contextlib.closing[sqlite3.Connection]:
    return contextlib.closing(sqlite3.connect(f"file:{folder / DATABASE}?mode=ro", uri=True, timeout=5))


def _reserve_port() -> socket.socket:
    """A free port of 127.0.0.1 that stays ours while the device is dead, also beside another storm.

    Linux lets a second socket listen where one is bound and does not listen, if both have SO_REUSEADDR, which the
    device's listeners have. This one gets it after its bind: so no other of its kind is given the same port.
    """
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return sock
