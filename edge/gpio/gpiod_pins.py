"""GPIO lines of any Linux board as gpiozero's pins, through the kernel's character device.

gpiozero's own factories know the Raspberry Pi's header. Here the lines of one chip are the board, and each line is a
pin under its offset and its name. Needs Linux 5.10, as gpiod does.
"""

from __future__ import annotations

import errno
import threading
import time
import weakref
from collections.abc import Callable
from datetime import timedelta
from types import MethodType
from typing import NamedTuple

from gpiod import Chip, LineRequest, LineSettings
from gpiod.edge_event import EdgeEvent
from gpiod.line import Bias, Direction, Edge, Value
from gpiozero import (
    DeviceClosed,
    GPIOPinInUse,
    PinEdgeDetectUnsupported,
    PinFixedPull,
    PinInvalidBounce,
    PinInvalidEdges,
    PinInvalidFunction,
    PinInvalidPull,
    PinInvalidState,
    PinSetInput,
)
from gpiozero.pins import BoardInfo, Factory, Pin, PinInfo

from edge.errors import PinError
from edge.gpio.chips import open_chip
from edge.gpio.edges import EdgeWatch
from edge.gpio.lines import board_of, unknown_line

CONSUMER = "preact-edge"  # what `gpioinfo` shows beside a line that is ours
LONGEST_BOUNCE_S = 60.0  # the kernel counts microseconds in 32 bits

BIASES = {"floating": Bias.DISABLED, "up": Bias.PULL_UP, "down": Bias.PULL_DOWN}
EDGES = {"none": Edge.NONE, "rising": Edge.RISING, "falling": Edge.FALLING, "both": Edge.BOTH}


class GpiodFactory(Factory):  # type: ignore[misc]  # gpiozero has no types
    """Makes pins of one chip's lines, for gpiozero's devices.

    ``chip`` is the chip's label, or its path. A pin is named by its line's offset (17, or "17") or by its line's name;
    a name that several lines have names none of them. Raises PinError when there is no such chip, or no right to it.

    Synchronization: as of gpiozero's own factories, devices may be made and closed by several threads if each is used
    by one.
    """

    def __init__(self, chip: str) -> None:
        super().__init__()
        self._chip = open_chip(chip)
        info = self._chip.get_info()
        self._names = [self._chip.get_line_info(offset).name for offset in range(info.num_lines)]
        self._board = board_of(info.label, self._names)
        # Guards _pins, so that one line is one pin.
        self._lock = threading.Lock()
        self._pins: dict[int, GpiodPin] = {}

    def close(self) -> None:
        """Close every pin, then the chip."""
        with self._lock:
            pins, self._pins = self._pins, {}
        for pin in pins.values():
            pin.close()
        self._chip.close()

    def pin(self, name: int | str) -> GpiodPin:
        """The pin of a line: the same object until it is closed. Raises GPIOPinInUse where another program has it."""
        info = next((info for _, info in self._board.find_pin(name)), None)
        if info is None:
            raise unknown_line(name, self._board.model, self._names)
        with self._lock:
            pin = self._pins.get(info.number)
            if pin is None or pin.closed:
                pin = self._pins[info.number] = GpiodPin(self._chip, info)
            return pin

    @staticmethod
    def ticks() -> float:
        return time.monotonic()

    @staticmethod
    def ticks_diff(later: float, earlier: float) -> float:
        return later - earlier

    def _get_board_info(self) -> BoardInfo:
        return self._board


class _Setup(NamedTuple):
    """What a line is set to; the names are gpiozero's."""

    function: str = "input"
    pull: str = "floating"
    bounce: float | None = None
    edges: str = "both"
    watched: bool = False

    def settings(self, level: Value | None) -> LineSettings:
        if level is not None:
            return LineSettings(direction=Direction.OUTPUT, output_value=level)
        return LineSettings(
            direction=Direction.INPUT,
            bias=BIASES[self.pull],
            debounce_period=timedelta(seconds=self.bounce or 0.0),
            edge_detection=EDGES[self.edges] if self.watched else Edge.NONE,
        )


class GpiodPin(Pin):  # type: ignore[misc]  # gpiozero has no types
    """One line of a chip, held from the constructor until close, which leaves it an input.

    It begins as it was found; an output takes its first level in the same step in which it becomes one. ``bounce`` is
    the kernel's debouncing: a level counts once it lasted so long; a chip may have a limit (a Jetson's is 0.255 s).
    Where a chip's driver cannot pull (a Jetson's), ``pull`` is without effect and the kernel says nothing.
    ``when_changed`` is held weakly, as by gpiozero's own pins, and called on a thread of this pin with the kernel's
    time of the edge (on the clock of the factory's ticks) and the level after it; what it raises is logged. Errors are
    gpiozero's own, or OSError where the kernel refuses.

    Synchronization: any thread may read and set the state; the rest belongs to one thread at a time. close may be
    called from any thread, from when_changed too.
    """

    def __init__(self, chip: Chip, info: PinInfo) -> None:
        super().__init__()
        self._info = info
        self._offset: int = info.number
        found = chip.get_line_info(self._offset)
        self._setup = _Setup("output" if found.direction is Direction.OUTPUT else "input")
        # Guards _request, whose objects gpiod wants used by one thread at a time; each call on it is one short ioctl.
        self._lock = threading.Lock()
        self._request: LineRequest | None = _request_of(chip, self._offset)
        self._watch: EdgeWatch[EdgeEvent] | None = None
        self._when_changed: Callable[[], Callable[[float, int], None] | None] | None = None

    def __repr__(self) -> str:
        return str(self._info.name)

    @property
    def closed(self) -> bool:
        return self._request is None

    def close(self) -> None:
        """End the thread, turn an output into an input, and give the line back."""
        self._end_watch()
        with self._lock:
            request, self._request = self._request, None
        if request is None:
            return
        try:
            if self._setup.function == "output":
                request.reconfigure_lines({self._offset: LineSettings(direction=Direction.INPUT)})
        finally:
            request.release()

    def output_with_state(self, state: float) -> None:
        level = _level(state, self)
        self._unwatch()
        self._change(self._setup._replace(function="output"), level)

    def input_with_pull(self, pull: str) -> None:
        if pull not in BIASES:
            raise PinInvalidPull(f"pull {pull!r} of pin {self!r} is not one of {', '.join(BIASES)}")
        self._change(self._setup._replace(function="input", pull=pull))

    def _get_info(self) -> PinInfo:
        return self._info

    def _get_function(self) -> str:
        return self._setup.function

    def _set_function(self, value: str) -> None:
        if value == "output":
            self.output_with_state(self.state)
        elif value == "input":
            self._change(self._setup._replace(function="input"))
        else:
            raise PinInvalidFunction(f"function {value!r} of pin {self!r} is neither input nor output")

    def _get_state(self) -> int:
        with self._lock:
            return int(self._line().get_value(self._offset) is Value.ACTIVE)

    def _set_state(self, value: float) -> None:
        if self._setup.function == "input":
            raise PinSetInput(f"the state of pin {self!r} cannot be set: it is an input")
        level = _level(value, self)
        with self._lock:
            self._line().set_value(self._offset, level)

    def _get_pull(self) -> str:
        return self._setup.pull

    def _set_pull(self, value: str) -> None:
        if self._setup.function != "input":
            raise PinFixedPull(f"pin {self!r} cannot be pulled: it is an output")
        self.input_with_pull(value)

    def _get_bounce(self) -> float | None:
        return self._setup.bounce

    def _set_bounce(self, value: float | None) -> None:
        if value is not None and not 0 <= value <= LONGEST_BOUNCE_S:
            raise PinInvalidBounce(f"bounce {value!r} of pin {self!r} is not 0 to {LONGEST_BOUNCE_S:g} seconds")
        try:
            self._change(self._setup._replace(bounce=value))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise PinInvalidBounce(f"its chip cannot debounce for {value} seconds: choose fewer") from error

    def _get_edges(self) -> str:
        return self._setup.edges

    def _set_edges(self, value: str) -> None:
        if value not in EDGES:
            raise PinInvalidEdges(f"edges {value!r} of pin {self!r} are not one of {', '.join(EDGES)}")
        self._change(self._setup._replace(edges=value))

    def _get_when_changed(self) -> Callable[[float, int], None] | None:
        return None if self._when_changed is None else self._when_changed()

    def _set_when_changed(self, value: Callable[[float, int], None] | None) -> None:
        if value is None:
            self._unwatch()
        elif self._setup.function != "input":
            raise PinEdgeDetectUnsupported(f"pin {self!r} tells no edges: it is an output")
        else:
            self._when_changed = weakref.WeakMethod(value) if isinstance(value, MethodType) else weakref.ref(value)
            if self._watch is None:
                self._change(self._setup._replace(watched=True))
                self._watch = EdgeWatch(f"pin {self!r}", self._fd(), self._read, self._tell)

    def _fd(self) -> int:
        with self._lock:
            return self._line().fd

    def _line(self) -> LineRequest:
        """The line's request; call it with the lock held."""
        if self._request is None:
            raise DeviceClosed(f"pin {self!r} is closed")
        return self._request

    def _change(self, wanted: _Setup, level: Value | None = None) -> None:
        """Set the line anew, an output only with a ``level``. What fails changes nothing here either."""
        with self._lock:
            line = self._line()
            if level is not None or wanted.function == "input":  # else it is of no effect before it is an input
                line.reconfigure_lines({self._offset: wanted.settings(level)})
            self._setup = wanted

    def _unwatch(self) -> None:
        """End the thread and ask the kernel for no more edges."""
        if self._end_watch():
            self._change(self._setup._replace(watched=False))

    def _end_watch(self) -> bool:
        self._when_changed = None
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
        return watch is not None

    def _read(self) -> list[EdgeEvent]:
        """The edges that wait. The kernel keeps 16 of them and drops the oldest of more, never the last."""
        try:
            with self._lock:
                return self._line().read_edge_events()
        except OSError as error:
            lost = f"GPIO {self!r} tells no edges any more ({error.strerror})"
            raise PinError(f"{lost}: start again when its chip is back") from error

    def _tell(self, event: EdgeEvent) -> None:
        call = self._get_when_changed()
        if call is not None:
            call(event.timestamp_ns / 1e9, int(event.event_type is EdgeEvent.Type.RISING_EDGE))


def _request_of(chip: Chip, offset: int) -> LineRequest:
    try:
        return chip.request_lines({offset: LineSettings(direction=Direction.AS_IS)}, consumer=CONSUMER)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        consumer = chip.get_line_info(offset).consumer or "the kernel"
        raise GPIOPinInUse(f"held by {consumer}") from error


def _level(state: float, pin: GpiodPin) -> Value:
    if state not in (0, 1):
        raise PinInvalidState(f"state {state!r} of pin {pin!r} is neither 0 nor 1")
    return Value.ACTIVE if state else Value.INACTIVE
