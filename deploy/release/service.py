"""The service, as systemd sees it."""

from __future__ import annotations

import dataclasses
import time

from . import commands
from .commands import Done
from .outcome import Refused

UNIT = "preact-edge.service"
GUARD = "preact-edge-guard"
ASKED = "ActiveState,SubState,NRestarts,InvocationID,StatusText,ExecMainPID"
CALL_S = 60.0
STOP_S = 150.0  # systemd kills what does not end in its own, shorter time
POLL_S = 0.3


@dataclasses.dataclass(frozen=True)
class State:
    """``invocation`` is another one each time the service starts, ``restarts`` counts those that nobody asked for;
    ``process`` is the main process's id, also after its end, "0" without one."""

    active: str
    sub: str
    restarts: int
    invocation: str
    text: str
    process: str

    @property
    def runs(self) -> bool:
        return self.active in ("active", "reloading")


def state() -> State:
    done = commands.run(["systemctl", "show", f"--property={ASKED}", UNIT], timeout=CALL_S)
    found = dict(line.partition("=")[::2] for line in done.out.splitlines())
    restarts = found.get("NRestarts", "0")
    return State(
        active=found.get("ActiveState", ""),
        sub=found.get("SubState", ""),
        restarts=int(restarts) if restarts.isdigit() else 0,
        invocation=found.get("InvocationID", ""),
        text=found.get("StatusText", ""),
        process=found.get("ExecMainPID", "0"),
    )


def stop() -> None:
    """Stopped when this returns; one that is not there is stopped."""
    commands.run(["systemctl", "stop", UNIT], timeout=STOP_S)
    if state().runs:
        raise Refused(f"{UNIT} does not stop: see systemctl status {UNIT}")


def start(timeout: float) -> Done:
    """Starts it and waits until it says that it is ready, failed once or the time is over."""
    return commands.run(["systemctl", "start", UNIT], timeout=timeout)


def restart_soon() -> None:
    """Asks for a start and waits for nothing: at boot this runs before the service may start."""
    _expect(["systemctl", "--no-block", "restart", UNIT])


def reload() -> None:
    _expect(["systemctl", "daemon-reload"])


def enable() -> None:
    _expect(["systemctl", "enable", UNIT])


def disable() -> None:
    commands.run(["systemctl", "disable", UNIT], timeout=CALL_S)


def wait_until_started(timeout: float) -> State:
    """The state when the start that was asked for has come to an end, or the time is over."""
    deadline = time.monotonic() + timeout
    while (now := state()).active in ("activating", "deactivating", "inactive") and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return now


def last_words(process: str) -> str:
    """The last line that a process of the service wrote, empty where nothing tells."""
    if not commands.there("journalctl"):
        return ""
    options = ("--lines=1", "--output=cat", "--no-pager", "--quiet", f"_PID={process}")
    return commands.run(["journalctl", "--unit", UNIT, *options], timeout=CALL_S).out.strip()[-300:]


def _expect(command: list[str]) -> None:
    done = commands.run(command, timeout=CALL_S)
    if done.code:
        raise Refused(f"{' '.join(command)} failed ({done.last}): is systemd running, and the unit in order?")
