"""One wire for each machine: a network namespace, and a pair of ends between it and this computer.

Addresses are of 198.18.0.0/15, which RFC 2544 sets aside for tests. Nothing in a namespace has a route beyond the
other end. A run takes a number that no other run on this computer has, under a lock that ends with its process, so
what a killed run left is taken over.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
from pathlib import Path
from types import TracebackType

_LOCKS = Path("/run/preact-edge-machines")
_NUMBERS = range(256)


class Wire:
    """``near`` is this computer's address, ``far`` that of the machine, whose end is called ``eth0``."""

    def __init__(self) -> None:
        self._lock, self.number = _take_number()
        self.namespace = f"pe-machine-{self.number}"
        self.near, self.far = f"198.18.{self.number}.1", f"198.18.{self.number}.2"
        self._end = f"pe-wire-{self.number}"
        try:
            self._lay()
        except BaseException:
            self.close()
            raise

    @property
    def namespace_path(self) -> Path:
        return Path("/run/netns") / self.namespace

    def _lay(self) -> None:
        self._remove()
        _ip("netns", "add", self.namespace)
        _ip("link", "add", self._end, "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
        _ip("address", "add", f"{self.near}/30", "dev", self._end)
        _ip("link", "set", self._end, "up")
        _ip("-n", self.namespace, "address", "add", f"{self.far}/30", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", self.namespace, "link", "set", device, "up")

    def cut(self) -> None:
        """Pull the plug at the machine: its link goes down, and what this side sends is lost."""
        _ip("-n", self.namespace, "link", "set", "eth0", "down")

    def slow_down(self) -> None:
        """What this side sends takes its time: 40 Mbit/s, for as long as the wire is not joined anew."""
        _tool(
            "tc",
            "qdisc",
            "replace",
            "dev",
            self._end,
            "root",
            "tbf",
            "rate",
            "40mbit",
            "burst",
            "64kb",
            "latency",
            "1s",
        )

    def join(self) -> None:
        """As before: plugged in, and at full speed."""
        with contextlib.suppress(WireError):  # where it was not slow
            _tool("tc", "qdisc", "delete", "dev", self._end, "root")
        _ip("-n", self.namespace, "link", "set", "eth0", "up")

    def close(self) -> None:
        self._remove()
        os.close(self._lock)

    def _remove(self) -> None:
        for words in (("link", "delete", self._end), ("netns", "delete", self.namespace)):
            with contextlib.suppress(WireError):
                _ip(*words)

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class WireError(RuntimeError):
    """``ip`` or ``tc`` refused."""


def _take_number() -> tuple[int, int]:
    """The descriptor of its lock, and the lowest number that nobody has."""
    _LOCKS.mkdir(exist_ok=True)
    for number in _NUMBERS:
        lock = os.open(_LOCKS / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return lock, number
    raise WireError(f"all {len(_NUMBERS)} numbers for wires are taken: see {_LOCKS}")


def _ip(*words: str) -> None:
    _tool("ip", *words)


def _tool(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WireError(f"{' '.join(command)}: {done.stderr.strip()}")
