"""The life of the program: what runs, what ends it, and a stop that takes no longer than it may."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import NoReturn, Protocol

from edge.errors import WorkerDied
from edge.systemd import Systemd
from edge.watchdog import Watchdog
from edge.workers import LIMIT_S, Worker

STOP_S = 2.0  # systemd and people expect a program to be gone soon after it was asked to go


class Part(Protocol):
    """Something with threads: ``stop`` asks it to end and returns at once, ``join`` waits and tells."""

    @property
    def workers(self) -> tuple[Worker, ...]: ...

    def stop(self) -> None: ...

    def join(self, timeout: float) -> bool: ...


class Life:
    """The parts that run, in the order of starting, and whatever ends the program.

    ``failure`` is the death of a worker, None as long as all is well; ``started`` is set once everything runs. systemd
    is told when that is, when the end begins, and between them, by wait, that every thread passes its loop.

    Synchronization: end and on_death may be called from any thread, end also in a signal handler; the rest belongs to
    the main thread.
    """

    def __init__(self, systemd: Systemd | None = None) -> None:
        self.failure: WorkerDied | None = None
        self.started = False
        self.systemd = systemd or Systemd({})
        self._watchdog = Watchdog(self.systemd)
        self._parts: dict[str, Part] = {}
        # Whoever puts something here ends wait(). Its put may be called in a signal handler, which Event.set may not:
        # a signal that came while the main thread held the event's lock would wait for itself for ever.
        self._endings: SimpleQueue[None] = SimpleQueue()

    def handle_signals(self) -> None:
        """SIGTERM and SIGINT end the program, also while it starts; SIGHUP does nothing."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, lambda *_: None)  # a closed terminal must not blind the device

    @property
    def running(self) -> bool:
        """Whether everything was started and nothing was stopped."""
        return self.started and bool(self._parts)

    def add(self, name: str, part: Part) -> None:
        """A part that runs now, or is about to; it is watched, and stopped with the others."""
        self._parts[name] = part
        self.watch(part)

    def watch(self, part: Part) -> None:
        """A part whose threads must pass their loops, and which is stopped by somebody else."""
        self._watchdog.watch(*part.workers)

    def begin(self, name: str, run: Callable[[threading.Event], None], limit_s: float = LIMIT_S) -> None:
        """Add a thread of this name, and start it; one turn of its loop may take ``limit_s`` seconds."""
        worker = Worker(name, run, limit_s=limit_s, on_death=self.on_death)
        self.add(name, worker)
        worker.start()

    def ready(self) -> None:
        """Everything runs."""
        self.started = True
        self.systemd.ready()

    def end(self) -> None:
        """Let the program end; returns at once."""
        self._endings.put(None)

    def on_death(self, worker: Worker) -> None:
        """A worker died, and the program with it: it must not go on as if it could see."""
        self.failure = WorkerDied(f"the {worker.name} thread died: {worker.error}")
        self.end()

    def wait(self, tick: Callable[[], None], interval: float) -> None:
        """Until something ends the program; ``tick`` is called every ``interval`` seconds, or oftener."""
        interval = self._watchdog.longest_wait(interval)
        while True:
            try:
                return self._endings.get(timeout=interval)
            except Empty:
                self._watchdog.look()
                tick()

    def stop(self) -> list[str]:
        """Ask all parts to end, and wait for them; the names of those that did not within STOP_S. Idempotent."""
        if self.running:
            self.systemd.stopping()
        deadline = time.monotonic() + STOP_S
        parts, self._parts = self._parts, {}
        for part in parts.values():
            part.stop()
        return [name for name, part in parts.items() if not part.join(max(0.0, deadline - time.monotonic()))]

    @property
    def exit_code(self) -> int:
        """0, or 1 when a worker died, which is known for sure only after the stop."""
        return 1 if self.failure else 0

    def leave_at_once(self) -> NoReturn:
        """A thread hangs in a driver or a decoder: nothing can be waited for, so flush and go."""
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(self.exit_code)

    def _on_signal(self, *_: object) -> None:
        if not self.started:
            raise SystemExit(0)  # the start undoes what it did so far; a probe of a model may hold it up for long
        self.end()
