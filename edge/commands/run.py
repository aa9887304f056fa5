"""``preact-edge run``: the daemon."""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import sys

from edge.app import App
from edge.commands import common
from edge.systemd import JournalLines, Systemd, is_journal


def run(args: argparse.Namespace) -> int:
    """Run until a signal, the end of the recording, or ``--max-frames``."""
    config = common.load(args)
    common.start_logging(config, _journal() if is_journal(sys.stderr) else None)
    if not faulthandler.is_enabled():
        faulthandler.enable()  # systemd ends a program that hangs by SIGABRT: its log then has the stacks
    app = App(config, max_frames=args.max_frames, systemd=Systemd(os.environ))
    app.handle_signals()
    app.start(common.resolve_model(config))
    try:
        app.wait()
    finally:
        code = app.stop()
    if app.failure:
        print(f"preact-edge: {app.failure}", file=sys.stderr)
    return code


def _journal() -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setFormatter(JournalLines())
    return handler
