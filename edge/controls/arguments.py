"""What each command takes; the specification is docs/protocol.md, section 10."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from edge.errors import ConfigError
from edge.gpio.silence import LONGEST_SILENCE_S
from edge.types import ThreatLevel


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    """The root: an unknown argument is an error, so that a misspelt one is not taken for granted."""


A = TypeVar("A", bound=Arguments)


class Nothing(Arguments, frozen=True):
    pass


class SetConfig(Arguments, frozen=True):
    """New values by their key's path."""

    values: Annotated[dict[str, Any], Meta(min_length=1)]


class Snapshot(Arguments, frozen=True):
    """How the picture is to be; what is left out is as the video settings say.

    With ``alert`` it is the one that is kept of that event, as it is; with ``clip`` a part of its clip instead, from
    byte ``offset`` on.
    """

    alert: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    clip: bool = False
    offset: Annotated[int, Meta(ge=0, le=1 << 53)] = 0

    annotated: bool | None = None
    quality: Annotated[int, Meta(ge=10, le=100)] | None = None
    max_width: Annotated[int, Meta(ge=64, le=7680)] | None = None

    def __post_init__(self) -> None:
        if self.clip and self.alert is None:
            raise ValueError("clip needs alert: there are clips of alerts only")
        if self.offset and not self.clip:
            raise ValueError("offset needs clip")
        if self.alert is not None and (self.annotated, self.quality, self.max_width) != (None, None, None):
            raise ValueError("annotated, quality and max_width are for a picture of now; one of an alert is as it is")


class GetAlerts(Arguments, frozen=True):
    """Stored alerts with numbers above ``after``, at most ``limit``."""

    after: Annotated[int, Meta(ge=0, le=1 << 53)] = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class BuzzerOrder(Arguments, frozen=True):
    """Exactly one of these: sound a level, end what sounds, acknowledge, be silent for so long, or one short beep."""

    on: ThreatLevel | None = None
    off: bool = False
    acknowledge: bool = False
    silence_s: Annotated[float, Meta(ge=0.0, le=LONGEST_SILENCE_S)] | None = None
    test: bool = False

    def __post_init__(self) -> None:
        if sum((self.on is not None, self.off, self.acknowledge, self.silence_s is not None, self.test)) != 1:
            raise ValueError(
                "give exactly one of on (a level), off (true), acknowledge (true), silence_s and test (true)"
            )


def read(args: dict[str, Any], kind: type[A]) -> A:
    """The arguments of a command; raises ConfigError, which names the one that is wrong."""
    try:
        return msgspec.convert(args, kind)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `")
        name = place.rstrip("`").removeprefix("$").lstrip(".")
        problem = f"{problem[0].lower()}{problem[1:].replace('`', '')}"
        raise ConfigError(f"{name}: {problem}" if name else problem) from error
