"""Try a model, a runtime and a delegate together in a child process first.

A delegate that does not fit its runtime ends the process that loads it, and so does tflite-runtime on a damaged file:
no Python code can catch that. A child that does the same first costs a fraction of a second, and dies alone.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from edge.errors import DelegateError, EdgeError, ModelError, RuntimeMissing
from edge.inference.runtime import Engine, Job

LIMIT_S = 30.0  # an Edge TPU on USB needs 3 s to start; vx compiles the model for tens of seconds
KILLED_WITHIN_S = 1.0  # a child that hangs in a driver may outlive its kill: it is then left behind
REASON = "reason: "
_KINDS: tuple[type[EdgeError], ...] = (DelegateError, ModelError, RuntimeMissing)
_PDEATHSIG = 1  # prctl's PR_SET_PDEATHSIG


def try_out(job: Job, limit_s: float = LIMIT_S) -> None:
    """Open the job's model and invoke it once, in a spawned child, within ``limit_s`` seconds.

    Raises what Engine raises; a crash or a hang is a DelegateError, without a delegate a ModelError.
    """
    home = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", __name__, json.dumps(dataclasses.asdict(job)), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=os.environ | {"PYTHONPATH": path},
        )
        code = _wait(child, limit_s)
        if code != 0:
            raise _error(job, code, _read(said), limit_s)


def _wait(child: subprocess.Popen[bytes], limit_s: float) -> int | None:
    """The child's exit code, None when its time ran out."""
    try:
        return child.wait(limit_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if child.poll() is None:
            child.kill()
            _reap(child)


def _reap(child: subprocess.Popen[bytes]) -> None:
    try:
        child.wait(KILLED_WITHIN_S)
    except subprocess.TimeoutExpired:
        child.returncode = -signal.SIGKILL  # it is the kernel's now; nobody here waits for it again


def _read(said: IO[bytes]) -> str:
    said.seek(0)
    return said.read(65536).decode(errors="replace")


def _error(job: Job, code: int | None, said: str, limit_s: float) -> EdgeError:
    for line in said.splitlines():
        if line.startswith(REASON):
            kind, _, reason = line.removeprefix(REASON).partition(" ")
            return next((each for each in _KINDS if each.__name__ == kind), ModelError)(reason)
    how = f"did not answer within {limit_s:g} s" if code is None else f"crashed ({_death(code)})"
    if job.delegate:
        return DelegateError(f"delegate {job.delegate}: {how} when tried with {job.runtime} and model {job.model}")
    return ModelError(f"model {job.model}: {job.runtime} {how} on it: it is damaged; copy or pull it again")


def _death(code: int) -> str:
    try:
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:
        return f"signal {-code}"


def _die_with_parent(parent: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)


def main(arguments: list[str]) -> int:
    """The child: ``job-as-json parent-pid``; exit code 0 when the job runs, else 1 and the reason on stdout."""
    _die_with_parent(int(arguments[1]))
    try:
        Engine(Job(**json.loads(arguments[0]))).run_blank()
    except EdgeError as error:
        sys.stdout.write(f"\n{REASON}{type(error).__name__} {error}\n")
        sys.stdout.flush()
        os._exit(1)  # not through the delegate's own clean-up, which may crash in turn
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
