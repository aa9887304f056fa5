"""The state folder and what is kept in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.configure import load_config
from edge.errors import StateError
from edge.storage import device_id, models_dir, state_dir, write_atomic


def test_the_made_device_id_stays(tmp_path: Path) -> None:
    first = device_id(load_config(None), tmp_path / "state")
    assert first.startswith("edge-")
    assert device_id(load_config(None), tmp_path / "state") == first


def test_a_configured_device_id_wins(tmp_path: Path) -> None:
    assert device_id(load_config(None, {}, ["device.id=door-3"]), tmp_path) == "door-3"


def test_where_the_state_lies(tmp_path: Path) -> None:
    config = load_config(None)
    assert state_dir(config, {"STATE_DIRECTORY": "/var/lib/preact-edge"}) == Path("/var/lib/preact-edge")
    assert state_dir(config, {"XDG_STATE_HOME": "/x"}) == Path("/x/preact-edge")
    mine = load_config(None, {}, [f"storage.state_dir={tmp_path}"])
    assert models_dir(mine, {"STATE_DIRECTORY": "/other"}) == tmp_path / "models"


def test_a_folder_that_cannot_be_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"cannot be written: .*--set storage\.state_dir=DIR"):
        device_id(load_config(None), tmp_path / "file" / "state")


def test_a_damaged_device_id_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "device-id").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StateError, match=r"device-id: is damaged; remove it"):
        device_id(load_config(None), tmp_path)


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path) -> None:
    file = tmp_path / "kept"
    write_atomic(file, b"old")
    with pytest.raises(TypeError):
        write_atomic(file, "text")  # type: ignore[arg-type]
    assert file.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept"]
