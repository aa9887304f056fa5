"""Older releases go; the ones that are used, may come back or are about to be used stay."""

from __future__ import annotations

from collections.abc import Iterable

from . import durable, pending
from .places import Places

KEEP = 3
COPY_NAME = (
    "before-{}.outbox"  # in the state folder: a copy of the outbox from before a release that changed its format
)


def prune(places: Places, keep: int, spare: Iterable[str] = ()) -> list[str]:
    """Removes all releases but the newest ``keep``, current, previous, ``spare`` and those of a switch under way.

    Returns the names of those that went.
    """
    used = {*spare, *pending.named(places)}
    used.update(release.name for link in (places.current, places.previous) if (release := places.linked(link)))
    installed = places.installed()
    newest = {release.name for release in installed[max(0, len(installed) - keep) :]}
    gone = [release for release in installed if release.name not in used | newest]
    for release in gone:
        durable.remove(release.record)  # from here on it is no release, also when the rest is cut off
        durable.remove_tree(release.folder)
    left = {release.name for release in places.installed()}
    for copy in places.state.glob(COPY_NAME.format("*")):
        if copy.name not in {COPY_NAME.format(name) for name in left}:
            durable.remove(copy)
    return [release.name for release in gone]
