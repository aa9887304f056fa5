"""How an action goes: its steps with their times, notes, and the one object that tells the end of it."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator
from typing import Any

DONE, REFUSED, USAGE, ROLLED_BACK = 0, 1, 2, 3


class Refused(Exception):
    """The action cannot be done; one line: what is wrong, then what to do."""


@dataclasses.dataclass
class Step:
    """One step; ``text`` is what is worth knowing of it, also when it failed."""

    name: str
    ok: bool = False
    seconds: float = 0.0
    text: str = ""


class Outcome:
    """Of one action, told as it goes to people on stderr. Synchronization: none, one thread has it."""

    def __init__(self, action: str, release: str | None = None) -> None:
        self.action = action
        self.ok = False
        self.changed = False
        self.release = release
        self.previous: str | None = None
        self.rolled_back = False
        self.reason = ""
        self.steps: list[Step] = []
        self.notes: list[str] = []
        self.began = time.time()
        self.ended: float | None = None

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """A step that is told at its end, failed where it ends by an exception; fill in its ``text``."""
        step = Step(name)
        self.steps.append(step)
        began = time.monotonic()
        try:
            yield step
            step.ok = True
        except Refused as refusal:
            step.text = str(refusal)
            raise
        finally:
            step.seconds = round(time.monotonic() - began, 2)
            say(f"  {step.name:<10} {'ok' if step.ok else 'FAILED':<6} {step.seconds:6.1f} s  {step.text}".rstrip())

    def note(self, text: str) -> None:
        if text and text not in self.notes:
            self.notes.append(text)
            say(f"  note: {text}")

    def end(self) -> None:
        self.ended = time.time()

    def document(self) -> dict[str, Any]:
        """The object that --json prints and outcome.json keeps; ``ended`` is null as long as the action goes on."""
        fields = ("action", "ok", "changed", "release", "previous", "rolled_back", "reason", "notes", "began", "ended")
        return {
            **{name: getattr(self, name) for name in fields},
            "steps": [dataclasses.asdict(step) for step in self.steps],
        }


def say(line: str) -> None:
    """A line for people; a closed stderr (the ssh session is gone) ends nothing."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
