"""What the tests of the outbox share."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge import config
from edge.outbox.outbox import Outbox
from edge.types import Alert, StoredAlert
from tests.support import wait_until

NOON = 1_760_000_000.0


def alert(number: int, timestamp: float = NOON, **changes: Any) -> Alert:
    """The alert with this number, which its ``frame_id`` and ``event_uid`` carry."""
    values: dict[str, Any] = {
        "alert_id": f"alert_{int(timestamp // 1)}",
        "timestamp": timestamp,
        "camera_id": "main",
        "rule": "armed person",
        "threat_level": "critical",
        "confidence": 0.95,
        "threat_types": ("knife", "person"),
        "location": (640, 360),
        "detection_count": 1,
        "frame_id": number,
        "event_uid": f"event-{number}",
        "tracks": (3,),
    }
    return Alert(**(values | changes))


class Told:
    """Keeps what an outbox tells."""

    def __init__(self) -> None:
        self.stored: list[StoredAlert] = []
        self.batches: list[int] = []
        self.states: list[tuple[str, str]] = []
        self.threads: set[str] = set()

    def on_stored(self, batch: Sequence[StoredAlert]) -> None:
        self.stored.extend(batch)
        self.batches.append(len(batch))
        self.threads.add(threading.current_thread().name)

    def on_state(self, state: str, reason: str) -> None:
        self.states.append((state, reason))

    @property
    def state(self) -> str:
        return self.states[-1][0] if self.states else ""

    @property
    def reason(self) -> str:
        return self.states[-1][1] if self.states else ""

    @property
    def seqs(self) -> list[int]:
        return [each.seq for each in self.stored]

    @property
    def numbers(self) -> list[int]:
        return [each.alert.frame_id for each in self.stored]


@contextmanager
def running(folder: Path, told: Told | None = None, *, wait: bool = True, **options: Any) -> Iterator[Outbox]:
    """A started outbox, closed at the end; its thread must have lived until then."""
    told = told or Told()
    settings = options.pop("settings", config.Outbox())
    defaults: dict[str, Any] = {"machine_id": "this", "synchronised": lambda: True, "clock": lambda: NOON}
    deaths: list[object] = []
    outbox = Outbox(
        folder, settings, on_stored=told.on_stored, on_state=told.on_state, on_death=deaths.append, **defaults | options
    )
    started = outbox.start(10.0)
    try:
        if wait:
            assert started, told.states
        yield outbox
    finally:
        outbox.stop()
        assert outbox.join(10.0)
        assert not deaths


def store(outbox: Outbox, told: Told, alerts: Sequence[Alert]) -> None:
    """Append them, not more at once than may wait, and wait until they are on disk."""
    expected = len(told.stored)
    for start in range(0, len(alerts), 1000):
        for each in alerts[start : start + 1000]:
            outbox.append(each)
        expected += len(alerts[start : start + 1000])
        wait_until(lambda: len(told.stored) == expected)  # noqa: B023 - called at once


def everything(outbox: Outbox, page: int = 100) -> list[StoredAlert]:
    """All that it holds, page by page, each seq one above the one before."""
    found: list[StoredAlert] = []
    while batch := outbox.read(found[-1].seq if found else 0, page):
        assert not found or batch[0].seq == found[-1].seq + 1
        found.extend(batch)
    assert [each.seq for each in found] == list(range(found[0].seq, found[-1].seq + 1)) if found else True
    return found
