"""What several subcommands share: from parsed options to a Config, a model and a log."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

from edge.catalog import Catalog
from edge.config import Config
from edge.configure import load_config
from edge.storage import models_dir
from edge.stream.address import split_address
from edge.types import ModelSpec

LOG_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"


def load(args: argparse.Namespace) -> Config:
    """The settings of the file, the environment, ``--set`` and the short options, in that order."""
    path = args.config or os.environ.get("PREACT_EDGE_CONFIG")
    return load_config(Path(path) if path else None, os.environ, [*args.overrides, *_short_options(args)])


def resolve_model(config: Config) -> ModelSpec:
    """The configured model's file and labels; raises ModelError."""
    return Catalog.load().resolve(config.detector.model, config.detector.labels, models_dir(config))


def start_logging(config: Config, handler: logging.Handler | None = None) -> None:
    """Log to stderr, or to ``handler``."""
    handler = handler or logging.StreamHandler()
    if handler.formatter is None:
        handler.setFormatter(logging.Formatter(LOG_FORMAT))
    logging.basicConfig(level=config.log_level.upper(), handlers=[handler], force=True)


def _short_options(args: argparse.Namespace) -> list[str]:
    given = vars(args)
    pairs = {
        "camera.source": given.get("source"),
        "detector.model": given.get("model"),
        "detector.labels": given.get("labels"),
        "detector.score_threshold": given.get("score_threshold"),
        "listeners.0.framing": given.get("framing"),
        "listeners.0.video": "true" if given.get("video") else None,
        "camera.unpaced": "true" if given.get("unpaced") else None,
    }
    if given.get("listen"):
        host, port = split_address(given["listen"])
        pairs |= {"listeners.0.host": host, "listeners.0.port": str(port)}
    return [f"{key}={value}" for key, value in pairs.items() if value is not None]
