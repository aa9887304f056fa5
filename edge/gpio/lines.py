"""The lines of a chip as gpiozero names pins."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence

from gpiozero import PinInvalidPin
from gpiozero.pins import BoardInfo, HeaderInfo, PinInfo

from edge.errors import PinError


class UnknownLine(PinError, PinInvalidPin):  # type: ignore[misc]  # gpiozero has no types
    """A name or offset that is no line of the chip; its message is whole."""


def board_of(label: str, names: Sequence[str]) -> BoardInfo:
    """The chip as gpiozero sees a board: one header, on which the lines stand in a column."""
    often = Counter(names)
    pins = {offset: _pin_info(offset, name, often) for offset, name in enumerate(names)}
    known = {"model": label, "memory": 0, "headers": {label: HeaderInfo(label, len(names), 1, pins)}}
    return BoardInfo(**{field: known.get(field, "") for field in BoardInfo._fields})


def _pin_info(offset: int, name: str, often: Counter[str]) -> PinInfo:
    """``name`` is what the kernel calls the line, and may be empty or that of several; the pin's is its own."""
    plain = f"line {offset}"
    names = {offset, plain} if str(offset) in often else {offset, plain, str(offset)}
    if name and often[name] == 1:
        names.add(name)
        plain = name
    return PinInfo(
        number=offset,
        name=plain,
        names=frozenset(names),
        pull="",
        row=offset + 1,
        col=1,
        interfaces=frozenset({"gpio"}),
    )


def unknown_line(wanted: int | str, label: str, names: Sequence[str]) -> UnknownLine:
    """The error that says why ``wanted`` is no pin of the chip ``label``, whose lines have these names."""
    last = len(names) - 1
    if str(wanted).lstrip("-").isdigit():
        return UnknownLine(f"GPIO {wanted} is no line of {label}: it has the lines 0 to {last}")
    same = [str(offset) for offset, name in enumerate(names) if name == wanted]
    if same:
        offsets = " or ".join(same)
        return UnknownLine(f"GPIO {wanted} is the name of {len(same)} lines of {label}: choose an offset, {offsets}")
    folded = {name.lower(): name for name in names if name}
    close = [folded[name] for name in difflib.get_close_matches(str(wanted).lower(), folded)]
    near = f" (near it: {', '.join(close)})" if close else ""
    advice = f"choose a name that `gpioinfo` shows, or an offset, 0 to {last}"
    return UnknownLine(f"GPIO {wanted} is no line of {label}{near}: {advice}")
