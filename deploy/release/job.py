"""What every action has at hand, and that only one runs at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType

from . import durable
from .outcome import Outcome, Refused, say
from .places import Places, dump_json

LOCK_WAIT_S = 10.0
LOCK_POLL_S = 0.1


@dataclasses.dataclass
class Job:
    """An action under way at these places; ``program`` is how this installer itself is called."""

    places: Places
    outcome: Outcome
    program: tuple[str, ...] = ()


@contextlib.contextmanager
def alone(job: Job, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Holds the lock; Refused where another action holds it for longer than ``wait_s``.

    Nothing that this process starts inherits it, so it is free the moment this process is gone.
    """
    job.places.home.mkdir(parents=True, exist_ok=True)
    # Root's alone: whoever can read a file can lock it, and the service shall keep no update from being undone.
    with open(os.open(job.places.lock, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+b", buffering=0) as file:
        os.fchmod(file.fileno(), 0o600)
        deadline = time.monotonic() + wait_s
        while not _locked(file.fileno()):
            if time.monotonic() > deadline:
                file.seek(0)
                raise Refused(f"another action runs ({file.read().decode().strip()}): wait for its end")
            time.sleep(LOCK_POLL_S)
        with contextlib.suppress(OSError):  # a full disk: who holds it is only for people
            file.truncate(0)
            file.write(f"{job.outcome.action}, process {os.getpid()}\n".encode())
        yield


@contextlib.contextmanager
def told(job: Job) -> Iterator[None]:
    """Keeps outcome.json: an action without an end, from the beginning on; how it ended, at the end.

    Where it cannot be kept the action goes on: on a full disk a release that is bad must still be left.
    """
    job.outcome.began = time.time()  # not when it began to wait for another
    _keep(job)
    try:
        yield
    except Refused as refusal:
        job.outcome.reason = str(refusal)
        raise
    finally:
        job.outcome.end()
        _keep(job)


def _keep(job: Job) -> None:
    try:
        durable.write(job.places.outcome, dump_json(job.outcome.document()))
    except OSError as exc:
        say(f"preact-edge-release: {job.places.outcome} cannot be written: {exc}; make room there")


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM, SIGINT and SIGHUP end the action as a refusal does, so that what was begun is undone."""
    former = {which: signal.signal(which, _stop) for which in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for which, handler in former.items():
            signal.signal(which, handler)


@contextlib.contextmanager
def unstoppable() -> Iterator[None]:
    """For undoing and for the last step: what asks for an end is not heard."""
    ignored = {which: signal.signal(which, signal.SIG_IGN) for which in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for which, handler in ignored.items():
            signal.signal(which, handler)


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature that signal() asks for
    raise Refused(f"stopped by {signal.Signals(number).name}")


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
