"""The client's I/O thread: both connections to a device, and the way from them into the inbox."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from dataclasses import dataclass

from edge.errors import EdgeError, StreamError, WorkerDied
from edge.stream.client.cursor import Progress
from edge.stream.client.dialogue import Wish
from edge.stream.client.inbox import Inbox
from edge.stream.client.intake import Intake
from edge.stream.client.line import NEVER, Closed, Line
from edge.stream.client.link import resolve
from edge.stream.client.messages import CommandResult, Event, FramesLost, HelloOk, Lost, VideoFrame
from edge.stream.client.outgoing import Outgoing
from edge.stream.client.tls import Tls
from edge.stream.waker import Waker
from edge.wire.requests import Ack, encode_request
from edge.workers import Worker

PAUSE_S = 8.0  # the device takes a reader that pauses for 10 s (its TCP_USER_TIMEOUT) for gone
FAREWELL_S = 0.5  # at the end: for the last ack to arrive


@dataclass(frozen=True, slots=True)
class Plan:
    """Where to connect and what for; without ``frames`` there is no second connection."""

    host: str
    port: int
    tls: Tls | None
    main: Wish
    frames: Wish | None = None


class Engine:
    """Keeps a client connected and its inbox filled.

    ``outgoing`` takes what is to be said; ``wake`` after it. ``paused`` is set while nothing is read because the
    application takes nothing: who takes something then must ``wake``, too.

    Synchronization: the thread owns both sockets; any thread may call the public methods.
    """

    def __init__(self, plan: Plan, progress: Progress, inbox: Inbox) -> None:
        self.paused = False
        self.outgoing = Outgoing()
        self.intake = Intake(progress, inbox)
        self.session: HelloOk | None = None
        self.trouble = ""  # why there is no session, once that is known
        self._plan = plan
        self._inbox = inbox
        self._waker = Waker()
        self._worker = Worker("client", self._run, on_death=self._died)
        # From here on the thread's own.
        self._main = Line(plan.main, plan.tls)
        self._frames = Line(plan.frames, plan.tls) if plan.frames is not None else None
        self._lines = [line for line in (self._main, self._frames) if line is not None]
        self._selector = selectors.DefaultSelector()
        self._registered: dict[Line, tuple[socket.socket, int]] = {}
        self._paused_at = 0.0

    def start(self) -> None:
        self._worker.start()

    def stop(self, timeout: float) -> None:
        """End the thread; one that is just asking for an address ends when it has it."""
        self._worker.stop()
        self._waker.wake()
        if self._worker.join(timeout) and not self._registered:
            self._selector.close()
            self._waker.close()
            self.outgoing.close()

    def wake(self) -> None:
        self._waker.wake()

    def _run(self, stopping: threading.Event) -> None:
        self._selector.register(self._waker, selectors.EVENT_READ)
        self._main.dial_at = time.monotonic()
        try:
            while not stopping.is_set():
                self._turn(time.monotonic())
            self._say_farewell()
        finally:
            self._free()

    def _turn(self, now: float) -> None:
        """Do what is due, then wait for something to happen and deal with it."""
        self._consider_pause(now)
        for line in self._lines:
            self._tend(line, now)
        self._say_what_waits(now)
        for line in self._lines:
            self._register(line)
        ready = self._selector.select(max(0.0, self._due() - time.monotonic()))
        now = time.monotonic()
        for key, events in ready:
            if key.data is None:
                self._waker.clear()
            else:
                self._handle(key.data, events, now)

    def _due(self) -> float:
        dues = [line.due for line in self._lines if line is not self._main or not self.paused]
        if self.paused and self._main.link is not None:
            dues.append(min(self._paused_at + PAUSE_S, time.monotonic() + 1.0))
        if self.session is not None:
            dues.append(self.outgoing.ack_due)
        return min(min(dues, default=NEVER), time.monotonic() + 60.0)

    def _consider_pause(self, now: float) -> None:
        was, self.paused = self.paused, True
        self.paused = self._inbox.full(
            asking=self.outgoing.asking
        )  # asked after it was set: who takes something from now on wakes this thread
        if self.paused and not was:
            self._paused_at = now

    def _tend(self, line: Line, now: float) -> None:
        deaf = self.paused and line is self._main
        try:
            if line.link is not None:
                line.tend(now, deaf=deaf)
                if deaf and now - self._paused_at >= PAUSE_S:
                    raise StreamError(f"the application took nothing for {PAUSE_S:g} s")
            elif now >= line.dial_at and not deaf:
                self._dial(line)
        except StreamError as error:
            self._lose(line, error, now)

    def _dial(self, line: Line) -> None:
        plan = self._plan
        if line is self._main:
            line.dial(plan.host, resolve(plan.host, plan.port), time.monotonic())
        elif self._main.link is not None:
            line.dial(plan.host, [self._main.link.peer], time.monotonic())  # no second look into the DNS
        else:
            line.dial_at = NEVER  # the main line's next session sets it

    def _handle(self, line: Line, events: int, now: float) -> None:
        take = self._on_main if line is self._main else self._on_frames
        try:
            for event in line.handle(events, now):
                take(event, now)
        except StreamError as error:
            self._lose(line, error, now)

    def _lose(self, line: Line, error: StreamError, now: float) -> None:
        self._unregister(line)
        retry_s = line.hang_up(error, now)
        if line is not self._main:
            self._inbox.put(FramesLost(str(error), retry_s))
            return
        self.session, self.trouble = None, str(error)
        self.outgoing.lose()
        self._inbox.put(Lost(str(error), retry_s, None if isinstance(error, Closed) else error))

    def _on_main(self, event: Event, now: float) -> None:
        if isinstance(event, CommandResult):
            self.outgoing.answer(event)
        elif isinstance(event, HelloOk):
            self.intake.begin(event)
            self.session, self.trouble = event, ""
            if self._frames is not None and self._frames.link is None:
                self._frames.dial_at = now
        else:
            self.intake.take(event, numbered=self.session is not None)

    def _on_frames(self, event: Event, now: float) -> None:
        line = self._frames
        if isinstance(event, VideoFrame):
            self._inbox.put_frame(event)
        elif isinstance(event, HelloOk) and line is not None and "frames" not in event.subscribed:
            self._unregister(line)
            line.hang_up(StreamError("no pictures"), now)
            line.dial_at = NEVER
            self._inbox.put(FramesLost("the device sends no pictures on this port"))

    def _say_what_waits(self, now: float) -> None:
        """Commands and acks; they wait where there is no session."""
        if self.session is None:
            return
        try:
            for command in self.outgoing.commands():
                self._main.say(command)
            self._acknowledge(now)
        except StreamError as error:
            self._lose(self._main, error, now)

    def _acknowledge(self, now: float) -> None:
        ack = self.outgoing.ack(now)
        known = ack is not None and self.session is not None and ack.stream == self.session.stream
        if ack is not None and known and self._plan.main.consumer is not None:
            self._main.say(encode_request(Ack(stream=ack.stream, seq=ack.seq)))

    def _register(self, line: Line) -> None:
        """Have the selector wait for what the line waits for now."""
        wanted = None
        if line.link is not None:
            deaf = self.paused and line is self._main and line.link.open
            wanted = line.link.socket, line.link.events & ~(selectors.EVENT_READ if deaf else 0)
        if wanted == self._registered.get(line):
            return
        self._unregister(line)
        if wanted is not None and wanted[1]:
            self._selector.register(wanted[0], wanted[1], line)
            self._registered[line] = wanted

    def _unregister(self, line: Line) -> None:
        registered = self._registered.pop(line, None)
        if registered is not None:
            self._selector.unregister(registered[0])

    def _say_farewell(self) -> None:
        """Send the last ack; closing with input unread would take it back."""
        if self.session is None or self._main.link is None or self.outgoing.ack_due == NEVER:
            return
        link, deadline = self._main.link, time.monotonic() + FAREWELL_S
        with contextlib.suppress(StreamError):
            self._acknowledge(NEVER)
            link.shut()
            self._register(self._main)
            while not link.ended and (left := deadline - time.monotonic()) > 0:
                if any(key.data is self._main for key, _ in self._selector.select(left)):
                    for _message in link.handle(selectors.EVENT_READ, time.monotonic()):
                        pass

    def _free(self) -> None:
        for line in self._lines:
            self._unregister(line)
            line.close()
        self._selector.close()
        self._waker.close()
        self.outgoing.close()

    def _died(self, worker: Worker) -> None:
        error = worker.error
        if not isinstance(error, EdgeError):
            error = WorkerDied(f"the client's thread ended with an error: {error!r}")
        self._inbox.close(error)
