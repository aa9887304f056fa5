"""Settings that clients change: checked as the file's are, applied to the running program, kept across restarts."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge.config import Config
from edge.configure import value_at, with_values
from edge.errors import ConfigError, EdgeError, StateError
from edge.rules.checks import check_rules
from edge.storage import set_aside, write_atomic

FILE = "settings.json"
MOST_SHOWN = 200  # characters of a value in a line for people
CHANGEABLE = (  # what can be replaced in the running program, and cannot lock its operator out
    "detector.score_threshold",
    "alerts.rules",
    "alerts.crime_relevant",
    "alerts.zones",
    "alerts.lines",
    "alerts.schedules",
    "alerts.time_zone",
    "alerts.max_lost_s",
    "video.max_fps",
    "video.quality",
    "video.annotated",
    "video.max_width",
)

TOGETHER = ("alerts.zones", "alerts.lines", "alerts.schedules", "alerts.rules")  # rules name what the others hold


class KeptSettings:
    """The settings in use: those of the start, under those that clients changed.

    ``start`` are the settings without changes, ``config`` those with them; ``warnings`` says, a line each, what was
    wrong with the kept file and what it changes.

    Synchronization: any thread may call any method; of two changes at once one is refused.
    """

    def __init__(self, start: Config, file: Path) -> None:
        self.start = self.config = start
        self.warnings: tuple[str, ...] = ()
        self._file = file
        self._values: dict[str, Any] = {}
        # Held for the whole of one change, the writing too; nobody waits for it.
        self._changing = threading.Lock()

    @property
    def changed(self) -> dict[str, Any]:
        """What clients changed, by key."""
        return dict(self._values)

    def change(self, values: Mapping[str, Any], apply: Callable[[Config], None]) -> None:
        """Check the values, keep them, and have them applied: all of them or, with an error, none.

        Raises ConfigError for what may not be changed or is wrong, StateError when it cannot be kept, and what
        ``apply`` raises.
        """
        for key in values:
            if key not in CHANGEABLE:
                raise ConfigError(f"{key}: cannot be changed so; changeable are {', '.join(CHANGEABLE)}")
        self._exclusively(lambda: self._commit({**self._values, **values}, apply))

    def reset(self, apply: Callable[[Config], None]) -> None:
        """Forget every change and have the settings of the start applied; raises as change does."""
        self._exclusively(lambda: self._commit({}, apply))

    def load(self, now: float) -> None:
        """Take over what the file holds; what is wrong with it goes to ``warnings``. ``now``: Unix time."""
        try:
            values = json.loads(self._file.read_bytes())
            if not isinstance(values, dict):
                raise ValueError("is no JSON object")
        except FileNotFoundError:
            return
        except OSError as error:
            self._warn(f"{self._file}: cannot be read: {error.strerror}; its changes are left out")
        except (ValueError, RecursionError) as error:
            self._put_away(error, now)
        else:
            self._load_values(values)
            self._warn_of_changes()

    def _exclusively(self, work: Callable[[], None]) -> None:
        if not self._changing.acquire(blocking=False):
            raise EdgeError("the settings are being changed by somebody else; ask again")
        try:
            work()
        finally:
            self._changing.release()

    def _commit(self, values: dict[str, Any], apply: Callable[[Config], None]) -> None:
        config = _checked(self.start, values, "set_config")
        self._write(values)
        try:
            apply(config)
        except EdgeError:
            self._write(self._values)
            raise
        self._values = {key: value_at(config, key) for key in values}
        self.config = config

    def _write(self, values: dict[str, Any]) -> None:
        content = json.dumps(values, indent=2, allow_nan=False).encode()
        try:
            write_atomic(self._file, content)
        except OSError as error:
            raise StateError(f"{self._file}: cannot be written: {error.strerror}; nothing was changed") from error

    def _load_values(self, values: dict[str, Any]) -> None:
        """Take over what is valid; those of TOGETHER at once or, where that cannot be, one by one, the rules last."""
        group = {key: values[key] for key in TOGETHER if key in values}
        try:
            self.config = _checked(self.config, group, str(self._file))
        except ConfigError:
            group = {}
        self._values.update(group)
        for key in sorted(values, key=lambda key: key == "alerts.rules"):
            if key not in group:
                self._load_one(key, values[key])
        self._values = {key: self._values[key] for key in values if key in self._values}

    def _load_one(self, key: str, value: Any) -> None:
        if key not in CHANGEABLE:
            self._warn(f"{self._file}: {key}: cannot be changed so; it is left out")
            return
        try:
            self.config = _checked(self.config, {key: value}, str(self._file))
        except ConfigError as error:
            self._warn(f"{error}; it is left out")
        else:
            self._values[key] = value

    def _warn_of_changes(self) -> None:
        """Who reads the config file alone would take its values for those in use."""
        for key in self._values:
            kept, given = value_at(self.config, key), value_at(self.start, key)
            if kept != given:
                self._warn(
                    f"kept change (set_config): {key} = {_shown(kept)} instead of {_shown(given)}; "
                    f"clear with the command reset_config or delete {self._file}"
                )

    def _put_away(self, error: Exception, now: float) -> None:
        try:
            aside = set_aside(self._file, now)
            self._warn(f"{self._file}: is damaged ({error}); its changes are left out, and it is now {aside.name}")
        except StateError as refused:
            self._warn(str(refused))

    def _warn(self, line: str) -> None:
        self.warnings += (line,)


def kept_settings(start: Config, folder: Path) -> KeptSettings:
    """The settings of the start with the changes kept in the state folder ``folder``; never raises for those."""
    kept = KeptSettings(start, folder / FILE)
    kept.load(time.time())
    return kept


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def _checked(config: Config, values: Mapping[str, Any], origin: str) -> Config:
    changed = with_values(config, values, origin)
    try:
        check_rules(changed.alerts.rules)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from error
    return changed
