"""Following a device for as long as the program runs: sessions that resume, typed events, commands."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

from edge import __version__
from edge.errors import StreamError
from edge.stream.client.checks import (
    check_address,
    check_choice,
    check_hello,
    check_kind,
    check_topics,
    check_wish,
    load,
)
from edge.stream.client.cursor import Cursor, CursorStore, Progress
from edge.stream.client.dialogue import IDLE_S, HelloMode, Resumption, Wish
from edge.stream.client.engine import Engine, Plan
from edge.stream.client.inbox import Inbox, Item
from edge.stream.client.login import Login
from edge.stream.client.messages import Alert, Event, HelloOk, Welcome
from edge.stream.client.refusals import CommandFailed
from edge.stream.client.tls import Tls
from edge.wire.framing import Message
from edge.wire.requests import DEFAULT_TOPICS, Command, Frames, Resume

COMMAND_S = 10.0  # for an answer, connecting again included
CLOSE_S = 2.0
SOFTWARE = f"preact-edge {__version__}"


class Subscriber:
    """An endless iterator over what a device says, which connects again whenever the connection is lost.

    ``consumer`` names this reader to the device, which keeps its alerts until it has acknowledged them; ``cursor`` is
    where its place among them is kept (FileCursor, or anything with load and save). With either, no alert is missed:
    after a cut they go on where they were, and each is given once. After a crash of this program those are given
    again that it had not finished. ``start`` is where one begins that has no place yet: at what comes from now on,
    or at the "oldest" alert that the device still keeps.

    An alert is dealt with when the loop comes back for the next item, or, with ``auto_ack=False``, when ``ack`` is
    called: then the cursor is saved and the device told. An ack covers every alert before its own.

    ``frames`` asks for pictures, on a connection of their own, behind which nothing else waits. ``hello`` is
    "required" where all of this is needed, "never" for a client that only listens and sends not a single byte, and
    "offered" for hello where the device knows it and listening where it does not.

    Up to MAX_KEPT alerts wait for an application that is slow; then reading pauses, and after PAUSE_S the connection
    is given up and made again when there is room. Of results and pictures the oldest are dropped and counted.

    Raises ConfigError for settings that cannot be, StateError where the cursor cannot be kept, and nothing else: what
    happens to the connection is told by Connected, Lost, Gap, Reset and FramesLost among the messages.

    Synchronization: one thread iterates and acks; any thread may command and close. A thread of its own does all I/O.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        consumer: str | None = None,
        cursor: CursorStore | None = None,
        start: Literal["now", "oldest"] = "now",
        auto_ack: bool = True,
        subscribe: Sequence[str] = DEFAULT_TOPICS,
        frames: Frames | bool = False,
        tls: Tls | None = None,
        login: Login | None = None,
        hello: HelloMode = "required",
        client: str = SOFTWARE,
        heartbeat_s: float = 10.0,
        idle_s: float = IDLE_S,
    ) -> None:
        check_address(host, port)
        check_hello(hello, named=consumer is not None or cursor is not None)
        check_choice("start", start, ("now", "oldest"))
        check_topics(subscribe)
        check_kind("frames", frames, bool, Frames)
        check_kind("tls", tls, Tls)
        check_kind("login", login, Login)
        self.host, self.port = host, port
        self._store = cursor
        self._start: Literal["now", "oldest"] = start
        self._consumer = consumer
        self._auto_ack = auto_ack
        self._plain_only = hello == "never"
        look = frames if isinstance(frames, Frames) else Frames()
        wish = Wish(client, login, heartbeat_s, idle_s)
        main = replace(wish, hello=hello, topics=tuple(subscribe), consumer=consumer, resume=self._resume)
        pictures = replace(wish, topics=("frames",), frames=look)
        if tls is not None:
            tls.context()  # files that cannot be used are told now, to who named them
        self._done = load(cursor)
        check_wish(main, look, self._done)
        self._stream = ""  # of the alerts given last
        self._taken: Item | None = None
        # Guards _started, and that nothing starts once this was closed; a signal's handler may close at any moment.
        self._starting = threading.RLock()
        self._started = False
        self._inbox = Inbox()
        self._progress = Progress(self._done)
        plan = Plan(host, port, tls, main, pictures if frames and not self._plain_only else None)
        self._engine = Engine(plan, self._progress, self._inbox)

    @property
    def session(self) -> HelloOk | None:
        """The session that stands now; None while there is none."""
        return self._engine.session

    @property
    def missed(self) -> int:
        """Alerts that the device gave up before this client could have them, as its gaps said."""
        return self._engine.intake.missed

    @property
    def results_dropped(self) -> int:
        """Results that came and that the application was too slow for."""
        return self._inbox.results_dropped

    @property
    def frames_dropped(self) -> int:
        """Pictures that came and that the application was too slow for."""
        return self._inbox.frames_dropped

    @property
    def closed(self) -> bool:
        return self._inbox.closed

    def start(self) -> None:
        """Connect, and again whenever that is lost; the iteration does it by itself."""
        with self._starting:
            if not self._started and not self._inbox.closed:
                self._started = True
                self._engine.start()

    def close(self) -> None:
        """End the connection and the iteration. What was taken last counts as not dealt with, unless it was acked.

        It takes up to CLOSE_S seconds. A closed Subscriber stays closed: make another one.
        """
        with self._starting:
            self._inbox.close()
        self._engine.stop(CLOSE_S)

    def take(self, timeout: float | None = None) -> Event | None:
        """The next event; None when ``timeout`` seconds passed without one, or this was closed."""
        self.start()
        self._settle()
        while True:
            item = self._inbox.take(timeout)
            if self._engine.paused:
                self._engine.wake()
            if item is None:
                return None
            if item.cursor is not None:
                self._stream = item.cursor.stream
            self._taken = item
            if item.event is not None:
                return item.event
            self._settle()

    def ack(self, alert: Alert) -> None:
        """This alert and all before it are dealt with. One that is not durable has no number, and its copy will."""
        done = self._done
        if alert.seq is None or alert.stream != self._stream:
            return
        if done is None or done.stream != alert.stream or done.seq < alert.seq:
            self._advance(Cursor(alert.stream, alert.seq))

    def command(self, cmd: str, /, *, timeout: float = COMMAND_S, **args: Any) -> Any:
        """Have the device do something; its result. May be called while iterating, also from the loop's body.

        Raises CommandFailed when the device answered that it cannot or will not, StreamError when no answer came in
        ``timeout`` seconds. A command that a lost connection interrupted is sent again, and done only once.
        """
        if self._plain_only:
            raise StreamError("a client that never says hello cannot command")
        self.start()
        command = Command(id=secrets.token_hex(8), cmd=cmd, args=args)
        pending = self._engine.outgoing.ask(command)
        self._engine.wake()
        try:
            if not pending.done.wait(timeout):
                trouble = self._engine.trouble
                reason = f": {trouble}" if trouble else ""
                raise StreamError(f"no answer to the command {cmd} within {timeout:g} s{reason}")
        finally:
            self._engine.outgoing.forget(command)
        if pending.answer is None:
            raise StreamError(f"closed before the command {cmd} was answered")
        if not pending.answer.ok:
            raise CommandFailed(pending.answer.error.code, pending.answer.error.message)
        return pending.answer.result

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        event = self.take()
        if event is None:
            raise StopIteration
        return event

    def __enter__(self) -> Subscriber:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _settle(self) -> None:
        """The application is done with what it took last."""
        item, self._taken = self._taken, None
        if item is None or item.cursor is None:
            return
        by_hand = not self._auto_ack and isinstance(item.event, (Alert, Message))
        follows = self._done is not None and self._done.seq + 1 == item.cursor.seq
        # A copy that was given before leaves no alert to ack: it counts once those before it are done.
        if not by_hand and (self._auto_ack or item.event is not None or follows):
            self._advance(item.cursor, tell=not isinstance(item.event, HelloOk))

    def _advance(self, cursor: Cursor, *, tell: bool = True) -> None:
        if cursor == self._done:
            return
        self._done = cursor
        if self._store is not None:
            self._store.save(cursor)
        if tell and self._engine.outgoing.acknowledge(cursor):
            self._engine.wake()

    def _resume(self, welcome: Welcome) -> Resumption:
        """Where the alerts shall begin; asked by the I/O thread when a welcome has come."""
        cursor, terms = self._progress.cursor, welcome.protocol
        if cursor is not None:
            return Resume(stream=cursor.stream, after=cursor.seq)
        if self._start == "oldest":
            return Resume(stream="", after=0)  # no stream has this name: the answer is the oldest alert of the present
        if self._consumer is not None:
            return "last_ack"
        # What happens between the welcome and the hello shall not be missed.
        return Resume(stream=terms.stream, after=max(0, terms.next_seq - 1)) if terms.stream else None
