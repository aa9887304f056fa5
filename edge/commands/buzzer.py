"""``preact-edge buzzer``: try its wiring, and turn off what a killed program left on.

Nothing is imported that it can do without: a siren may be waiting for it.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from edge.config import Config, Gpio
from edge.configure import load_config, salvage
from edge.errors import ConfigError, EdgeError, PinError
from edge.gpio.pins import open_factory, open_output, without_pins
from edge.paths import expand
from edge.storage import state_dir
from edge.types import ThreatLevel
from edge.workers import Worker

if TYPE_CHECKING:
    from gpiozero.pins import Factory

LATE_S = 5.0  # a sounding that is not over so long after its time hangs
RUNS = (
    "preact-edge runs and holds its pins, and turns them off itself when it ends; for quiet now use the button or a "
    'client\'s command buzzer {"acknowledge": true}; else stop it first, for example with systemctl stop preact-edge'
)


def run(args: argparse.Namespace) -> int:
    """0 done, also where this machine has no pins to turn off; raises an EdgeError.

    Settings that are wrong end it too, but after ``off`` has tried with what of them can be read.
    """
    given = args.config or os.environ.get("PREACT_EDGE_CONFIG")
    path = expand(given) if given else None
    try:
        config = load_config(path, os.environ, args.overrides)
    except ConfigError:
        if args.action == "off":
            _off_in_need(salvage("gpio", path, os.environ, args.overrides).gpio)
        raise
    try:
        return _off(config.gpio) if args.action == "off" else _sound(config.gpio, getattr(args, "level", None))
    except PinError as error:
        raise PinError(f"{error}; {RUNS}" if _runs(config, error) else str(error)) from error


def _off(gpio: Gpio) -> int:
    """Buzzer and status LED: each is tried, whatever becomes of the other."""
    if reason := without_pins(gpio.factory, chip=gpio.chip):
        print(f"nothing to turn off: {reason}")
        return 0
    outputs = [("buzzer", "buzzer_pin", gpio.buzzer_pin, gpio.active_high)]
    if gpio.status_led.pin != "":
        outputs.append(("status LED", "status_led.pin", gpio.status_led.pin, gpio.status_led.active_high))
    factory, problems = _factory(gpio), []
    try:
        for name, key, pin, active_high in outputs:
            try:
                open_output(factory, pin, active_high=active_high).close()
                print(f"{name} on pin {pin}: off")
            except PinError as error:
                problems.append(f"{name}: gpio.{key}: {error}")
    finally:
        factory.close()
    if problems:
        raise PinError("; ".join(problems))
    return 0


def _off_in_need(gpio: Gpio) -> None:
    """Off, although the settings are wrong: a siren that sounds on is worse than a pin that was not meant."""
    print("the settings are wrong; what can be read of [gpio] counts, and else its defaults:")
    try:
        _off(gpio)
    except PinError as error:
        print(error)


def _sound(gpio: Gpio, level: ThreatLevel | None) -> int:
    """The level's pattern, or a short beep; the pin is off at the end, and after Ctrl-C, SIGTERM and SIGHUP."""
    from edge.gpio.buzzer import Buzzer

    over, deaths = threading.Event(), list[Worker]()

    def on_change(sounding: bool) -> None:
        if not sounding:
            over.set()

    def on_death(worker: Worker) -> None:
        deaths.append(worker)
        over.set()

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    factory = _factory(gpio)
    try:
        try:
            buzzer = Buzzer(gpio, pin_factory=factory, on_change=on_change, on_death=on_death)
        except PinError as error:
            raise PinError(f"gpio.buzzer_pin: {error}") from error
        try:
            if refusal := buzzer.test() if level is None else buzzer.sound(level):
                raise EdgeError(refusal)
            print(f"buzzer on pin {gpio.buzzer_pin}: {level or 'test'} ...", flush=True)
            buzzer.start()
            over.wait(gpio.longest_on_s + LATE_S)
        finally:
            buzzer.close()
    finally:
        factory.close()
    if deaths:
        raise PinError(str(deaths[0].error))
    print(f"buzzer on pin {gpio.buzzer_pin}: off")
    return 0


def _factory(gpio: Gpio) -> Factory:
    factory = open_factory(gpio.factory, chip=gpio.chip)
    if factory is None:
        raise PinError(f"no buzzer: {without_pins(gpio.factory, chip=gpio.chip)}")
    return factory


def _runs(config: Config, error: PinError) -> bool:
    """Whether the pin is not to be had since the program runs: it holds the lock of its outbox as long as it does."""
    if "held by preact-edge)" in str(error):  # gpiod knows who holds a line
        return True
    from edge.outbox.files import LOCK

    try:
        with (state_dir(config) / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
