"""``preact-edge models`` as a user calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT, shared_assets

FILE = "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29_no_metadata.tflite"


def models(*arguments: str, store: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge", "models", *arguments, "--store", str(store)]
    plain = {key: value for key, value in os.environ.items() if not key.startswith("PREACT_EDGE_")}
    return subprocess.run(command, cwd=ROOT, env=plain | environ, capture_output=True, text=True, check=False)


def test_list_names_them_all_on_one_line_each(tmp_path):
    done = models("list", store=tmp_path)
    lines = done.stdout.splitlines()
    assert (done.returncode, len(lines)) == (0, 11)
    assert lines[0].split()[0] == "name"
    assert any(line.startswith("mobiledet-edgetpu ") and "Apache-2.0" in line for line in lines)


def test_pull_verify_path_and_list(tmp_path):
    source = str(shared_assets() / "models")
    done = models("pull", "ssd-mobilenet-v1", "--from", source, store=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"{tmp_path / FILE}: ok"
    assert models("path", "ssd-mobilenet-v1", store=tmp_path).stdout == f"{tmp_path / FILE}\n"
    assert models("verify", store=tmp_path).stdout == "ssd-mobilenet-v1: ok\n"
    listed = models("list", store=tmp_path).stdout.splitlines()
    assert next(line for line in listed if line.startswith("ssd-mobilenet-v1 ")).split()[5] == "yes"
    (tmp_path / FILE).write_bytes(b"damaged")
    done = models("verify", store=tmp_path)
    assert done.returncode == 1
    assert done.stdout == "ssd-mobilenet-v1: changed; fetch it again: preact-edge models pull ssd-mobilenet-v1\n"


def test_the_mirror_of_the_environment(tmp_path):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / FILE).symlink_to(shared_assets() / "models" / "ssd_mobilenet_v1_coco_quant.tflite")
    mirror = (tmp_path / "mirror").as_uri()
    done = models("pull", "ssd-mobilenet-v1", store=tmp_path / "store", PREACT_EDGE_MODEL_MIRROR=mirror)
    assert done.returncode == 0, done.stderr
    assert "ssd-mobilenet-v1: 100 % of 4.2 MB" in done.stdout


def test_a_wrong_name_is_told_before_anything_is_fetched(tmp_path):
    done = models("pull", "ssd-mobilenet-v1", "mobildet", "--from", str(tmp_path), store=tmp_path / "store")
    assert done.returncode == 1
    assert done.stderr == "preact-edge: model mobildet: is not in the catalogue; did you mean mobiledet?\n"
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("name", ["bundled", ""])
def test_path_of_the_bundled_model_and_of_the_folder(tmp_path, name):
    done = models("path", *filter(None, [name]), store=tmp_path)
    path = Path(done.stdout.strip())
    assert path == tmp_path if not name else path.is_file()
