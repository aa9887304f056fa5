"""What every group of settings is made of."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The root of every group of settings: frozen, and an unknown key is an error."""
