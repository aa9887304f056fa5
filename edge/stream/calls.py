"""The calls that are due, being made, or standing: client mode as the stream thread drives it."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from edge.errors import EdgeError
from edge.stream.desk import Desk
from edge.stream.dialler import CONNECT_S, Address, Dialler, connected
from edge.stream.session import Session


class Calls:
    """Dials each backend when it is due, and hands the connection to ``admit`` when it stands.

    Synchronization: the stream thread alone; names are looked up at the desk.
    """

    def __init__(
        self,
        diallers: Sequence[Dialler],
        desk: Desk,
        selector: selectors.BaseSelector,
        admit: Callable[[Dialler, socket.socket, tuple[Any, ...]], None],
    ) -> None:
        self._diallers = diallers
        self._desk = desk
        self._selector = selector
        self._admit = admit
        self._connecting: dict[Dialler, tuple[socket.socket, float]] = {}  # with its deadline

    def check(self, now: float) -> None:
        """Dial those that are due; give up those that do not answer."""
        for dialler, (_, deadline) in list(self._connecting.items()):
            if now > deadline:
                self._drop(dialler)
                dialler.failed(f"no answer in {CONNECT_S:g} s", now)
        for dialler in self._diallers:
            if not dialler.busy and now >= dialler.due:
                dialler.busy = True
                if dialler.literal:  # else it would wait for the names of others
                    self._on_resolved(dialler, dialler.literal)
                elif not self._desk.ask(dialler.resolve, partial(self._on_resolved, dialler)):
                    dialler.failed("the device is busy", now)

    def late(self, now: float, allowed_s: float) -> list[Session]:
        """Those that had their time to log in."""
        sessions = [dialler.session for dialler in self._diallers if dialler.session is not None]
        return [session for session in sessions if not session.logged_in and now - session.began_at > allowed_s]

    def close(self) -> None:
        """Make no more calls."""
        for dialler in self._diallers:
            dialler.retire()
        self._diallers = ()
        for dialler in list(self._connecting):
            self._drop(dialler)

    def _on_resolved(self, dialler: Dialler, answer: Sequence[Address] | EdgeError) -> None:
        now = time.monotonic()
        if dialler not in self._diallers:  # closed meanwhile
            return
        if isinstance(answer, EdgeError):
            dialler.failed(answer, now)
            return
        try:
            sock = dialler.connect(answer)
        except EdgeError as error:
            dialler.failed(error, now)
            return
        self._connecting[dialler] = sock, now + CONNECT_S
        self._selector.register(sock, selectors.EVENT_WRITE, partial(self._on_ready, dialler, sock))

    def _on_ready(self, dialler: Dialler, sock: socket.socket, _: int) -> None:
        del self._connecting[dialler]
        self._selector.unregister(sock)
        try:
            connected(sock)
            address = sock.getpeername()
        except (EdgeError, OSError) as error:
            sock.close()
            dialler.failed(str(error), time.monotonic())
            return
        self._admit(dialler, sock, address)

    def _drop(self, dialler: Dialler) -> None:
        sock, _ = self._connecting.pop(dialler)
        with contextlib.suppress(KeyError):
            self._selector.unregister(sock)
        sock.close()
