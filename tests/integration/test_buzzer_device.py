"""Buzzer, status LED and silence button on a whole device: what it saw, no backend, a full disk, a restart."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from gpiozero.pins.mock import MockFactory

from edge.app import App
from edge.catalog import Catalog
from edge.config import Config
from edge.configure import load_config
from edge.errors import CaptureError, ConfigError
from tests.mounts import fill, run_with_own_mounts, small_disk
from tests.support import wait_until

BUZZER, LED, BUTTON = 17, 27, 22
PINS = (f"gpio.status_led.pin={LED}", f"gpio.silence_button.pin={BUTTON}")
ONCE = ("gpio.patterns.critical.on_s=0.05", "gpio.patterns.critical.repeats=1")
LONG = ("gpio.patterns.critical.on_s=60", "gpio.longest_on_s=60")
SOMEBODY = (  # is to be seen in the scene most of the time, and so this event goes on and on
    'alerts.rules=[{name = "somebody", level = "critical", any = ["person"], hold_hits = 2, hold_frames = 3, '
    "min_confidence = 0.3, resolve_after_s = 3600.0}]"
)
ALWAYS = 'alerts.schedules=[{name = "always", times = ["00:00-24:00"]}]'
RISES = (
    'alerts.rules=[{name = "somebody", level = "medium", any = ["person"], hold_hits = 2, hold_frames = 3, '
    'min_confidence = 0.3, resolve_after_s = 3600.0, escalate = [{after_s = 1.0, level = "critical"}]}]'
)


def settings(folder: Path, *overrides: str) -> Config:
    fixed = (
        f"storage.state_dir={folder}",
        "listeners.0.host=127.0.0.1",
        "listeners.0.port=0",
        "device.id=bench",
        "camera.unpaced=true",
        "camera.width=640",
        "camera.height=360",
    )
    return load_config(None, {}, [*fixed, *overrides])


@contextmanager
def device(folder: Path, factory: MockFactory, *overrides: str) -> Iterator[App]:
    app = App(settings(folder, *overrides), pin_factory=factory)
    app.start(Catalog.load().resolve("bundled", "", folder))
    try:
        yield app
    finally:
        assert app.stop() == 0


def levels(factory: MockFactory, pin: int) -> list[bool]:
    return [bool(state.state) for state in factory.pin(pin).states]


def sounded(app: App, count: int) -> bool:
    return app.buzzer is not None and app.buzzer.state.soundings == count and not app.buzzer.state.sounding


def test_what_went_on_before_a_restart_makes_no_sound(tmp_path: Path) -> None:
    first, second = MockFactory(), MockFactory()
    with device(tmp_path, first, SOMEBODY, *ONCE) as app:
        wait_until(lambda: sounded(app, 1), 60)
    assert levels(first, BUZZER) == [False, True, False]
    with device(tmp_path, second, SOMEBODY, *ONCE) as app:
        wait_until(lambda: app.tally.figures().frames > 150 and app.tally.figures().detections, 60)
        assert app.tally.figures().alerts == 0
    assert levels(second, BUZZER) == [False]
    fresh = MockFactory()
    with device(tmp_path / "another state", fresh, SOMEBODY, *ONCE) as app:
        wait_until(lambda: sounded(app, 1), 60)
    assert levels(fresh, BUZZER) == [False, True, False], "the same sight is news where nothing went on before"


def test_an_acknowledged_event_is_heard_once_more_when_it_rises(tmp_path: Path) -> None:
    factory = MockFactory()
    patterns = ("gpio.patterns.medium.on_s=60", "gpio.patterns.medium.repeats=1", "gpio.cooldown_s=0", *LONG)
    with device(tmp_path, factory, RISES, *patterns, *PINS) as app:
        wait_until(lambda: app.buzzer and app.buzzer.state.level == "medium" and factory.pin(BUZZER).state, 60)
        factory.pin(BUTTON).drive_low()
        factory.pin(BUTTON).drive_high()
        wait_until(lambda: app.buzzer and app.buzzer.state.level == "critical" and factory.pin(BUZZER).state, 60)
        assert app.buzzer is not None
        app.buzzer.acknowledge()
        wait_until(lambda: sounded(app, 2))
        frames = app.tally.figures().frames
        wait_until(lambda: app.tally.figures().frames > frames + 50, 60)
    assert levels(factory, BUZZER) == [False, True, False, True, False]


@pytest.mark.parametrize("exempt", [True, False])
def test_in_a_quiet_time_only_exempt_levels_are_heard(tmp_path: Path, exempt: bool) -> None:
    factory = MockFactory()
    quiet = (ALWAYS, 'gpio.quiet=["always"]', f"gpio.quiet_exempt={['critical'] if exempt else []}")
    with device(tmp_path, factory, SOMEBODY, *ONCE, *quiet) as app:
        assert app.board.components()["buzzer"] == {"state": "ok", "reason": "quiet time always"}
        wait_until(lambda: app.tally.figures().alerts == 1, 60)
        wait_until(lambda: sounded(app, int(exempt)))
    assert levels(factory, BUZZER) == [False, *([True, False] if exempt else [])]


def test_while_the_clock_cannot_be_believed_there_is_no_quiet_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.clock.believable", lambda *_: False)
    factory = MockFactory()
    with device(tmp_path, factory, SOMEBODY, *ONCE, ALWAYS, 'gpio.quiet=["always"]', "gpio.quiet_exempt=[]") as app:
        wait_until(lambda: sounded(app, 1), 60)
    assert levels(factory, BUZZER) == [False, True, False]


def test_the_light_tells_how_the_device_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    factory = MockFactory()
    lamp = factory.pin(LED)
    shown: list[str] = []
    with device(tmp_path, factory, *PINS, "alerts.rules=[]", "camera.retry_min_s=0.01") as app:
        wait_until(lambda: lamp.state)
        show = app._led.show
        monkeypatch.setattr(app._led, "show", lambda sign: (shown.append(sign), show(sign)))
        monkeypatch.setattr(app.source, "read", blind)
        wait_until(lambda: shown[-1:] == ["failed"], 30)
        wait_until(lambda: len(lamp.states) > 6)
    assert levels(factory, LED)[-1] is False, "off: it does not run"
    assert factory.pin(LED).function == "input"
    assert levels(factory, BUZZER) == [False]


def blind(*_: object) -> None:
    time.sleep(0.01)
    raise CaptureError("no picture")


def test_one_pin_for_two_things_starts_nothing(tmp_path: Path) -> None:
    app = App(settings(tmp_path, "gpio.status_led.pin=GPIO17"), pin_factory=MockFactory())
    with pytest.raises(ConfigError, match=r"^gpio\.buzzer_pin \(17\) and gpio\.status_led\.pin \(GPIO17\) are both"):
        app.start(Catalog.load().resolve("bundled", "", tmp_path))


def on_a_full_disk(folder: Path) -> None:
    """The state folder is full from the start, nobody is connected: the alarm is heard all the same."""
    small_disk(folder)
    fill(folder)
    factory = MockFactory()
    with device(folder, factory, SOMEBODY, *ONCE, *PINS) as app:
        assert app.hub.clients() == 0
        wait_until(lambda: sounded(app, 1), 60)
        assert app.board.components()["outbox"]["state"] == "failed"
    assert levels(factory, BUZZER) == [False, True, False]


def test_the_buzzer_needs_neither_a_backend_nor_room_on_the_disk(tmp_path: Path) -> None:
    run_with_own_mounts("tests.integration.test_buzzer_device", str(tmp_path))


if __name__ == "__main__":
    on_a_full_disk(Path(sys.argv[1]))
