"""Models of the catalogue, verified and laid out as a device's model store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deploy.bundling.errors import BundleError


def collect(root: Path, names: Sequence[str], origin: Path | None, work: Path) -> tuple[list[str], dict[str, Path]]:
    """The names of all models, twins and the bundled one too, and the files of the store under their names in a bundle.

    They come from the folder ``origin``, by default this machine's store.
    """
    from edge.catalog import BUNDLED, Catalog
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
            catalog.pull(name, store, str(folder))
    except EdgeError as error:
        hint = "" if origin else "; it is this machine's store: preact-edge models pull NAME, or give --models-from DIR"
        raise BundleError(f"{error}{hint}") from error
    files = {f"models/{path.name}": path for path in sorted(store.glob("*"))} if names else {}
    return list(dict.fromkeys(all_names)), files
