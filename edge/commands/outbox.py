"""``preact-edge outbox``: look at the stored alerts, back them up, bring a backup back, forget a consumer."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from edge.commands import common
from edge.outbox import copies
from edge.storage import state_dir


def run(args: argparse.Namespace) -> int:
    """0 done; raises StateError."""
    folder = state_dir(common.load(args))
    if args.action == "show":
        return _show(copies.summary(folder))
    if args.action == "backup":
        copies.backup(folder, args.file)
        print(f"{args.file}: ok")
    elif args.action == "restore":
        _restore(folder, args.file)
    else:
        copies.forget(folder, args.name)
        print(f"{args.name}: forgotten")
    return 0


def _show(summary: copies.Summary) -> int:
    stored = summary.next_seq - summary.oldest_seq
    print(f"path       {summary.path}")
    print(f"size       {summary.size / 1e6:.1f} MB")
    print(f"stream     {summary.stream}")
    print(f"alerts     {stored}" + (f", {summary.oldest_seq} to {summary.next_seq - 1}" if stored else ""))
    print(f"next       {summary.next_seq}")
    print(f"unread     {summary.unread} trimmed before every consumer had them")
    print(f"consumers  {len(summary.consumers) or 'none'}")
    for consumer in summary.consumers:
        behind = summary.next_seq - 1 - consumer.acked
        print(
            f"  {consumer.name}  acknowledged {consumer.acked}, {behind} behind, last seen {_day(consumer.last_seen)}"
        )
    return 0


def _restore(folder: Path, file: Path) -> None:
    aside = copies.restore(folder, file)
    if aside is not None:
        print(f"{aside}{'' if aside.exists() else '-*'}: what was there before")
    print(f"{copies.summary(folder).path}: restored, as a new stream")


def _day(seen: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seen)) if seen else "before the clock was set"
