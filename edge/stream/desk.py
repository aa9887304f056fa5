"""Work for the stream thread that may take long: it is done elsewhere, and the answer comes back to that thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import Empty, Full, Queue
from typing import TypeVar

from edge.errors import EdgeError
from edge.workers import DISK_LIMIT_S, Worker

logger = logging.getLogger(__name__)
T = TypeVar("T")
MAX_JOBS = 64  # full: who asks is told that the device is busy
POLL_S = 0.25


class Desk:
    """One thread that does one job after the other.

    Synchronization: any thread may ask; ``deliver`` is called by the desk's thread.
    """

    def __init__(
        self,
        name: str,
        deliver: Callable[[Callable[[], None]], None],
        on_death: Callable[[Worker], None] | None = None,
    ) -> None:
        self._deliver = deliver
        self._jobs: Queue[Callable[[], None]] = Queue(MAX_JOBS)
        # Its jobs read files, and ask for names: what is true of disks is true of a resolver.
        self._worker = Worker(name, self._run, limit_s=DISK_LIMIT_S, on_death=on_death)
        self.workers = (self._worker,)

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        """Ask for the end; a job that is being done is finished, the rest is not."""
        self._worker.stop()

    def join(self, timeout: float) -> bool:
        return self._worker.join(timeout)

    def ask(self, job: Callable[[], T], done: Callable[[T | EdgeError], None]) -> bool:
        """Have ``job`` done; then ``done`` is delivered with what it returned or raised. False: too much waits."""

        def work() -> None:
            try:
                answer: T | EdgeError = job()
            except EdgeError as error:
                answer = error
            except Exception:  # this is the job's top: one client's question must not end the program
                logger.exception("a job failed")
                answer = EdgeError("internal error; the device's log says more")
            self._deliver(lambda: done(answer))

        try:
            self._jobs.put_nowait(work)
        except Full:
            return False
        return True

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                job = self._jobs.get(timeout=POLL_S)
            except Empty:
                continue
            job()
