"""The one place that runs other programs: by name, with a bounded time and a clean environment."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence

from .outcome import Refused

KEPT = ("PATH", "HOME", "TERM", "TZ", "DBUS_SYSTEM_BUS_ADDRESS")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclasses.dataclass(frozen=True)
class Done:
    """How a program ended; ``late`` when it was stopped because its time was over."""

    code: int
    out: str
    err: str
    late: bool = False

    @property
    def last(self) -> str:
        """The last line it wrote, of stderr before stdout: most often why it failed."""
        lines = [line.strip() for text in (self.out, self.err) for line in text.splitlines() if line.strip()]
        return lines[-1][:400] if lines else f"it ended with code {self.code} and no word"


def there(name: str) -> bool:
    """Whether a program of that name can be run."""
    return shutil.which(name, path=_path()) is not None


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    timeout: float,
    given: bytes = b"",
    extra: dict[str, str] | None = None,
    cwd: str | os.PathLike[str] = "/",
) -> Done:
    """Runs a program to its end, at most ``timeout`` seconds, then it is killed with all that it started.

    Raises Refused where there is no such program. ``given`` is its standard input, ``extra`` its extra environment.
    """
    environ = {name: os.environ[name] for name in KEPT if name in os.environ}
    environ.update({"LC_ALL": "C.UTF-8", "PATH": _path(), "PYTHONNOUSERSITE": "1", **(extra or {})})
    try:
        process = subprocess.Popen(  # noqa: S603 - no shell; every name and path is this installer's own
            [os.fspath(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as exc:
        raise Refused(f"{os.fspath(command[0])} cannot be run ({exc.strerror}): install it") from exc
    with process:
        try:
            out, err = process.communicate(given, timeout=timeout)
            late = False
        except subprocess.TimeoutExpired:
            _kill(process)
            out, err = process.communicate()
            late = True
        except BaseException:
            _kill(process)
            raise
    return Done(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"), late)


def _path() -> str:
    return os.environ.get("PATH") or PATH


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
