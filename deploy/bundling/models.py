"""Models of the catalogue, verified and laid out as a device's model store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from deploy.bundling.errors import BundleError
from deploy.bundling.wheels import Say


def collect(
    root: Path, names: Sequence[str], origin: Path | None, work: Path, say: Say
) -> tuple[list[str], dict[str, Path]]:
    """The names of all models, twins and the bundled one too, and the files of the store under their names in a bundle.

    They come from the folder ``origin``, by default this machine's store, into which a missing one is pulled.
    """
    from edge.catalog import BUNDLED, Catalog
    from edge.commands.models import MIRROR
    from edge.config import Config
    from edge.errors import EdgeError
    from edge.storage import models_dir

    store, folder = work / "models", origin or models_dir(Config())
    all_names = [BUNDLED]
    try:
        catalog = Catalog.load(root / "models")
        for name in names:
            twin = catalog.entry(name).cpu_twin
            all_names += [name, twin] if twin else [name]
            if origin is None:
                say(f"model {name}, into {folder} unless it is there")
                catalog.pull(name, folder, os.environ.get(MIRROR, ""))
            catalog.pull(name, store, str(folder))
    except EdgeError as error:
        raise BundleError(str(error)) from error
    files = {f"models/{path.name}": path for path in sorted(store.glob("*"))} if names else {}
    return list(dict.fromkeys(all_names)), files
