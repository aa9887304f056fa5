"""The model catalogue: what there is, where it lies on this device, and how to get it."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from edge.errors import ModelError
from edge.paths import expand
from edge.storage import write_atomic
from edge.types import ModelSpec

if TYPE_CHECKING:
    from edge.download import Expected

Progress: TypeAlias = Callable[[str, int, int], None]  # name of the model, bytes so far, bytes in all (0: unknown)
State: TypeAlias = Literal["ok", "changed", "missing"]

BUNDLED = "bundled"
BUNDLED_FILE = "preact_scene_320x192_int8.tflite"
ADVICE = "without internet, give --from DIR or set PREACT_EDGE_MODEL_MIRROR to an address that has it"


def models_root() -> Path:
    """The folder of what ships with the program: in the installed package, else in the checkout."""
    here = Path(__file__).resolve().parent
    packaged = here / "_models"
    return packaged if packaged.is_dir() else here.parent / "models"


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model of the catalogue; ``input`` is width and height in pixels, ``size`` 0 is unknown."""

    name: str
    about: str
    file: str
    url: str
    license: str
    input: tuple[int, int]
    decoder: Literal["ssd", "yolo"]
    resize: Literal["letterbox", "stretch"]
    labels: str
    runs_on: str
    size: int = 0
    sha256: str = ""
    git_blob: str = ""
    cpu_twin: str = ""

    def expected(self) -> Expected:
        """What its file must be."""
        from edge.download import Expected

        return Expected(self.name, self.size, self.sha256, self.git_blob)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    models: tuple[Entry, ...]


class Catalog:
    """The entries by name, in the file's order."""

    def __init__(self, entries: tuple[Entry, ...], root: Path) -> None:
        self.entries = {entry.name: entry for entry in entries}
        self._root = root

    @classmethod
    def load(cls, root: Path | None = None) -> Catalog:
        """Read ``catalog.toml`` of ``root``, by default of what ships with the program; raises ModelError."""
        root = root or models_root()
        path = root / "catalog.toml"
        try:
            entries = msgspec.toml.decode(path.read_bytes(), type=_File).models
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror}; install preact-edge again") from error
        except msgspec.DecodeError as error:
            raise ModelError(f"{path}: {error}") from error
        for entry in entries:
            _check(entry, {other.name for other in entries}, path)
        return cls(entries, root)

    def entry(self, name: str) -> Entry:
        """Raises ModelError for a name that is not in the catalogue."""
        if name == BUNDLED:
            raise ModelError(f"model {BUNDLED}: ships with the program; there is nothing to pull")
        try:
            return self.entries[name]
        except KeyError:
            close = difflib.get_close_matches(name, [BUNDLED, *self.entries], 1)
            hint = f"did you mean {close[0]}?" if close else "see: preact-edge models list"
            raise ModelError(f"model {name}: is not in the catalogue; {hint}") from None

    def resolve(self, name_or_path: str, labels: str, store: Path) -> ModelSpec:
        """The model file for ``bundled``, a catalogue name or a path; ``labels`` "" takes the model's own.

        Raises ModelError where there is no such file, saying how to get it.
        """
        given = expand(labels) if labels else None
        if name_or_path == BUNDLED:
            return self._bundled(given)
        if name_or_path in self.entries:
            return self._pulled(self.entries[name_or_path], given, store)
        path = expand(name_or_path)
        if os.path.isdir(path):
            raise ModelError(f"model {path}: is a folder; give a .tflite file")
        if not (os.path.exists(path) or path.suffix or len(path.parts) > 1):
            self.entry(name_or_path)  # raises, and knows similar names
        return _from_path(path, given)

    def path(self, name: str, store: Path) -> Path:
        """Where the model's file lies, or will lie once pulled; raises ModelError for an unknown name."""
        return self._root / BUNDLED_FILE if name == BUNDLED else store / self.entry(name).file

    def pull(self, name: str, store: Path, source: str = "", progress: Progress = lambda *_: None) -> list[Path]:
        """Bring a model, and its CPU twin, into ``store``; what is there and right already is left alone.

        ``source`` is a folder, the address of a mirror (https, http or file), or "" for the catalogue's own address.
        Every file is checked by size and hash before it takes its place. Raises ModelError.
        """
        entry = self.entry(name)
        paths = [self._pull_one(entry, store, source, progress)]
        if entry.cpu_twin:
            paths.append(self._pull_one(self.entries[entry.cpu_twin], store, source, progress))
        return paths

    def state(self, name: str, store: Path) -> State:
        """Whether a pulled model is what it was when it was pulled; raises ModelError when it cannot be read."""
        from edge.download import fault, sha256_of

        entry = self.entry(name)
        path = store / entry.file
        try:
            path.stat()
        except FileNotFoundError:
            return "missing"
        except OSError as error:
            raise ModelError(f"model {name}: {path}: cannot be read: {error.strerror}") from error
        try:
            recorded = _record(path).read_text(encoding="ascii").split()[:1] if _record(path).exists() else []
            same = not fault(path, entry.expected()) and recorded in ([], [sha256_of(path)])
        except OSError as error:
            raise ModelError(f"model {name}: {path}: cannot be read: {error.strerror}") from error
        return "ok" if same else "changed"

    def _pull_one(self, entry: Entry, store: Path, source: str, progress: Progress) -> Path:
        from edge.download import copy, fetch

        path = store / entry.file
        if self.state(entry.name, store) != "ok":

            def told(done: int, total: int) -> None:
                progress(entry.name, done, total)

            if source and "://" not in source:
                copy(_find(expand(source), entry), path, entry.expected(), told, "look for another copy")
            else:
                url = f"{source.rstrip('/')}/{entry.file}" if source else entry.url
                fetch(url, path, entry.expected(), told, ADVICE)
            _write_record(path)
        elif not _record(path).exists():
            _write_record(path)
        return path

    def _bundled(self, labels: Path | None) -> ModelSpec:
        return ModelSpec(
            name=BUNDLED,
            path=self._root / BUNDLED_FILE,
            labels=labels or self._root / "labels" / "preact_scene.txt",
            decoder="yolo",
            resize="letterbox",
        )

    def _pulled(self, entry: Entry, labels: Path | None, store: Path) -> ModelSpec:
        path = store / entry.file
        state = self.state(entry.name, store)
        if state == "missing":
            raise ModelError(
                f"model {entry.name}: is not on this device; fetch it with: preact-edge models pull {entry.name}"
            )
        if state == "changed":
            raise ModelError(
                f"model {entry.name}: {path} has changed; fetch it again: preact-edge models pull {entry.name}"
            )
        twin = self.entries.get(entry.cpu_twin)
        return ModelSpec(
            name=entry.name,
            path=path,
            labels=labels or self._root / "labels" / entry.labels,
            decoder=entry.decoder,
            resize=entry.resize,
            cpu_twin=self._pulled(twin, labels, store) if twin and os.path.exists(store / twin.file) else None,
        )


def _find(folder: Path, entry: Entry) -> Path:
    """The entry's file in a folder: by its name, else the same bytes under another name; raises ModelError."""
    from edge.download import fault

    if not os.path.isdir(folder):
        raise ModelError(f"{folder}: is no folder; give one that holds {entry.file}")
    named = folder / entry.file
    if os.path.exists(named):
        return named
    try:
        same = (path for path in sorted(folder.glob("*.tflite")) if not fault(path, entry.expected()))
        return next(same, named)
    except OSError as error:
        raise ModelError(f"{error.filename or folder}: cannot be read: {error.strerror}") from error


def _from_path(path: Path, labels: Path | None) -> ModelSpec:
    twin = path.with_name(path.name.replace("_edgetpu", ""))
    has_twin = twin != path and os.path.exists(twin)
    cpu_twin = ModelSpec(name=twin.stem, path=twin, labels=labels) if has_twin else None
    return ModelSpec(name=path.stem, path=path, labels=labels, cpu_twin=cpu_twin)


def _check(entry: Entry, names: set[str], path: Path) -> None:
    if not entry.url.startswith("https://"):
        raise ModelError(f"{path}: {entry.name}: its address must begin with https://")
    if not entry.sha256 and not entry.git_blob:
        raise ModelError(f"{path}: {entry.name}: has neither sha256 nor git_blob")
    if Path(entry.file).name != entry.file or (entry.cpu_twin and entry.cpu_twin not in names):
        raise ModelError(f"{path}: {entry.name}: file must be a bare name and cpu_twin another entry")


def _record(path: Path) -> Path:
    """Where the SHA-256 of a pulled file is kept, as ``sha256sum --check`` reads it."""
    return path.with_name(path.name + ".sha256")


def _write_record(path: Path) -> None:
    from edge.download import sha256_of

    try:
        write_atomic(_record(path), f"{sha256_of(path)}  {path.name}\n".encode("ascii"))
    except OSError as error:
        raise ModelError(f"{_record(path)}: cannot be written: {error.strerror}; give --store DIR") from error
