"""``preact-edge rules try``: the rules over a recording, as a timeline in words and as a picture."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec

from edge.capture.source import open_source
from edge.commands import common
from edge.commands.rehearsal.recording import Part, Recording, rehearse
from edge.commands.rehearsal.timeline import Entry, Timeline
from edge.commands.rehearsal.words import alert_fields, clock, counted, explanation_fields, line, summary
from edge.config import Config, time_zone_of
from edge.errors import ConfigError, EdgeError, StateError
from edge.inference.detector import Detector, open_detector
from edge.rules.checks import judge, unknown_classes
from edge.rules.engine import Memory
from edge.storage import write_atomic
from edge.types import Image, Result

SCENE_S = 40.0  # the scene has no end: two rounds of it are looked at
SUFFIXES = (".png", ".jpg", ".jpeg")


class View(Protocol):
    """What shows a timeline while it grows, and at its end."""

    def tell(self, entry: Entry) -> None: ...

    def end(self, timeline: Timeline) -> None: ...


def run(args: argparse.Namespace) -> int:
    """Look at the recording; 0, whether or not a rule fired."""
    config = _settings(args)
    common.start_logging(config)
    begins_at = _wall_time(args.at, config)
    _check_picture(args.picture)
    with contextlib.closing(open_detector(common.resolve_model(config), config.detector)) as detector:
        _check_rules(config, detector)
        names = frozenset(detector.class_names.values())
        with contextlib.closing(open_source(config.camera)) as source:
            if source.live:
                raise ConfigError(f"{source.name}: is a camera; record a video with it, and try the rules on that")
            recording = Recording(source, _part(args, config), begins_at)
            view: View = Json(names) if args.json else Words(config, names)
            if not args.json:
                print(f"{source.name}, {source.fps:g} frames a second, model {detector.description.model}")
                print(f"Its beginning is taken for {_shown(begins_at, config)}; --at sets another time.")
            trial = Trial(config, view)
            with _progress(trial, hidden=args.json):
                rehearse(recording, detector, config, trial.observe, args.max_frames)
    view.end(trial.timeline)
    if args.picture is not None:
        _draw(trial, config, args.picture, with_frame=not args.no_frame)
        if not args.json:
            print(f"picture: {args.picture}")
    return 0


class Trial:
    """What comes of a rehearsal: ``timeline``, and ``image``, the first picture of the part."""

    def __init__(self, config: Config, view: View) -> None:
        self.timeline = Timeline(config.alerts.rules)
        self.image: Image | None = None
        self._view = view

    def observe(self, result: Result, memories: Sequence[Memory]) -> None:
        if self.image is None and result.frame is not None:
            self.image = result.frame.image
        for entry in self.timeline.observe(result, memories):
            self._view.tell(entry)


class Words:
    """Lines for people."""

    def __init__(self, config: Config, class_names: frozenset[str]) -> None:
        self._rules = {rule.name: rule for rule in config.alerts.rules}
        self._class_names = class_names

    def tell(self, entry: Entry) -> None:
        print(line(entry, self._rules[entry.alert.rule]), flush=True)

    def end(self, timeline: Timeline) -> None:
        for text in summary(timeline, self._class_names):
            print(text)
        fired = sum(row.fired for row in timeline.rows)
        part = f"{clock(timeline.begin)} to {clock(timeline.end)}"
        print(f"\n{counted(timeline.frames, 'frame')} looked at, {part}: {counted(fired, 'alert')}")


class Json:
    """One JSON object a line."""

    def __init__(self, class_names: frozenset[str]) -> None:
        self._class_names = class_names

    def tell(self, entry: Entry) -> None:
        print(json.dumps(alert_fields(entry)), flush=True)

    def end(self, timeline: Timeline) -> None:
        for row in timeline.rows:
            print(json.dumps(explanation_fields(row, self._class_names)))


def _settings(args: argparse.Namespace) -> Config:
    """The device's settings, for a recording that is played once and as fast as it goes."""
    config = common.load(args)
    return msgspec.structs.replace(config, camera=msgspec.structs.replace(config.camera, loop=False, unpaced=True))


def _part(args: argparse.Namespace, config: Config) -> Part:
    end_s: float | None = args.end
    if config.camera.source == "scene" and end_s is None and args.max_frames is None:
        end_s = args.start + SCENE_S
    if end_s is not None and end_s <= args.start:
        raise ConfigError(f"--end {end_s:g} is not after --start {args.start:g}")
    return Part(args.start, end_s)


def _wall_time(text: str | None, config: Config) -> float:
    """The Unix time of ``text`` in the schedules' time zone; without it, now."""
    if text is None:
        return time.time()
    try:
        at = datetime.fromisoformat(text)
        zone = at.tzinfo or time_zone_of(config.alerts.time_zone)
        return at.replace(tzinfo=zone).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise ConfigError(f'--at {text!a}: write a day and a time, such as "2026-11-23 22:00"') from error


def _shown(wall: float, config: Config) -> str:
    at = datetime.fromtimestamp(wall).astimezone(time_zone_of(config.alerts.time_zone))
    return f"{at:%a %Y-%m-%d %H:%M %Z}".rstrip()


def _check_rules(config: Config, detector: Detector) -> None:
    """Raise ConfigError where no rule can fire: there would be nothing to see."""
    for problem in judge(config, detector.class_names.values()):
        if problem.startswith("no rule can fire"):
            blind = "; ".join(unknown_classes(config.alerts.rules, detector.class_names.values()))
            raise ConfigError(f"{problem}{blind and f' ({blind})'}; see preact-edge models list")


def _check_picture(path: Path | None) -> None:
    """Raise before the work, not after it."""
    if path is None:
        return
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--picture {path}: name a file that ends in {' or '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise StateError(f"--picture {path}: there is no folder {path.parent}")


def _draw(trial: Trial, config: Config, path: Path, *, with_frame: bool) -> None:
    from edge.commands.rehearsal.picture import draw

    assert trial.image is not None  # noqa: S101 - a recording has a frame, or is refused
    height, width = trial.image.shape[:2]
    picture = draw(trial.timeline, config, trial.image if with_frame else None, (width, height))
    import cv2

    try:
        quality = () if path.suffix.lower() == ".png" else (cv2.IMWRITE_JPEG_QUALITY, 85)
        ok, data = cv2.imencode(path.suffix.lower(), picture, quality)
        if not ok:
            raise EdgeError(f"{path}: a picture of {picture.shape[1]} x {picture.shape[0]} cannot be encoded")
        write_atomic(path, data.tobytes(), durable=False)
    except OSError as error:
        raise StateError(f"{path}: cannot be written: {error.strerror}") from error


@contextlib.contextmanager
def _progress(trial: Trial, *, hidden: bool) -> Iterator[None]:
    """On a terminal, how far it is."""
    if hidden or not sys.stdout.isatty():
        yield
        return
    from rich.live import Live
    from rich.text import Text

    begin = time.monotonic()

    def far() -> Text:
        frames, spent = trial.timeline.frames, time.monotonic() - begin
        return Text(f"{clock(trial.timeline.end)}  {frames} frames, {frames / max(spent, 0.1):.0f} a second")

    with Live(get_renderable=far, refresh_per_second=4, transient=True):
        yield
