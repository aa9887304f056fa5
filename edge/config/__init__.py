"""Settings: a TOML file, then PREACT_EDGE_* variables, then ``--set``, into frozen structs.

docs/configuration.md is made from these structs by ``python -m edge.commands.document``; a test keeps it so.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from edge.config.base import Settings
from edge.config.device import Device, Gpio, Pattern, Patterns, SilenceButton, StatusLed, Storage
from edge.config.evidence import Evidence
from edge.config.rules import DEFAULT_RULES, Alerts, Escalation, Rule
from edge.config.streaming import Backend, Listener, Outbox, Security, Stream, Video
from edge.config.watching import Camera, Detector, PrivacyMask
from edge.config.zones import Line, Schedule, Zone, time_zone_of

__all__ = [
    "DEFAULT_RULES",
    "Alerts",
    "Backend",
    "Camera",
    "Config",
    "Detector",
    "Device",
    "Escalation",
    "Evidence",
    "Gpio",
    "Line",
    "Listener",
    "Outbox",
    "Pattern",
    "Patterns",
    "PrivacyMask",
    "Rule",
    "Schedule",
    "Security",
    "Settings",
    "SilenceButton",
    "StatusLed",
    "Storage",
    "Stream",
    "Video",
    "Zone",
    "time_zone_of",
]


class Config(Settings, frozen=True):
    """Everything."""

    device: Device = Device()
    camera: Camera = Camera()
    detector: Detector = Detector()
    alerts: Alerts = Alerts()
    listeners: Annotated[
        tuple[Listener, ...],
        Meta(min_length=1, max_length=16, description="The addresses to listen on, one table each."),
    ] = (Listener(),)
    backends: Annotated[
        tuple[Backend, ...], Meta(max_length=16, description="The backends to connect to, one table each.")
    ] = ()
    security: Security = Security()
    stream: Stream = Stream()
    outbox: Outbox = Outbox()
    video: Video = Video()
    evidence: Evidence = Evidence()
    gpio: Gpio = Gpio()
    storage: Storage = Storage()
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="How much is logged.")] = "info"

    def __post_init__(self) -> None:
        known = [schedule.name for schedule in self.alerts.schedules]
        for name in self.gpio.quiet:
            if name not in known:
                there = ", ".join(known) or "none"
                raise ValueError(f"gpio.quiet: there is no schedule {name} in alerts.schedules; there are: {there}")
