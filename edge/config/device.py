"""Settings of the device itself: its names, its buzzer, its folders."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from edge.config.base import Settings
from edge.text import is_printable


class Device(Settings, frozen=True):
    """Who this device is."""

    id: Annotated[
        str, Meta(max_length=128, description="Name of the device in every message; empty: one is made once and kept.")
    ] = ""
    camera_id: Annotated[
        str, Meta(min_length=1, max_length=128, description="Name of its camera in every message.")
    ] = "main"

    def __post_init__(self) -> None:
        for key, name in (("id", self.id), ("camera_id", self.camera_id)):
            if not is_printable(name):
                raise ValueError(f"{key} is {name!r}: a name may hold no control characters")


class Pattern(Settings, frozen=True):
    """How the buzzer sounds."""

    on_s: Annotated[float, Meta(gt=0.0, le=60.0, description="Seconds on.")] = 0.5
    off_s: Annotated[float, Meta(ge=0.0, le=60.0, description="Seconds off after it.")] = 0.25
    repeats: Annotated[int, Meta(ge=0, le=1000, description="How many times; 0 is silence.")] = 0


class CriticalPattern(Pattern, frozen=True):
    """How the buzzer sounds on a critical alert."""

    repeats: Annotated[int, Meta(ge=0, le=1000, description="How many times; 0 is silence.")] = 12


class Patterns(Settings, frozen=True):
    """The buzzer's pattern for each threat level."""

    low: Pattern = Pattern()
    medium: Pattern = Pattern()
    high: Pattern = Pattern()
    critical: CriticalPattern = CriticalPattern()


# A line's name is at most 31 bytes long in the kernel; a Jetson's chip has 164 lines, the largest expanders 1024.
Pin: TypeAlias = Annotated[int, Meta(ge=0, le=1023)] | Annotated[str, Meta(min_length=1, max_length=31)]


class Gpio(Settings, frozen=True):
    """The buzzer."""

    factory: Annotated[
        Literal["auto", "lgpio", "gpiod", "simulated", "none"],
        Meta(
            description="What drives the pins; `auto`: lgpio on a Raspberry Pi, elsewhere gpiod where `chip` is named, "
            "else nothing."
        ),
    ] = "auto"
    chip: Annotated[
        str,
        Meta(
            max_length=255,
            description="Label or path of the chip for gpiod, as `gpiodetect` shows it, for example `tegra234-gpio`; "
            "empty: none.",
        ),
    ] = ""
    required: Annotated[bool, Meta(description="Without a working buzzer pin, do not start.")] = False
    buzzer_pin: Annotated[
        Pin, Meta(description="The buzzer's pin: its BCM number on a Raspberry Pi; with gpiod a line's offset or name.")
    ] = 17
    active_high: Annotated[bool, Meta(description="The buzzer sounds when the pin is high.")] = True
    longest_on_s: Annotated[
        float, Meta(gt=0.0, le=600.0, description="No sounding lasts longer than this, pauses included.")
    ] = 30.0
    cooldown_s: Annotated[
        float, Meta(ge=0.0, le=3600.0, description="Quiet after a sounding; a higher level breaks it.")
    ] = 5.0
    patterns: Patterns = Patterns()

    def __post_init__(self) -> None:
        for key, name in (("chip", self.chip), ("buzzer_pin", str(self.buzzer_pin))):
            if not is_printable(name):
                raise ValueError(f"{key} is {name!r}: a name may hold no control characters")


class Storage(Settings, frozen=True):
    """Where the device keeps what it must remember."""

    state_dir: Annotated[
        str, Meta(description="Empty: systemd's STATE_DIRECTORY, else `~/.local/state/preact-edge`.")
    ] = ""
    models_dir: Annotated[str, Meta(description="Where pulled models lie; empty: `models` in the state folder.")] = ""
