"""What several subcommands share: from parsed options to a Config, a model and a log."""

from __future__ import annotations

import argparse
import copy
import logging
import os

from edge.catalog import Catalog
from edge.config import Config
from edge.configure import load_config, override
from edge.errors import ConfigError
from edge.paths import expand
from edge.rules.checks import check_rules
from edge.storage import models_dir
from edge.stream.address import split_address
from edge.text import printable
from edge.types import ModelSpec

SHORT_OPTIONS = {
    "source": "camera.source",
    "model": "detector.model",
    "labels": "detector.labels",
    "score_threshold": "detector.score_threshold",
    "framing": "listeners.0.framing",
    "video": "listeners.0.video",
    "unpaced": "camera.unpaced",
}
LOG_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"


def load(args: argparse.Namespace) -> Config:
    """The settings of the file, the environment, ``--set`` and the short options, in that order."""
    path = args.config or os.environ.get("PREACT_EDGE_CONFIG")
    config = load_config(expand(path) if path else None, os.environ, args.overrides)
    for option, key, value in _short_options(args):
        config = override(config, key, value, f"{option} {value}")
    try:
        check_rules(config.alerts.rules)
    except ConfigError as error:
        raise ConfigError(f"{path or 'settings'}: {error}") from error
    return config


def resolve_model(config: Config) -> ModelSpec:
    """The configured model's file and labels; raises ModelError."""
    return Catalog.load().resolve(config.detector.model, config.detector.labels, models_dir(config))


class PrintableLines(logging.Formatter):
    """Escapes control characters, since names of others stand in messages: no line can be forged by one, no terminal
    steered. Of a traceback the lines stay. The rest is left to ``lines``.

    It is no filter: what a badly written call of the log raises there would end the caller's thread.
    """

    def __init__(self, lines: logging.Formatter) -> None:
        super().__init__()
        self._lines = lines

    def format(self, record: logging.LogRecord) -> str:
        shown = copy.copy(record)  # other handlers have the record, too
        shown.msg, shown.args = printable(record.getMessage()), None
        if record.exc_info:
            traceback = self.formatException(record.exc_info)
            shown.exc_text = "\n".join(map(printable, traceback.split("\n")))
        return self._lines.format(shown)


def start_logging(config: Config, handler: logging.Handler | None = None) -> None:
    """Log to stderr, or to ``handler``, in its own form where it has one."""
    handler = handler or logging.StreamHandler()
    handler.setFormatter(PrintableLines(handler.formatter or logging.Formatter(LOG_FORMAT)))
    logging.basicConfig(level=config.log_level.upper(), handlers=[handler], force=True)


def _short_options(args: argparse.Namespace) -> list[tuple[str, str, str]]:
    """Each option that was given, its key and the key's value."""
    given = vars(args)
    rows = [(f"--{name.replace('_', '-')}", key, given.get(name)) for name, key in SHORT_OPTIONS.items()]
    if given.get("listen"):
        host, port = split_address(given["listen"])
        rows += [("--listen", "listeners.0.host", host), ("--listen", "listeners.0.port", str(port))]
    return [
        (option, key, "true" if value is True else value) for option, key, value in rows if value not in (None, False)
    ]
