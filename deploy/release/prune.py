"""Older releases go; the ones that are used, may come back or are about to be used stay."""

from __future__ import annotations

from collections.abc import Iterable

from . import durable, pending
from .job import Job
from .places import Places

KEEP = 3
COPY_NAME = (
    "before-{}.outbox"  # in the state folder: a copy of the outbox from before a release that changed its format
)


def tidy(work: Job, keep: int, spare: Iterable[str] = ()) -> None:
    """`prune` at the end of what succeeded: that an older release cannot be removed is only a note."""
    try:
        prune(work.places, keep, spare)
    except OSError as exc:
        work.outcome.note(f"older releases could not be removed ({exc}): see preact-edge-release prune")


def prune(places: Places, keep: int, spare: Iterable[str] = ()) -> list[str]:
    """Removes all releases but the newest ``keep``, current, previous, ``spare`` and those of a switch under way.

    Returns the names of those that went.
    """
    used = {*spare, *_used(places)}
    installed = places.installed()
    newest = {release.name for release in installed[max(0, len(installed) - keep) :]}
    gone = [release for release in installed if release.name not in used | newest]
    for release in gone:
        durable.remove(release.record)  # from here on it is no release, also when the rest is cut off
    remove_remains(places)
    left = {release.name for release in places.installed()}
    for copy in places.state.glob(COPY_NAME.format("*")):
        if copy.name not in {COPY_NAME.format(name) for name in left}:
            durable.remove(copy)
    return [release.name for release in gone]


def remove_remains(places: Places) -> None:
    """Removes what an install or a removal that was cut off has left: folders without a record that nothing names."""
    used = _used(places)
    for folder in places.releases.glob("[0-9]*"):
        if folder.name not in used and not (folder / "installed.json").is_file():
            durable.remove_tree(folder)


def _used(places: Places) -> set[str]:
    linked = [places.linked(link) for link in (places.current, places.previous)]
    return {*pending.named(places), *(release.name for release in linked if release)}
