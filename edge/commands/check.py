"""``preact-edge check``: will it run here? Each part: ok, or the problem and what to do."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator

from edge.capture.source import open_source
from edge.commands import common
from edge.config import Config
from edge.errors import ConfigError, EdgeError, PinError
from edge.gpio.pins import open_factory, open_output, without_pins
from edge.inference.detector import open_detector
from edge.rules.checks import unknown_classes
from edge.storage import device_id, state_dir
from edge.stream.hub import Hub
from edge.stream.reception import Trust
from edge.stream.server import StreamServer
from edge.wire.messages import Identity


def run(args: argparse.Namespace) -> int:
    """Print a line for each part; 0 when all are ok, 1 when one has a problem, 2 when it is the config."""
    try:
        config = common.load(args)
    except ConfigError as error:
        print(f"problem  {'config':<8} {error}")
        return error.exit_code
    logging.basicConfig(level=logging.ERROR)  # what is worth knowing is printed
    print(f"ok       {'config':<8} {args.config or 'the defaults'}")
    return max([_report(name, probe, config) for name, probe in PROBES])


def _report(name: str, probe: Callable[[Config], Iterator[str]], config: Config) -> int:
    """Run one probe and print each line that it gives; the exit code of its error, else 0."""
    try:
        for line in probe(config):
            print(f"ok       {name:<8} {line}", flush=True)
    except EdgeError as error:
        print(f"problem  {name:<8} {error}", flush=True)
        return error.exit_code
    return 0


def _state(config: Config) -> Iterator[str]:
    folder = state_dir(config)
    yield f"{folder}, device {device_id(config, folder)}"


def _model(config: Config) -> Iterator[str]:
    detector = open_detector(common.resolve_model(config), config.detector)
    try:
        yield str(detector.description)
        yield f"{len(detector.class_names)} labels"
        impossible = unknown_classes(config.alerts.rules, detector.class_names.values())
        degraded = detector.description.degraded
    finally:
        detector.close()
    for line in impossible:
        print(f"note     {'model':<8} {line}")
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
    factory = open_factory(config.gpio.factory)
    if factory is None:
        reason = without_pins(config.gpio.factory)
        if config.gpio.required:
            raise PinError(f"{reason}, and gpio.required is true")
        yield f"no buzzer: {reason}; alerts make no sound"
        return
    try:
        open_output(factory, config.gpio.buzzer_pin, active_high=config.gpio.active_high).close()
    finally:
        factory.close()
    yield f"buzzer on pin {config.gpio.buzzer_pin}"


def _security(config: Config) -> Iterator[str]:
    trust = _trust(config)
    if trust.contexts is None and trust.keys is None:
        yield "nothing here asks for a certificate or a login"
    if trust.contexts is not None:
        for warning in trust.contexts.warnings(device_id(config, state_dir(config))):
            print(f"note     {'security':<8} {warning}")
        yield "certificates"
    if trust.keys is not None:
        yield "login keys"


def _trust(config: Config) -> Trust:
    return Trust.open(config.security, config.listeners, config.backends)


def _port(config: Config) -> Iterator[str]:
    server = StreamServer(
        config.listeners,
        config.stream,
        Hub(Identity("check", config.device.camera_id)),
        trust=_trust(config),
    )
    try:
        server.start()
        addresses = server.addresses
    finally:
        server.close()
    yield ", ".join(f"{host}:{port}" for host, port in addresses) + " can be bound"


PROBES: tuple[tuple[str, Callable[[Config], Iterator[str]]], ...] = (
    ("state", _state),
    ("model", _model),
    ("camera", _camera),
    ("gpio", _gpio),
    ("security", _security),
    ("port", _port),
)
