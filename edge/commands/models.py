"""``preact-edge models``: list, pull, verify and find the models of the catalogue."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from edge.catalog import Catalog
from edge.commands import common
from edge.paths import expand
from edge.storage import models_dir

MIRROR = "PREACT_EDGE_MODEL_MIRROR"
STEP = 10  # per cent between two plain lines of progress


def run(args: argparse.Namespace) -> int:
    """0 done, 1 where ``verify`` found a changed model; raises ModelError."""
    store = expand(args.store) if args.store else models_dir(common.load(args))
    catalog = Catalog.load()
    console = Console(soft_wrap=not sys.stdout.isatty())
    if args.action == "list":
        return _list(catalog, store, console)
    if args.action == "pull":
        return _pull(catalog, store, args.names, args.origin or os.environ.get(MIRROR, ""), console)
    if args.action == "verify":
        return _verify(catalog, store)
    print(catalog.path(args.name, store) if args.name else store)
    return 0


def _list(catalog: Catalog, store: Path, console: Console) -> int:
    table = Table("name", "size", "input", "runs on", "here", "licence", "what it is", box=None, pad_edge=False)
    for entry in catalog.entries.values():
        path = str(store / entry.file)
        here = os.path.exists(path)
        size = os.path.getsize(path) if here else entry.size
        table.add_row(
            entry.name,
            f"{size / 1e6:.1f} MB" if size else "",
            "x".join(map(str, entry.input)),
            entry.runs_on,
            "yes" if here else "",
            entry.license,
            entry.about,
        )
    if not console.is_terminal:  # a pipe has no width: every row on one line
        console.width = 200
    console.print(table)
    return 0


def _pull(catalog: Catalog, store: Path, names: list[str], source: str, console: Console) -> int:
    for name in names:  # a slip of the pen in the last name is told before the first download
        catalog.entry(name)
    for name in names:
        if console.is_terminal:
            paths = _with_bar(catalog, store, name, source, console)
        else:
            paths = catalog.pull(name, store, source, PlainProgress())
        for path in paths:
            print(f"{path}: ok")
    return 0


def _with_bar(catalog: Catalog, store: Path, name: str, source: str, console: Console) -> list[Path]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        tasks: dict[str, TaskID] = {}

        def told(model: str, done: int, total: int) -> None:
            if model not in tasks:
                tasks[model] = bar.add_task(model, total=total or None)
            bar.update(tasks[model], completed=done)

        return catalog.pull(name, store, source, told)


class PlainProgress:
    """A line for every tenth of a file, for logs and pipes."""

    def __init__(self) -> None:
        self._said: dict[str, int] = {}

    def __call__(self, name: str, done: int, total: int) -> None:
        percent = 100 * done // total if total else 0
        if percent >= self._said.get(name, 0) + STEP:
            self._said[name] = percent - percent % STEP
            print(f"{name}: {percent} % of {total / 1e6:.1f} MB", flush=True)


def _verify(catalog: Catalog, store: Path) -> int:
    changed = 0
    for name in catalog.entries:
        state = catalog.state(name, store)
        if state == "missing":
            continue
        changed += state == "changed"
        advice = f"; fetch it again: preact-edge models pull {name}" if state == "changed" else ""
        print(f"{name}: {state}{advice}")
    return 1 if changed else 0
