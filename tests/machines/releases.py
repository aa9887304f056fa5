"""Releases to bring to devices: this checkout's, a good one after it, and some that must never stay."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.machines.control import TARGETS, Control
from tests.machines.remote import make_key

UNSUITED = "/etc/preact-edge/unsuited"  # where this file lies, the release of that name does not run
_VERSION = re.compile(r'^__version__ = "(\d+)\.(\d+)\.(\d+)', re.MULTILINE)


@dataclass(frozen=True)
class Bundle:
    """One release's file."""

    release: str
    path: Path


class Releases:
    """Made when they are first asked for, in ``control.bundles``, or beside it where no fleet would take them."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._target = TARGETS[control.suite]

    @cached_property
    def base(self) -> Bundle:
        """This checkout's own, made as a user makes it."""
        key = self._control.release_key
        command = ["deploy/bundle", "--target", self._target, "--key", str(key), "--out", str(self._control.bundles)]
        self._control.do(command)
        return self._bundle(self._control.bundles, self._version(0))

    @cached_property
    def good(self) -> Bundle:
        return self._changed(1, lambda _: None)

    @cached_property
    def failing(self) -> Bundle:
        """Its selftest finds boxes that it does not expect."""
        return self._changed(2, _expect_what_is_not_there)

    @cached_property
    def unsuited(self) -> Bundle:
        """A good release, that does not run on a device with the file UNSUITED."""
        return self._changed(3, _refuse_to_run)

    @cached_property
    def corrupt(self) -> Bundle:
        """``good`` with one bit changed in the middle of a wheel."""
        path = self._aside("corrupt") / self.good.path.name
        shutil.copyfile(self.good.path, path)
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2)
            byte = file.read(1)[0]
            file.seek(-1, 1)
            file.write(bytes([byte ^ 1]))
        return Bundle(self.good.release, path)

    @cached_property
    def foreign(self) -> Bundle:
        """``good``, signed by somebody else."""
        folder = self._aside("foreign")
        self._build(self._control.folder / self.good.release, make_key(folder / "key"), folder)
        return self._bundle(folder, self.good.release)

    def _changed(self, later: int, change: Callable[[Path], None]) -> Bundle:
        release = self._version(later)
        tree = self._control.folder / release
        self._control.git("worktree", "add", "-q", "--detach", str(tree))
        edit(tree / "edge" / "__init__.py", _VERSION, f'__version__ = "{release}')
        change(tree)
        self._control.commit(tree, f"release {release}")
        self._build(tree, self._control.release_key, self._control.bundles)
        return self._bundle(self._control.bundles, release)

    def _build(self, tree: Path, key: Path, out: Path) -> None:
        python = self._control.checkout / ".venv" / "bin" / "python"
        words = ["-m", "deploy.bundling", "--target", self._target, "--key", str(key), "--out", str(out)]
        self._control.do(["env", "-C", str(tree), f"PYTHONPATH={tree}", "PYTHONSAFEPATH=1", str(python), *words])

    def _bundle(self, folder: Path, release: str) -> Bundle:
        path = folder / f"preact-edge-{release}-{self._target}.bundle"
        assert path.is_file(), f"{path} was not made: {sorted(folder.iterdir())}"
        return Bundle(release, path)

    def _aside(self, name: str) -> Path:
        folder = self._control.folder / name
        folder.mkdir()
        return folder

    def _version(self, later: int) -> str:
        found = _VERSION.search((self._control.checkout / "edge" / "__init__.py").read_text())
        assert found, "edge/__init__.py tells no version"
        return f"{found[1]}.{found[2]}.{int(found[3]) + later}"


def edit(path: Path, pattern: re.Pattern[str], replacement: str) -> None:
    """Change the one place in a file."""
    text, count = pattern.subn(lambda _: replacement, path.read_text())
    assert count == 1, f"{path}: {pattern.pattern} is there {count} times"
    path.write_text(text)


def _expect_what_is_not_there(tree: Path) -> None:
    path = tree / "models" / "golden" / "expected.json"
    golden = json.loads(path.read_text())
    moved = next(frame["detections"][0] for frame in golden["frames"] if frame["detections"])
    moved["bbox"] = [edge + 300.0 for edge in moved["bbox"]]
    path.write_text(json.dumps(golden, indent=1))


def _refuse_to_run(tree: Path) -> None:
    loading = re.compile(r"^    config = common\.load\(args\)\n", re.MULTILINE)
    refusal = f'    if os.path.exists("{UNSUITED}"):\n        return 1\n    config = common.load(args)\n'
    edit(tree / "edge" / "commands" / "run.py", loading, refusal)
