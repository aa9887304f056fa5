"""Where connections come in: a listener's open sockets, who is inside, and who still has to prove who it is."""

from __future__ import annotations

import random
from collections import Counter

from edge.config import Listener, Stream
from edge.errors import StreamError
from edge.stream.binding import open_listener
from edge.stream.mailbox import Form
from edge.stream.session import Session
from edge.wire.messages import Terms


class Full(StreamError):
    """There is no place for one more client."""


class Door:
    """One listener. ``pending`` holds, the oldest first, those that have not logged in (or shaken hands for TLS), each
    with its host.

    Synchronization: the stream thread alone.
    """

    def __init__(self, listener: Listener, number: int, settings: Stream) -> None:
        self.listener = listener
        self.terms = Terms(listener.name or f"listener-{number}", listener.auth, settings.heartbeat_s)
        self.form = Form(listener.framing, listener.byteorder, listener.video)
        self.tls = listener.tls
        self.dialled = False
        self.sockets = open_listener(listener)
        self.pending: dict[Session, str] = {}
        self._settings = settings
        self._inside: dict[Session, str] = {}
        self._hosts: Counter[str] = Counter()

    def __str__(self) -> str:
        """For the log."""
        login = {"none": "", "hmac": ", login with a key", "mtls": ", login with a certificate"}[self.terms.auth]
        video = ", with video" if self.form.video else ""
        return f"{self.form.framing} framing{', TLS' if self.tls else ''}{login}{video}"

    def await_login(self, session: Session, host: str) -> Session | None:
        """Let it wait, if it has something to prove; the one that has to go for it, where too many wait."""
        if not self.tls and self.terms.auth == "none":
            return None
        leaving = self._first_to_go() if len(self.pending) >= self._settings.max_pending else None
        self.pending[session] = host
        return leaving

    def enter(self, session: Session, host: str) -> None:
        """Let it in; raises Full."""
        if len(self._inside) >= self._settings.max_clients:
            raise Full("refused: stream.max_clients is reached")
        if self._hosts[host] >= self._settings.max_clients_per_address:
            raise Full("refused: stream.max_clients_per_address is reached")
        self.pending.pop(session, None)
        self._inside[session] = host
        self._hosts[host] += 1

    def leave(self, session: Session, _: float) -> None:
        """Forget it."""
        self.pending.pop(session, None)
        host = self._inside.pop(session, None)
        if host is not None:
            self._hosts[host] -= 1
            if not self._hosts[host]:
                del self._hosts[host]

    def late(self, now: float) -> list[Session]:
        """Those that had their time to log in."""
        return [session for session in self.pending if now - session.began_at > self._settings.login_s]

    def _first_to_go(self) -> Session:
        """One of the host with the most: who comes again and again crowds out itself, not the others.

        Of many hosts with one each, it is drawn by lot from the older half: a valid one on a quick link is in before
        it is of that half, and one on a slow link has a chance, which it would not have were it always the oldest.
        Two are drawn, and one that has shaken hands is spared for one that has not.
        """
        crowds = Counter(self.pending.values())
        most = max(crowds.values())
        crowd = [session for session, host in self.pending.items() if crowds[host] == most]
        older = crowd[: (len(crowd) + 1) // 2]
        return min(random.choices(older, k=2), key=_shaken)  # noqa: S311 (fair, not secret)

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


def _shaken(session: Session) -> bool:
    return session.dialogue is not None
