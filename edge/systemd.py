"""What a service tells systemd: that it is ready, lives, how it does, that it ends (sd_notify(3)); and its log."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import TextIO

from edge.text import printable

SEND_S = 1.0  # systemd reads at once; a machine on which it does not must not hold the program
STATUS_EVERY_S = 1.0  # each status wakes systemd and whoever listens to it
PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}

logger = logging.getLogger(__name__)


class Systemd:
    """Messages to the socket that ``environ`` names in NOTIFY_SOCKET; without one every method does nothing.

    ``watchdog_s`` is the time within which systemd wants to hear ``alive``, None where it does not ask this process.
    No method raises: a message that cannot be sent is logged once, and lost.

    Synchronization: none; it belongs to the main thread.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.watchdog_s = _watchdog_s(environ)
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._clock = clock
        self._failed = False
        self._status = ""
        self._status_at = float("-inf")

    def ready(self) -> None:
        """All is started."""
        self._send("READY=1")

    def alive(self) -> None:
        """The program does what it should."""
        self._send("WATCHDOG=1")

    def hung(self) -> None:
        """It does not, and is to be ended and started again at once."""
        self._send("WATCHDOG=trigger")

    def status(self, text: str) -> None:
        """One line for people, shown by `systemctl status`. Call it often: it is sent when it has changed, and not
        more than once in STATUS_EVERY_S."""
        now = self._clock()
        if text != self._status and now - self._status_at >= STATUS_EVERY_S:
            self._status, self._status_at = text, now
            self._send(f"STATUS={printable(text)}")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1\nSTATUS=stopping")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(SEND_S)
                sock.sendto(message.encode(), self._address)
        except OSError as error:
            if not self._failed:
                logger.warning("systemd cannot be told %s: %s", message.splitlines()[0], error)
            self._failed = True


def _address(name: str) -> str:
    """A path, or an abstract name with its zero byte; "" for what is neither."""
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else ""


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """As sd_watchdog_enabled(3): a process that inherited the variables of another is not asked."""
    try:
        microseconds, asked = int(environ["WATCHDOG_USEC"]), int(environ.get("WATCHDOG_PID", os.getpid()))
    except (KeyError, ValueError):
        return None
    return microseconds / 1e6 if microseconds > 0 and asked == os.getpid() else None


class JournalLines(logging.Formatter):
    """Lines for the journal, which has the time itself, and reads each line's priority in front of it (sd-daemon(3)):
    `journalctl -p warning` then finds what matters."""

    def __init__(self) -> None:
        super().__init__("%(levelname)-7s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in super().format(record).split("\n"))


def is_journal(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether what is written to ``stream`` becomes lines of the journal (JOURNAL_STREAM in systemd.exec(5))."""
    try:
        at = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or nothing that has a descriptor
        return False
    return environ.get("JOURNAL_STREAM") == f"{at.st_dev}:{at.st_ino}"
