"""Settings of the device itself: its names, its buzzer, its folders."""

from __future__ import annotations

from itertools import combinations
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from edge.config.base import Settings
from edge.config.zones import Name
from edge.text import is_printable
from edge.types import ThreatLevel


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
MaybePin: TypeAlias = Annotated[int, Meta(ge=0, le=1023)] | Annotated[str, Meta(max_length=31)]


class StatusLed(Settings, frozen=True):
    """A light. On: ok; slow blinking: degraded; fast blinking: blind, or something failed; off: not running."""

    pin: Annotated[MaybePin, Meta(description="Its pin, named as the buzzer's; empty: there is none.")] = ""
    active_high: Annotated[bool, Meta(description="The light is on when the pin is high.")] = True


class SilenceButton(Settings, frozen=True):
    """A button. A press acknowledges what sounds, a press of two seconds silences, and one in a silence ends it."""

    pin: Annotated[MaybePin, Meta(description="Its pin, named as the buzzer's; empty: there is none.")] = ""
    pull_up: Annotated[
        bool,
        Meta(description="The button is between pin and ground; false: between pin and 3.3 V."),
    ] = True
    silence_s: Annotated[float, Meta(gt=0.0, le=86400.0, description="Seconds of the silence of a long press.")] = 300.0
    bounce_s: Annotated[
        float, Meta(ge=0.0, le=1.0, description="A shorter change of the pin is no press and no release.")
    ] = 0.05


class Gpio(Settings, frozen=True):
    """The buzzer, the status LED, the silence button."""

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
    required: Annotated[bool, Meta(description="Without every pin that is set here, do not start.")] = False
    buzzer_pin: Annotated[
        Pin, Meta(description="The buzzer's pin: its BCM number on a Raspberry Pi; with gpiod a line's offset or name.")
    ] = 17
    active_high: Annotated[bool, Meta(description="The buzzer sounds when the pin is high.")] = True
    longest_on_s: Annotated[
        float,
        Meta(
            gt=0.0,
            le=600.0,
            description="No sounding lasts longer than this, pauses included; each higher level begins anew.",
        ),
    ] = 30.0
    cooldown_s: Annotated[
        float,
        Meta(
            ge=0.0,
            le=3600.0,
            description="Quiet after a sounding; a higher level breaks it, another event is heard at its end.",
        ),
    ] = 5.0
    patterns: Patterns = Patterns()
    quiet: Annotated[
        tuple[Name, ...],
        Meta(
            max_length=16,
            description="Names of `alerts.schedules`, in whose times only the levels of `quiet_exempt` sound. While "
            "the clock cannot be believed there is no quiet time.",
        ),
    ] = ()
    quiet_exempt: Annotated[
        tuple[ThreatLevel, ...], Meta(max_length=4, description="Levels that sound in quiet times, too.")
    ] = ("critical",)
    status_led: StatusLed = StatusLed()
    silence_button: SilenceButton = SilenceButton()

    def __post_init__(self) -> None:
        for key, name in (("chip", self.chip), *((key, str(pin)) for key, pin in self.pins)):
            if not is_printable(name):
                raise ValueError(f"{key} is {name!r}: a name may hold no control characters")
        for (key, pin), (other_key, other) in combinations(self.pins, 2):
            if str(pin) == str(other):
                raise ValueError(f"{key} and {other_key} are both {pin}: give each a pin of its own")

    @property
    def pins(self) -> tuple[tuple[str, int | str], ...]:
        """The pins that are wanted, each with its key in this group."""
        keys = (
            ("buzzer_pin", self.buzzer_pin),
            ("status_led.pin", self.status_led.pin),
            ("silence_button.pin", self.silence_button.pin),
        )
        return tuple((key, pin) for key, pin in keys if pin != "")


class Storage(Settings, frozen=True):
    """Where the device keeps what it must remember."""

    state_dir: Annotated[
        str, Meta(description="Empty: systemd's STATE_DIRECTORY, else `~/.local/state/preact-edge`.")
    ] = ""
    models_dir: Annotated[str, Meta(description="Where pulled models lie; empty: `models` in the state folder.")] = ""
