"""How each part of the device is, in one place: for the health message and the status command."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias, get_args

from edge.types import Result

Component: TypeAlias = Literal["camera", "detector", "outbox", "buzzer", "evidence", "clock"]
COMPONENTS: tuple[Component, ...] = get_args(Component)
State: TypeAlias = Literal["ok", "degraded", "failed", "off"]
Components: TypeAlias = Mapping[str, Mapping[str, str]]  # name to {"state": ..., "reason": ...}


class HealthBoard:
    """Keeps each component's state; ``on_change`` is told all of them when one has changed.

    ``on_change`` is called by a thread that sets, one call at a time, outside the lock, and must not block. When
    several threads set at once it is not called for each, but its last call has the newest states.

    Synchronization: any thread may call any method.
    """

    def __init__(self, on_change: Callable[[Components], None] | None = None) -> None:
        self._on_change = on_change
        # Guards everything below. An entry is replaced, never written to, so that what was told does not change.
        self._lock = threading.Lock()
        self._components: dict[str, Mapping[str, str]] = {
            name: {"state": "off", "reason": "not started"} for name in COMPONENTS
        }
        self._untold = False
        self._telling = False

    def set(self, component: Component, state: State, reason: str = "") -> None:
        """The component is in this state from now on; ``reason`` is one line for a person."""
        entry = {"state": state, "reason": reason}
        with self._lock:
            if self._components[component] == entry:
                return
            self._components[component] = entry
            self._untold = True
            if self._telling:
                return  # whoever is telling tells of this too
            self._telling = True
        self._tell()

    def components(self) -> Components:
        """All the states now."""
        with self._lock:
            return dict(self._components)

    def observe(self, result: Result) -> None:
        """A sink of the pipeline: what a result says about camera and detector."""
        if result.status == "blind":
            self.set("camera", "failed", result.reason)
            return
        self.set("camera", "ok")
        if result.status == "degraded":
            self.set("detector", "degraded", result.reason)
        else:
            self.set("detector", "ok")

    def _tell(self) -> None:
        try:
            while (components := self._news()) is not None:
                if self._on_change is not None:
                    self._on_change(components)
        except BaseException:
            with self._lock:
                self._telling = False
            raise

    def _news(self) -> Components | None:
        """What is to be told; None, and the telling is over, when all is told."""
        with self._lock:
            if not self._untold:
                self._telling = False
                return None
            self._untold = False
            return dict(self._components)
