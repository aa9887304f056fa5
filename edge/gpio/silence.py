"""What keeps a buzzer quiet: a person's silence, quiet times of the settings, what a person has acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge.config import Alerts
from edge.rules.times import Schedules

LONGEST_SILENCE_S = 86400.0  # nobody remembers for longer that the buzzer was silenced
MOST_EVENTS = 256  # that are open at once; the oldest is forgotten, which at worst is heard once more


class Silence:
    """Asked for by a person, for a time. A later one replaces it.

    Synchronization: none; its owner guards it.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._by = ""
        self._until = float("-inf")

    def begin(self, seconds: float, by: str, now: float) -> None:
        """Silence from ``now`` on, for at most LONGEST_SILENCE_S; ``by`` says who asked: a command, the button."""
        self._seconds, self._by = min(seconds, LONGEST_SILENCE_S), by
        self._until = now + self._seconds

    def end(self) -> None:
        self._until = float("-inf")

    def left(self, now: float) -> float:
        """Seconds that it still lasts; 0 when there is none."""
        return max(0.0, self._until - now)

    def told(self, now: float) -> str:
        """In words, which stay the same as long as it lasts; empty when there is none."""
        return f"silenced for {self._seconds:.0f} s by {self._by}" if self.left(now) else ""


class Events:
    """Events that go on: how high each has risen, whether a person has acknowledged that, and which are not heard yet.

    Synchronization: none; its owner guards it.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, bool]] = {}  # at most MOST_EVENTS, the oldest first
        self._held: dict[str, int] = {}  # some of these, with their rank: they wait for the end of a cooldown

    def rise(self, uid: str, rank: int) -> bool:
        """The event has this rank (of a level in edge.types.LEVELS); False when a person knows of it already."""
        known, acknowledged = self._known.get(uid, (-1, False))
        if acknowledged and rank <= known:
            return False
        self._known[uid] = (max(rank, known), False)
        if len(self._known) > MOST_EVENTS:
            self.over(next(iter(self._known)))
        return True

    def over(self, uid: str) -> None:
        self._known.pop(uid, None)
        self._held.pop(uid, None)

    def hold(self, uid: str, rank: int) -> None:
        """It is to be heard later, if it still goes on then; it was told by ``rise`` before."""
        self._held[uid] = rank

    @property
    def holding(self) -> bool:
        """Whether one of them is to be heard later."""
        return bool(self._held)

    def release(self) -> int:
        """The highest rank of those that were to be heard later, of which there are none now; -1 where none was."""
        held, self._held = self._held, {}
        return max(held.values(), default=-1)

    def acknowledge(self) -> None:
        """A person knows of all of them, as high as they are now."""
        self._held = {}
        self._known = {uid: (rank, True) for uid, (rank, _) in self._known.items()}


class QuietTimes:
    """Tells which of the schedules ``names`` holds now.

    ``alerts`` gives the settings with the schedules, which may be others from call to call; ``wall`` gives Unix time,
    None while it cannot be believed.

    Synchronization: any thread may call it.
    """

    def __init__(self, names: Sequence[str], alerts: Callable[[], Alerts], wall: Callable[[], float | None]) -> None:
        self._names = tuple(names)
        self._alerts = alerts
        self._wall = wall
        self._known = _read(alerts())  # replaced as a whole

    def __call__(self) -> str:
        """The first that holds; empty where none does, and while the time is not known: then a buzzer is heard."""
        now = self._wall() if self._names else None
        if now is None:
            return ""
        alerts, (known, schedules) = self._alerts(), self._known
        if alerts is not known:
            self._known = known, schedules = _read(alerts)
        holding = schedules.holding(now)
        return next((name for name in self._names if name in holding), "")


def _read(alerts: Alerts) -> tuple[Alerts, Schedules]:
    return alerts, Schedules(alerts.schedules, alerts.time_zone)
