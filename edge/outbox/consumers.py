"""The consumers' names and how far each has come, kept in memory and written to disk now and then."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

MAX_CONSUMERS = 16  # each may hold back what age would remove
MAX_OF_ONE = 8  # of one owner: a client alone cannot lock out the others
MAX_LEFT = 64  # who were forgotten; beyond it the one that was forgotten first is a stranger when it comes back


@dataclass(frozen=True, slots=True)
class Consumer:
    """``acked`` is the highest seq that it acknowledged; times are Unix, 0 where the clock could not be believed.

    ``name`` is OWNER/NAME: who named it, and how.
    """

    name: str
    acked: int
    first_seen: float
    last_seen: float

    @property
    def owner(self) -> str:
        return _owner(self.name)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All consumers at one moment, to be written as one."""

    version: int
    consumers: tuple[Consumer, ...]


class Consumers:
    """At most MAX_CONSUMERS, MAX_OF_ONE of each owner; one more finds no place until another is forgotten.

    Who was forgotten and comes back begins where it was: it gets what it never had, or is told how much is gone.

    Synchronization: any method from any thread; none blocks.
    """

    def __init__(self) -> None:
        # Guards _known, _left, _version and _saved.
        self._lock = threading.Lock()
        self._known: dict[str, Consumer] = {}
        self._left: dict[str, int] = {}  # what each of those that were forgotten had acknowledged, the latest last
        self._version = 0  # of what is in memory
        self._saved = 0  # of what is on disk

    def load(
        self, stored: Iterable[Consumer], newest: int, *, new_stream: bool, left: Mapping[str, int] | None = None
    ) -> None:
        """Add what the disk holds; ``left``: who was forgotten, and what each had acknowledged.

        In a ``new_stream`` who was known before begins at its first alert.
        """
        with self._lock:
            self._left = dict(left or {})
            if new_stream:
                self._known = {name: replace(known, acked=0) for name, known in self._known.items()}
                self._version += bool(self._known)
            for consumer in stored:
                known = self._known.get(consumer.name)
                if known is None and len(self._known) >= MAX_CONSUMERS:
                    continue
                acked = min(max(consumer.acked, known.acked if known else 0), newest)
                self._known[consumer.name] = replace(known or consumer, acked=acked)

    def register(self, name: str, start: int, seen: float) -> int | None:
        """Its ack, where it is known; a new one gets ``start``, one that was forgotten no more than it acknowledged;
        None when there is no place."""
        with self._lock:
            known = self._known.get(name)
            if known is None and not self._room(_owner(name)):
                return None
            known = known or Consumer(name, min(start, self._left.pop(name, start)), seen, seen)
            self._put(replace(known, last_seen=seen or known.last_seen))
            return known.acked

    def acknowledge(self, name: str, seq: int, seen: float) -> bool:
        """Note it, if it is higher than what was noted; False when nobody has that name."""
        with self._lock:
            known = self._known.get(name)
            if known is None:
                return False
            if seq > known.acked:
                self._put(replace(known, acked=seq, last_seen=seen or known.last_seen))
            return True

    def settle(self, now: float, unseen_since: float) -> dict[str, int]:
        """With a clock that is right: date who was seen without one, forget who was unseen for long; what those had
        acknowledged."""
        with self._lock:
            forgotten = {each.name: each.acked for each in self._known.values() if 0 < each.last_seen < unseen_since}
            for name in forgotten:
                del self._known[name]
                self._version += 1
            self._left = dict([*self._left.items(), *forgotten.items()][-MAX_LEFT:])
            for known in [known for known in self._known.values() if not known.last_seen]:
                self._put(replace(known, first_seen=known.first_seen or now, last_seen=now))
            return forgotten

    def acked(self) -> dict[str, int]:
        with self._lock:
            return {name: known.acked for name, known in self._known.items()}

    def lowest(self) -> int | None:
        """What every known consumer has acknowledged; None when none is known."""
        with self._lock:
            return min((known.acked for known in self._known.values()), default=None)

    @property
    def dirty(self) -> bool:
        with self._lock:
            return self._version != self._saved

    def snapshot(self) -> Snapshot:
        with self._lock:
            return Snapshot(self._version, tuple(self._known.values()))

    def saved(self, snapshot: Snapshot) -> None:
        """``snapshot`` is on disk."""
        with self._lock:
            self._saved = snapshot.version

    def _room(self, owner: str) -> bool:
        """Under the lock."""
        of_one = sum(known.owner == owner for known in self._known.values())
        return len(self._known) < MAX_CONSUMERS and of_one < MAX_OF_ONE

    def _put(self, consumer: Consumer) -> None:
        """Under the lock."""
        if self._known.get(consumer.name) != consumer:
            self._known[consumer.name] = consumer
            self._version += 1


def _owner(name: str) -> str:
    return name.rpartition("/")[0]  # the last: an owner's name may have one too
