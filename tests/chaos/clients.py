"""The clients of a storm, each a process that prints what it gives to its application."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from tests.chaos.verdict import Given, Life

ROOT = Path(__file__).resolve().parents[2]
NODE_CLIENT = ROOT / "deploy" / "nestjs" / "dist" / "test" / "chaos-client.js"
PYTHON_CLIENT = ROOT / "tests" / "bench" / "chaos_client.py"
KINDS = ("python", "node", "witness")


def missing(kind: str) -> str:
    """Why this client cannot run here; empty where it can."""
    if kind == "node" and shutil.which("node") is None:
        return "there is no node"
    if kind == "node" and not NODE_CLIENT.exists():
        return "deploy/nestjs is not built: npm ci && npm run build"
    return ""


def _command(kind: str, host: str, port: int, folder: Path) -> list[str]:
    if kind == "node":
        return ["node", str(NODE_CLIENT), host, str(port), str(folder)]
    module = "tests.bench.chaos_client" if kind == "python" else "tests.chaos.witness"
    return [sys.executable, "-m", module, host, str(port), str(folder / "cursor"), f"chaos-{kind}"]


def finish(process: subprocess.Popen[Any]) -> None:
    """Tell it by its stdin to end; kill it where it does not."""
    cast("IO[Any]", process.stdin).close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _after(folder: Path) -> int:
    """The number in the cursor file, whoever wrote it; 0 where there is none."""
    numbers = [0]
    for file in folder.glob("*"):
        if file.suffix not in (".new", ".tmp", ".part"):  # what a kill left half done
            numbers += _numbers(json.loads(file.read_text()))
    return max(numbers)


def _numbers(tree: Any) -> list[int]:
    if not isinstance(tree, dict):
        return []
    here = [int(tree[name]) for name in ("seq", "after") if isinstance(tree.get(name), int)]
    return here + [number for value in tree.values() for number in _numbers(value)]


class Client:
    """One that is started again after each kill; ``lives`` holds what each of its runs gave.

    Synchronization: one thread, apart from the reading of its lines.
    """

    def __init__(self, kind: str, address: tuple[str, int], folder: Path, log: Path) -> None:
        self._command = _command(kind, *address, folder)
        self._folder = folder
        self._log = log.open("a")
        self._lock = threading.Lock()  # guards _seen and what is in _lives
        self._seen: set[str] = set()
        self._lives: list[tuple[int, list[Given]]] = []
        self._start()

    @property
    def events(self) -> int:
        """How many different events were given."""
        with self._lock:
            return len(self._seen)

    @property
    def lives(self) -> list[Life]:
        with self._lock:
            return [Life(tuple(given), after) for after, given in self._lives]

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End it without a word and start it again."""
        self._process.kill()
        cast("IO[str]", self._process.stdin).close()
        self._process.wait()
        self._reader.join()
        self._start()

    def close(self) -> None:
        finish(self._process)
        self._reader.join()
        self._log.close()

    def _start(self) -> None:
        given: list[Given] = []
        with self._lock:
            self._lives.append((_after(self._folder), given))
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, cwd=ROOT
        )
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout, given.append), daemon=True)
        self._reader.start()

    def _read(self, lines: IO[str], keep: Callable[[Given], None]) -> None:
        with lines:
            for line in lines:
                if not line.endswith("\n"):
                    return  # cut off by a kill
                given = json.loads(line)
                with self._lock:
                    keep(given)
                    self._seen.add(given["event_uid"])
