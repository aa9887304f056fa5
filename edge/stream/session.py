"""One connection of a client: what it is sent, what it may send, and how it ends. It owns the socket."""

from __future__ import annotations

import selectors
from collections.abc import Callable

from edge.errors import EdgeError, StreamError
from edge.stream.allowance import Allowance
from edge.stream.dialogue import Dialogue
from edge.stream.hub import Hub
from edge.stream.transport import Transport
from edge.wire import replies
from edge.wire.faults import Fault

STALL_S = 10.0  # a started unit that makes no progress for so long ends the connection
FAREWELL_S = 2.0  # for a client that is being ended to take the last word and close
DENIAL_S = 1.0  # a wrong login is answered so late, lest keys be tried quickly
GAP_RETRY_MS = 100
PLAIN_BURST, PLAIN_RATE = 65536, 4096  # bytes, bytes a second: of what is thrown away; more ends the connection
SESSION_BURST, SESSION_RATE = 65536, 65536  # after hello; more is not read until it may come
LEAST_CHARGE = 200  # bytes that a message after hello counts as, at least: a short one costs as much time; 327 a second


class Session:
    """A client's connection, from its first byte to its end.

    ``ended`` is empty while it lives, then says why it is over; ``at_fault`` is set when that was this client's
    doing. ``resting`` is set while nothing is to be read. Nothing here waits.

    ``introduce`` is called when the connection itself is ready (for TLS: after the handshake); it makes the dialogue,
    or raises StreamError or SecurityError.

    Synchronization: the stream thread alone.
    """

    def __init__(
        self, transport: Transport, peer: str, hub: Hub, introduce: Callable[[Session], Dialogue], now: float
    ) -> None:
        self.transport = transport
        self.peer = peer
        self.ended = ""
        self.at_fault = False
        self.resting = False
        self.began_at = now
        self.dialogue: Dialogue | None = None
        self._hub = hub
        self._introduce = introduce
        self._unit: list[memoryview] = []  # what is left of the unit being sent
        self._progress = self._came = 0
        self._progress_at = now
        self._allowance = Allowance(PLAIN_BURST, PLAIN_RATE, now)
        self._denied: Fault | None = None
        self._denied_at = 0.0
        self._finishing_at = 0.0
        self._reason = ""
        self._sent_all = False

    @property
    def events(self) -> int:
        """What select is to look for."""
        read = 0 if self.resting else selectors.EVENT_READ
        return read | (selectors.EVENT_WRITE if self.transport.blocked else 0)

    @property
    def losses(self) -> str:
        """For the log: what it was too slow for."""
        box = self.dialogue.mailbox if self.dialogue is not None else None
        lost = (box.results_dropped, box.videos_dropped) if box is not None else (0, 0)
        return f" ({lost[0]} results and {lost[1]} pictures dropped)" if any(lost) else ""

    @property
    def must_end(self) -> bool:
        """Whether it has to go even if its socket takes nothing now."""
        return self.dialogue is not None and bool(self.dialogue.mailbox.overflow or self.dialogue.mailbox.stale)

    @property
    def logged_in(self) -> bool:
        """Whether it has nothing to prove any more."""
        return self.dialogue is not None and not self.dialogue.login

    @property
    def finishing(self) -> bool:
        """Whether its end has begun."""
        return self._finishing_at > 0

    def pump(self, now: float) -> None:
        """Send what waits until there is nothing left or the kernel takes no more."""
        if not self._ready(now):
            return
        self._look_after_mailbox(now)
        try:
            while not self.ended and self._load(now):
                self._send(now)
                if self.transport.blocked:
                    return
            if self.finishing and not self.ended and not self._sent_all:
                self._sent_all = self.transport.shut()
        except StreamError as error:
            # The place in the stream is lost: nothing can be sent after this.
            self._end("closed" if self.finishing else str(error))

    def read(self, now: float) -> None:
        """Take what the client sent; an end of its stream is its goodbye."""
        if not self._ready(now):
            return
        try:
            data = self.transport.receive()
        except StreamError as error:
            self._end(str(error))
            return
        came, self._came = self.transport.came - self._came, self.transport.came
        if self._allowed(came, now) and data and not self.finishing and self._denied is None:
            self._take(data, came, now)
        if self.transport.ended:  # with TLS that may come together with the last data
            self._end("closed by the client" if not self.finishing else "closed")

    def check(self, now: float) -> None:
        """What time brings: too long without progress, without a login, without a sign of life."""
        if self.transport.blocked and now - self._progress_at > STALL_S:
            self._end(f"slow_consumer: it took nothing for {STALL_S:.0f} s", at_fault=True)
        if self.finishing and now - self._finishing_at > FAREWELL_S:
            self._end("closed")
        if self._denied is not None and now - self._denied_at >= DENIAL_S:
            denied, self._denied = self._denied, None
            self._fail(denied, now)
        if self.resting and self._allowance.take(0, now):
            self.resting = False
            if self.dialogue is not None:
                self.dialogue.excuse(now)
        if self.dialogue is not None and not self.finishing and not self.resting:
            try:
                self.dialogue.check(now)
            except Fault as fault:
                self._fail(fault, now)
        self.pump(now)

    def expire(self, now: float) -> None:
        """It had its time to log in; one whose end has begun already is told nothing new."""
        if self.finishing or self._denied is not None:
            return
        if self.dialogue is None:
            self._end("auth_timeout: no TLS handshake in time", at_fault=True)
        else:
            self._fail(Fault("auth_timeout", "no login in time"), now)

    def crowd_out(self) -> None:
        """Others want to log in, and it has not yet."""
        self._end("crowded out: too many clients that have not logged in", at_fault=True)

    def finish(self, now: float, goodbye: bytes | None = None) -> None:
        """Begin a polite end: what waits is still sent, then the sending side is closed; ``read`` sees the answer."""
        if self.dialogue is None:
            self._end("closed")
        elif not self.finishing:
            self._part(now, goodbye if self.dialogue.greeted else None, drop=False)

    def close(self) -> None:
        """Free the socket and the mailbox."""
        if self.dialogue is not None:
            self._hub.leave(self.dialogue.mailbox)
        self.transport.socket.close()

    def _ready(self, now: float) -> bool:
        """Go on with the handshake, if it is not over; False when nothing else can be done yet."""
        if self.ended or self.dialogue is not None:
            return not self.ended
        try:
            if not self.transport.handshake():
                return False
            self.dialogue = self._introduce(self)
        except EdgeError as error:
            self._end(str(error), at_fault=True)
            return False
        self.dialogue.open()
        self.read(now)  # the first message may have come with the handshake's last
        self.pump(now)
        return not self.ended

    def _allowed(self, came: int, now: float) -> bool:
        """Count what came, TLS's own messages too; False when it was too much from one that has not said hello."""
        if self.finishing or self._allowance.take(came, now):  # at the end all is read, up to its own end
            return True
        self.resting = self.dialogue is not None and self.dialogue.greeted
        if not self.resting:
            self._end(f"flood: it sent more than {PLAIN_RATE} bytes a second", at_fault=True)
        return self.resting

    def _take(self, data: bytes, came: int, now: float) -> None:
        dialogue = self.dialogue
        if dialogue is None:
            return
        greeted, messages = dialogue.greeted, 0
        try:
            for _ in dialogue.receive(data, now):
                messages += 1
                self.pump(now)
                if self.ended or self.finishing:
                    return
        except Fault as fault:
            self._deny_or_fail(fault, now)
        if dialogue.greeted:
            if not greeted:
                self._allowance = Allowance(SESSION_BURST, SESSION_RATE, now)
            self._charge(messages * LEAST_CHARGE - came, now)
        self.pump(now)

    def _charge(self, more: int, now: float) -> None:
        """Count short messages as more than their bytes."""
        if more > 0 and not self._allowance.take(more, now):
            self.resting = not self.finishing

    def _deny_or_fail(self, fault: Fault, now: float) -> None:
        if fault.code == "auth_failed":
            self._denied, self._denied_at = fault, now
        else:
            self._fail(fault, now)

    def _fail(self, fault: Fault, now: float) -> None:
        """End it, and say why to one that understands."""
        reason = f"{fault.code}: {fault}"
        if self.dialogue is None or not (self.dialogue.speaks or fault.code == "unsupported_version"):
            self._end(reason, at_fault=True)
            return
        self.at_fault = True
        self._reason = reason
        self._part(now, replies.error(fault.code, str(fault), fatal=True), drop=True)

    def _part(self, now: float, message: bytes | None, *, drop: bool) -> None:
        assert self.dialogue is not None  # noqa: S101 - for the type checker: only they have something to part from
        self._finishing_at = now
        self.resting = False
        self._hub.part(self.dialogue.mailbox, message, drop=drop)
        self.pump(now)

    def _look_after_mailbox(self, now: float) -> None:
        dialogue = self.dialogue
        if dialogue is None or self.finishing:
            return
        if dialogue.mailbox.overflow:
            if dialogue.greeted:
                self._fail(Fault("slow_consumer", dialogue.mailbox.overflow.partition(": ")[2]), now)
            else:
                self._end(dialogue.mailbox.overflow, at_fault=True)
        elif dialogue.mailbox.stale and dialogue.greeted:
            self._part(now, replies.goodbye("gap", GAP_RETRY_MS), drop=False)
        else:
            dialogue.refill(now)

    def _load(self, now: float) -> bool:
        """Have something to send; False when there is nothing."""
        if self._unit:
            return True
        if self.dialogue is None:
            return False
        unit = self._hub.take(self.dialogue.mailbox)
        if unit is None:
            return self.transport.blocked
        self._unit = [memoryview(part) for part in unit]
        self._progress_at = now
        if len(unit) > 1:  # a picture
            self.transport.fit()
        return True

    def _send(self, now: float) -> None:
        sent = self.transport.send(self._unit)
        if self.transport.passed != self._progress:
            self._progress, self._progress_at = self.transport.passed, now
        while self._unit and sent >= len(self._unit[0]):
            sent -= len(self._unit.pop(0))
        if self._unit and sent:
            self._unit[0] = self._unit[0][sent:]

    def _end(self, reason: str, *, at_fault: bool = False) -> None:
        if not self.ended:
            self.ended = self._reason or reason
            self.at_fault = self.at_fault or at_fault
