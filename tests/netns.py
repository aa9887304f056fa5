"""Two machines on a wire of their own: network namespaces with a veth pair between them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

NEAR_ADDRESS, FAR_ADDRESS = "10.203.0.1", "10.203.0.2"
NOBODY = "02:00:00:00:00:99"  # no card has this address: frames to it vanish


@dataclass(frozen=True)
class Wire:
    """``near`` and ``far`` are the namespaces' names; each has one end, called ``wire``."""

    near: str
    far: str

    def at(self, name: str) -> tuple[str, ...]:
        """Words to put in front of a command that is to run there."""
        return ("ip", "netns", "exec", name)

    def shape(self, rate: str, burst: str, latency: str) -> None:
        """Slow down what leaves ``near``, in tc's words."""
        limits = ("rate", rate, "burst", burst, "latency", latency)
        _do("tc", "-n", self.near, "qdisc", "replace", "dev", "wire", "root", "tbf", *limits)

    def vanish(self) -> None:
        """From now on nothing that either side sends arrives, and neither is told: no link goes down, no answer comes.

        As if a switch between them had lost its power.
        """
        for name, other in ((self.near, FAR_ADDRESS), (self.far, NEAR_ADDRESS)):
            _do("ip", "-n", name, "neigh", "replace", other, "lladdr", NOBODY, "dev", "wire", "nud", "permanent")


def missing() -> str:
    """Why there can be no namespaces here; empty where there can."""
    for tool in ("ip", "tc"):
        if shutil.which(tool) is None:
            return f"there is no {tool} (package iproute2)"
    if os.geteuid() != 0:
        return "network namespaces need root"
    name = f"pe-probe-{os.getpid()}"
    try:
        with namespaces(name):
            _do("ip", "-n", name, "link", "add", "wire", "type", "veth", "peer", "name", "other")
            _do("tc", "-n", name, "qdisc", "add", "dev", "wire", "root", "tbf", *_TRIAL)
    except RuntimeError as error:
        return str(error)
    return ""


@contextlib.contextmanager
def wire() -> Iterator[Wire]:
    """A fresh pair, removed at the end; RuntimeError where it cannot be made."""
    made = Wire(f"pe-near-{os.getpid()}", f"pe-far-{os.getpid()}")
    with namespaces(made.near, made.far):
        ends = ("type", "veth", "peer", "name", "wire", "netns", made.far)
        _do("ip", "-n", made.near, "link", "add", "wire", *ends)
        for name, address in ((made.near, NEAR_ADDRESS), (made.far, FAR_ADDRESS)):
            _do("ip", "-n", name, "address", "add", f"{address}/24", "dev", "wire")
            for device in ("lo", "wire"):
                _do("ip", "-n", name, "link", "set", device, "up")
        yield made


@contextlib.contextmanager
def namespaces(*names: str) -> Iterator[None]:
    made: list[str] = []
    try:
        for name in names:
            _do("ip", "netns", "add", name)
            made.append(name)
        yield
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


_TRIAL = ("rate", "4mbit", "burst", "16kb", "latency", "100ms")


def _do(*command: str) -> None:
    done: subprocess.CompletedProcess[str] = _run(command)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
