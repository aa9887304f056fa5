"""deploy/bundle as a user runs it: what it makes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.release import signature
from deploy.release.bundle import Bundle
from deploy.release.manifest import parse
from tests.bundling import NAME, Toy, failed, make_deb, make_toy
from tests.support import wait_until


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return make_toy(tmp_path)


def test_a_device_that_trusts_the_printed_line_takes_the_bundle(toy: Toy, tmp_path: Path) -> None:
    done = toy.build()
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if "signers" in line)
    signers = tmp_path / "release-signers"
    signers.write_text(line.split(maxsplit=1)[1] + "\n")
    bundle = Bundle(toy.out / NAME)
    signature.verify(bundle.manifest, bundle.signature, signers)
    manifest = parse(bundle.manifest)
    bundle.check(manifest)
    commit = subprocess.check_output(["git", "-C", toy.tree, "rev-parse", "HEAD"], text=True).strip()
    assert (manifest.release, manifest.version, manifest.commit) == ("9.9.9", "9.9.9", commit)
    assert (manifest.target, manifest.requires.python) == ("debian-amd64", "3.11")
    assert manifest.date == "2026-09-21T14:13:20Z"
    assert manifest.outbox_format >= 1
    assert manifest.models == ("bundled",)
    assert list(manifest.files) == [
        "pip/pip-1.5-py3-none-any.whl",
        "requirements.txt",
        "systemd/preact-edge.service",
        "wheels/preact_edge-9.9.9-py3-none-any.whl",
        "wheels/toydep-1.5-py3-none-any.whl",
    ]


def test_pip_would_install_every_wheel_of_it_and_no_other(toy: Toy, tmp_path: Path) -> None:
    assert toy.build().returncode == 0
    (tmp_path / "unpacked").mkdir()
    subprocess.run(["tar", "-x", "-C", tmp_path / "unpacked", "-f", toy.out / NAME], check=True, timeout=60)
    options = ["--no-index", "--no-deps", "--ignore-installed", "--require-hashes", "--find-links", "wheels"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--dry-run", *options, "-r", "requirements.txt"],
        cwd=tmp_path / "unpacked",
        env={**toy.environment, "PIP_FIND_LINKS": ""},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "Would install preact-edge-9.9.9 toydep-1.5" in done.stdout, done.stdout + done.stderr


def test_the_same_inputs_make_the_same_bytes(toy: Toy, tmp_path: Path) -> None:
    shutil.rmtree(toy.cache)
    other = Toy(tmp_path / "elsewhere" / "tree", toy.index, tmp_path / "cache 2", toy.key, tmp_path / "out 2")
    shutil.copytree(toy.tree, other.tree)
    for path in other.tree.rglob("*"):
        if ".git" not in path.parts:
            os.utime(path, (1_000_000_000, 1_000_000_000))
            path.chmod(0o700)
    subprocess.run(["git", "-C", other.tree, "config", "core.fileMode", "false"], check=True)
    first = toy.build(TZ="Asia/Kolkata", LANG="C")
    second = other.build(umask=0o077, TZ="America/St_Johns", LC_ALL="C.UTF-8", PYTHONHASHSEED="7")  # type: ignore[arg-type]
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert (toy.out / NAME).read_bytes() == (other.out / NAME).read_bytes()


def test_the_second_bundle_needs_no_index(toy: Toy) -> None:
    shutil.rmtree(toy.cache)
    assert toy.build().returncode == 0
    shutil.rmtree(toy.index)
    assert toy.build().returncode == 0


def test_a_kept_wheel_that_was_changed_is_fetched_again(toy: Toy) -> None:
    assert toy.build().returncode == 0
    before = (toy.out / NAME).read_bytes()
    kept = toy.kept / "toydep-1.5-py3-none-any.whl"
    kept.write_bytes(kept.read_bytes().replace(b"toydep", b"toydeq"))
    done = toy.build()
    assert "fetching 1/1 toydep-1.5-py3-none-any.whl" in done.stderr
    assert (toy.out / NAME).read_bytes() == before


def test_a_key_in_the_agent(toy: Toy) -> None:
    if not shutil.which("ssh-agent"):
        pytest.skip("needs ssh-agent")
    with subprocess.Popen(["ssh-agent", "-D", "-a", toy.cache.with_name("agent")], stdout=subprocess.PIPE) as agent:
        try:
            env = {"SSH_AUTH_SOCK": str(toy.cache.with_name("agent"))}
            wait_until(toy.cache.with_name("agent").exists)
            subprocess.run(["ssh-add", "-q", toy.key], env={**os.environ, **env}, check=True, timeout=30)
            by_file = toy.build()
            bytes_by_file = (toy.out / NAME).read_bytes()
            toy.key.rename(toy.key.with_name("away"))
            done = toy.run("--target", "debian-amd64", "--key", f"{toy.key}.pub", "--out", toy.out, **env)
        finally:
            agent.terminate()
    assert (by_file.returncode, done.returncode) == (0, 0), done.stderr
    assert (toy.out / NAME).read_bytes() == bytes_by_file


def test_what_a_killed_run_left_does_not_matter(toy: Toy) -> None:
    toy.out.mkdir()
    (toy.out / f".{NAME}.part").write_bytes(b"x" * 10_000_000)
    assert toy.build().returncode == 0
    assert toy.bundles == [NAME]
    Bundle(toy.out / NAME).check(parse(Bundle(toy.out / NAME).manifest))


def test_a_package_that_is_given(toy: Toy, tmp_path: Path) -> None:
    package = make_deb(tmp_path, "picamera-of-test", "all")
    assert toy.build("--deb", package.parent).returncode == 0
    manifest = parse(Bundle(toy.out / NAME).manifest)
    assert manifest.debs == {"picamera-of-test": f"debs/{package.name}"}
    assert manifest.debs["picamera-of-test"] in manifest.files


def test_a_package_for_another_machine(toy: Toy, tmp_path: Path) -> None:
    package = make_deb(tmp_path, "camera", "arm64")
    assert "is for arm64; debian-amd64 needs one for amd64" in failed(toy, toy.build("--deb", package))


def test_two_versions_of_a_package(toy: Toy, tmp_path: Path) -> None:
    package = make_deb(tmp_path, "camera", "all")
    shutil.copyfile(package, package.with_name("camera_2.deb"))
    reason = failed(toy, toy.build("--deb", package.parent))
    assert "camera_2.deb: is camera, and so is" in reason
    assert "remove the one that is not wanted" in reason


def test_a_package_that_is_none(toy: Toy, tmp_path: Path) -> None:
    make_deb(tmp_path, "any", "all")
    (tmp_path / "x.deb").write_text("no package\n")
    assert "x.deb: is no Debian package" in failed(toy, toy.build("--deb", tmp_path / "x.deb"))


def test_models_are_taken_along_as_a_store_has_them(toy: Toy, tmp_path: Path) -> None:
    folder = catalogue_of_one(toy, tmp_path)
    assert toy.build("--model", "tiny", "--models-from", folder).returncode == 0
    manifest = parse(Bundle(toy.out / NAME).manifest)
    assert manifest.models == ("bundled", "tiny")
    assert [name for name in manifest.files if name.startswith("models/")] == [
        "models/tiny.tflite",
        "models/tiny.tflite.sha256",
    ]


def test_a_model_that_this_machine_lacks_is_pulled_once(toy: Toy, tmp_path: Path) -> None:
    folder = catalogue_of_one(toy, tmp_path)
    own = {"XDG_STATE_HOME": str(tmp_path / "state"), "PREACT_EDGE_MODEL_MIRROR": str(folder)}
    assert toy.build("--model", "tiny", **own).returncode == 0
    (folder / "tiny.tflite").unlink()
    assert toy.build("--model", "tiny", **own).returncode == 0
    assert parse(Bundle(toy.out / NAME).manifest).models == ("bundled", "tiny")


def test_a_model_that_is_another(toy: Toy, tmp_path: Path) -> None:
    folder = catalogue_of_one(toy, tmp_path)
    (folder / "tiny.tflite").write_bytes(b"another")
    assert "model tiny" in failed(toy, toy.build("--model", "tiny", "--models-from", folder))


def test_a_model_that_is_in_no_catalogue(toy: Toy) -> None:
    assert "model huge: is not in the catalogue" in failed(toy, toy.build("--model", "huge"))


def catalogue_of_one(toy: Toy, tmp_path: Path) -> Path:
    """A catalogue with one small model, and the folder that has it."""
    digest = hashlib.sha256(b"tiny").hexdigest()
    entry = f'''
[[models]]
name = "tiny"
about = "a test's"
file = "tiny.tflite"
url = "https://example.org/tiny.tflite"
sha256 = "{digest}"
license = "Apache-2.0"
input = [1, 1]
decoder = "ssd"
resize = "stretch"
labels = "coco90.txt"
runs_on = "cpu"
'''
    (toy.tree / "models" / "catalog.toml").write_text(entry)
    toy.commit()
    folder = tmp_path / "models of mine"
    folder.mkdir()
    (folder / "tiny.tflite").write_bytes(b"tiny")
    return folder
