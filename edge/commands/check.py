"""``preact-edge check``: will it run here? Each part: ok, or the problem and what to do."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from edge.capture.source import open_source
from edge.commands import common
from edge.config import Config, Gpio, Listener
from edge.controls.settings import kept_settings
from edge.errors import ConfigError, EdgeError, PinError
from edge.gpio.panel import Panel, open_panel
from edge.inference.detector import Detector, open_detector
from edge.inference.runtime import check_file, compiled_for_edge_tpu
from edge.rules.checks import judge, unknown_classes
from edge.storage import device_id, state_dir
from edge.stream.address import show
from edge.stream.binding import check_apart
from edge.stream.dialler import Dialler
from edge.stream.door import Door
from edge.stream.reception import Trust
from edge.text import printable


def run(args: argparse.Namespace) -> int:
    """Print a line for each part; 0 when all are ok, 1 when one has a problem, 2 when it is the config."""
    try:
        config = common.load(args)
    except ConfigError as error:
        _say("problem", "config", str(error))
        return error.exit_code
    common.start_logging(config)
    logging.getLogger().setLevel(logging.ERROR)  # what is worth knowing is printed
    _say("ok", "config", args.config or os.environ.get("PREACT_EDGE_CONFIG") or "the defaults")
    probes = BESIDE_A_SERVICE if args.no_hardware else PROBES
    return max([_report(name, probe, config) for name, probe in probes])


def _report(name: str, probe: Callable[[Config], Iterator[str]], config: Config) -> int:
    """Run one probe and print each line that it gives; the exit code of its error, else 0."""
    try:
        for line in probe(config):
            _say("ok", name, line)
    except EdgeError as error:
        _say("problem", name, str(error))
        return error.exit_code
    return 0


def _say(kind: str, name: str, line: str) -> None:
    print(f"{kind:<8} {name:<8} {printable(line)}", flush=True)


def _state(config: Config) -> Iterator[str]:
    folder = state_dir(config)
    yield f"{folder}, device {device_id(config, folder)}"
    for warning in kept_settings(config, folder).warnings:
        _say("note", "state", warning)


def _model(config: Config) -> Iterator[str]:
    yield from _describe(open_detector(common.resolve_model(config), config.detector), config)


def _model_alone(config: Config) -> Iterator[str]:
    """As ``_model``, without the accelerator: one program at a time can have it."""
    if not config.detector.delegate:
        yield from _model(config)
        return
    spec = common.resolve_model(config)
    check_file(spec.path)
    _say("note", "model", f"delegate {config.detector.delegate} was left out; `preact-edge selftest` tries it")
    if compiled_for_edge_tpu(spec.path):
        if spec.cpu_twin is None:
            yield f"{spec.name}: is for the accelerator alone"
            return
        spec = spec.cpu_twin
    settings = msgspec.structs.replace(config.detector, delegate="", delegate_options={})
    yield from _describe(open_detector(spec, settings), config)


def _describe(detector: Detector, config: Config) -> Iterator[str]:
    try:
        yield str(detector.description)
        yield f"{len(detector.class_names)} labels"
        names = tuple(detector.class_names.values())
        degraded = detector.description.degraded
    finally:
        detector.close()
    settings = kept_settings(config, state_dir(config)).config
    for line in dict.fromkeys((*judge(settings, names), *unknown_classes(settings.alerts.rules, names))):
        _say("note", "model", line)
    if degraded:
        raise EdgeError(degraded)


def _camera(config: Config) -> Iterator[str]:
    try:
        detector = open_detector(common.resolve_model(config), config.detector)
        lores_size = detector.lores_size
    except EdgeError:  # the model's own line has said why
        lores_size = None
    source = open_source(config.camera, lores_size)
    try:
        source.start()
        height, width = source.read().image.shape[:2]
    finally:
        source.close()
    yield f"{source.name}, {width} x {height}"


def _gpio(config: Config) -> Iterator[str]:
    panel = open_panel(config.gpio) if config.gpio.required else Panel(config.gpio)
    try:
        if panel.without:
            yield f"no buzzer: {panel.without}; alerts make no sound"
            return
        for name, place in panel.places.items():
            yield f"{name} on {place}, {_polarity(config.gpio, name)}"
        if panel.button is not None and panel.button.is_pressed:
            remedy = f"gpio.silence_button.pull_up = {str(not config.gpio.silence_button.pull_up).lower()}"
            _say("note", "gpio", f"the silence button is pressed; if nobody does, set {remedy}")
        lines = [f"no {name}: {error}" for name, error in panel.missing.items()]
        for line in lines[:-1]:
            _say("problem", "gpio", line)
        if lines:
            raise PinError(lines[-1])
    finally:
        panel.close()


def _polarity(gpio: Gpio, name: str) -> str:
    if name == "silence button":
        return f"pressed when it is {'low' if gpio.silence_button.pull_up else 'high'}"
    active_high = gpio.active_high if name == "buzzer" else gpio.status_led.active_high
    return f"on when it is {'high' if active_high else 'low'}"


def _security(config: Config) -> Iterator[str]:
    trust = _trust(config)
    if trust.contexts is None and trust.keys is None:
        yield "nothing here asks for a certificate or a login"
    if trust.contexts is not None:
        for warning in trust.contexts.warnings(device_id(config, state_dir(config))):
            _say("note", "security", warning)
        yield "certificates"
    if trust.keys is not None:
        yield "login keys"
    if trust.any and not os.geteuid():
        _say("note", "security", "read as root; a service of another user must be able to read these files too")


def _trust(config: Config) -> Trust:
    return Trust.open(config.security, config.listeners, config.backends)


def _port(config: Config) -> Iterator[str]:
    yield f"{', '.join(_bind(config, config.listeners))} can be bound"


def _listeners(config: Config) -> Iterator[str]:
    """All of ``_port`` but the ports themselves, which a running service has: any free ones do."""
    count = len(_bind(config, [msgspec.structs.replace(each, port=0) for each in config.listeners]))
    yield f"{count} address{'' if count == 1 else 'es'}; the ports were left out"


def _bind(config: Config, listeners: Sequence[Listener]) -> list[str]:
    """What the server looks at before it serves; nobody is let in, no backend is dialled. The addresses bound."""
    check_apart(config.listeners)
    doors: list[Door] = []
    try:
        for number, listener in enumerate(listeners, 1):
            doors.append(Door(listener, number, config.stream))
        addresses = [show(sock.getsockname()) for door in doors for sock in door.sockets]
        _trust(config).check(doors, config.backends)
        for backend in config.backends:
            Dialler(backend, config.stream.heartbeat_s, 0.0).check()
    finally:
        for door in doors:
            door.close()
    return addresses


Probe: TypeAlias = tuple[str, Callable[[Config], Iterator[str]]]

PROBES: tuple[Probe, ...] = (
    ("state", _state),
    ("model", _model),
    ("camera", _camera),
    ("gpio", _gpio),
    ("security", _security),
    ("port", _port),
)
BESIDE_A_SERVICE: tuple[Probe, ...] = (
    ("state", _state),
    ("model", _model_alone),
    ("security", _security),
    ("port", _listeners),
)
