"""What every group of settings is made of."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from edge.text import is_printable

Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The root of every group of settings: frozen, and an unknown key is an error."""


def check_name(name: str) -> None:
    """Raise ValueError for a name that cannot be shown in one line."""
    if not is_printable(name):
        raise ValueError(f"name {name!a} holds control characters: remove them")
