"""`preact-edge-release status`: which releases are there, what runs, how the last change ended."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

from . import pending, service, venv
from .outcome import DONE
from .places import Places, Release, read_json


def run(places: Places, as_json: bool) -> int:
    """Prints it; always 0."""
    seen = overview(places)
    print(json.dumps(seen, sort_keys=True) if as_json else "\n".join(_lines(seen)), flush=True)
    return DONE


def overview(places: Places) -> dict[str, Any]:
    """Everything as --json has it; times are seconds since the epoch, names of releases null where there is none."""
    current, previous = places.linked(places.current), places.linked(places.previous)
    begun = pending.read(places)
    return {
        "current": current.name if current else None,
        "previous": previous.name if previous else None,
        "installed": [_release(release) for release in reversed(places.installed())],
        "pending": dataclasses.asdict(begun) if begun else None,
        "outcome": read_json(places.outcome) or None,
        "service": dataclasses.asdict(service.state()),
    }


def _release(release: Release) -> dict[str, Any]:
    manifest = release.manifest()
    known = ("version", "target", "commit", "date", "outbox_format")
    record = release.installed()
    return {
        "release": release.name,
        **{name: getattr(manifest, name, None) for name in known},
        "python": manifest.requires.python if manifest else None,
        "problem": venv.problem(release),
        "installed": record.get("installed"),
        "selftest": record.get("selftest"),
    }


def _lines(seen: dict[str, Any]) -> list[str]:
    state = seen["service"]
    said = f"{state['active'] or 'unknown'} ({state['sub'] or '-'}) {state['text']}".strip()
    begun = seen["pending"]
    waiting = f"{begun['action']} of {begun['release']} since {_day(begun['began'])}, not confirmed" if begun else "-"
    lines = [
        _line("current", seen["current"] or "-"),
        _line("previous", seen["previous"] or "-"),
        _line("service", said),
        _line("pending", waiting),
        _line("last", _last(seen["outcome"])),
    ]
    return lines + [_line("installed", _about(release)) for release in seen["installed"]]


def _about(release: dict[str, Any]) -> str:
    text = f"{release['release']:<16} {release['target'] or '?':<20} {_day(release['installed'])}"
    return f"{text}  problem: {release['problem']}" if release["problem"] else text


def _last(outcome: dict[str, Any] | None) -> str:
    if not outcome:
        return "-"
    what = f"{outcome.get('action')} {outcome.get('release') or ''}".rstrip()
    if not outcome.get("ended"):
        return f"{what}: begun {_day(outcome.get('began'))}, and no end of it"
    how = "rolled back" if outcome.get("rolled_back") else "ok" if outcome.get("ok") else "refused"
    reason = outcome.get("reason")
    return f"{what}: {how}, {_day(outcome.get('ended'))}" + (f": {reason}" if reason else "")


def _line(name: str, text: str) -> str:
    return f"{name:<10} {text}"


def _day(seconds: object) -> str:
    if not isinstance(seconds, (int, float)):
        return "-"
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
