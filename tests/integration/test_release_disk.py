"""Installing and switching on a disk that is full, or becomes so in the middle."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("deploy.release", reason="deploy/ is not beside these tests")

from tests.mounts import run_with_own_mounts


@pytest.mark.parametrize("scene", ["unpack", "venv", "too_small", "quite_full", "switch", "settle"])
def test_a_full_disk(tmp_path: Path, scene: str) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("needs ssh-keygen, of Debian's package openssh-client")
    run_with_own_mounts("tests.release_disks", scene, str(tmp_path))
