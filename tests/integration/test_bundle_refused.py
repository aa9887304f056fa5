"""deploy/bundle: what it says when it cannot make one, and what it leaves behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.release.bundle import Bundle
from deploy.release.manifest import parse
from tests.bundling import NAME, PYPROJECT, Toy, failed, make_toy, make_wheel


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return make_toy(tmp_path)


def test_a_changed_file_is_refused_without_a_label(toy: Toy) -> None:
    (toy.tree / "edge" / "__init__.py").write_text('__version__ = "9.9.9"\n# changed\n')
    assert "edge/__init__.py differ from the commit; commit them, or give --label" in failed(toy, toy.build())
    assert toy.build("--label", "try.1").returncode == 0
    assert toy.bundles == ["preact-edge-9.9.9+try.1-debian-amd64.bundle"]
    manifest = parse(Bundle(toy.out / toy.bundles[0]).manifest)
    assert manifest.release == "9.9.9+try.1"
    assert manifest.commit.endswith("-dirty")


def test_a_file_that_git_does_not_know_is_a_change(toy: Toy) -> None:
    (toy.tree / "edge" / "new.py").write_text("")
    assert "edge/new.py differ from the commit" in failed(toy, toy.build())


def test_a_new_file_is_a_change_also_where_git_is_told_to_hide_it(toy: Toy) -> None:
    subprocess.run(["git", "-C", toy.tree, "config", "status.showUntrackedFiles", "no"], check=True, timeout=60)
    (toy.tree / "edge" / "new.py").write_text("")
    assert "edge/new.py differ from the commit" in failed(toy, toy.build())


def test_a_label_that_can_be_no_folder_name(toy: Toy) -> None:
    assert "--label ../x" in failed(toy, toy.build("--label", "../x"))


def test_a_tree_without_git_needs_a_label_and_a_date(toy: Toy) -> None:
    shutil.rmtree(toy.tree / ".git")
    assert "is no git checkout" in failed(toy, toy.build())
    assert "is no git checkout" in failed(toy, toy.build("--label", "tar"))
    assert toy.build("--label", "tar", SOURCE_DATE_EPOCH="1790000000").returncode == 0
    manifest = parse(Bundle(toy.out / "preact-edge-9.9.9+tar-debian-amd64.bundle").manifest)
    assert (manifest.commit, manifest.date) == ("unknown", "2026-09-21T14:13:20Z")


def test_a_lock_of_other_dependencies(toy: Toy) -> None:
    (toy.tree / "pyproject.toml").write_text(PYPROJECT.replace("toydep>=1", "toydep>=2"))
    toy.commit()
    assert "debian-amd64.toml: is of other dependencies than pyproject.toml has" in failed(toy, toy.build())


def test_a_wheel_that_is_not_the_locked_one(toy: Toy) -> None:
    shutil.rmtree(toy.cache)
    make_wheel(toy.index, "toydep", "1.5", {"toydep.py": "evil = True\n"})
    assert "toydep-1.5-py3-none-any.whl: the index has another file" in failed(toy, toy.build())


def test_no_network_and_nothing_kept(toy: Toy) -> None:
    shutil.rmtree(toy.cache)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # nobody listens there once this one is closed
    none = {"PIP_NO_INDEX": "", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": f"http://127.0.0.1:{port}/simple"}
    reason = failed(toy, toy.build(**none, PIP_RETRIES="0", no_proxy="127.0.0.1"))
    assert "there is no network" in reason
    assert str(toy.cache) in reason


def test_a_target_that_is_none(toy: Toy) -> None:
    reason = failed(toy, toy.run("--target", "debian-amd46", "--key", toy.key, "--out", toy.out))
    assert "did you mean debian-amd64?" in reason
    assert "pi-bookworm-64" in reason


@pytest.mark.parametrize(
    ("make", "words"),
    [
        ([], "there is no such key; make one with: ssh-keygen -t ed25519"),
        (["-t", "rsa", "-b", "2048", "-N", ""], "is a key of kind RSA; a bundle is signed with Ed25519"),
        (["-t", "ed25519", "-N", "a phrase"], "has a passphrase, and there is no terminal to ask for it"),
    ],
)
def test_a_key_that_cannot_sign(toy: Toy, make: list[str], words: str) -> None:
    toy.key.unlink()
    toy.key.with_name("release.key.pub").unlink()
    if make:
        subprocess.run(["ssh-keygen", "-q", *make, "-f", toy.key], check=True, timeout=60)
    assert words in failed(toy, toy.build())


def test_a_key_that_is_none(toy: Toy) -> None:
    toy.key.write_text("no key\n")
    toy.key.with_name("release.key.pub").unlink()
    assert "release.key: is no key" in failed(toy, toy.build())


def test_no_key(toy: Toy) -> None:
    assert "ssh-keygen -t ed25519" in failed(toy, toy.run("--target", "debian-amd64", "--out", toy.out))


def test_a_folder_that_cannot_be_written(toy: Toy) -> None:
    toy.out.write_text("a file\n")
    done = toy.build()
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert toy.out.read_text() == "a file\n"


def test_a_disk_that_is_full_leaves_the_old_bundle(toy: Toy) -> None:
    assert toy.build().returncode == 0
    before = (toy.out / NAME).read_bytes()
    done = toy.run("--target", "debian-amd64", "--key", toy.key, "--out", toy.out, limit=len(before) - 4096)
    assert done.returncode == 1, done.stderr
    assert f"{NAME}: cannot be written: File too large" in done.stderr
    assert toy.bundles == [NAME]
    assert (toy.out / NAME).read_bytes() == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_in_the_middle_it_leaves_nothing(toy: Toy, number: int, code: int) -> None:
    shutil.rmtree(toy.cache)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # an index that takes the call and says nothing
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        env = {**toy.environment, "PIP_NO_INDEX": "", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": index}
        command = [sys.executable, "-m", "deploy.bundling", "--target", "debian-amd64", "--key", toy.key]
        with subprocess.Popen(
            [*command, "--out", toy.out],
            cwd=toy.tree,
            env={**env, "TMPDIR": str(toy.index), "no_proxy": "127.0.0.1"},
            start_new_session=True,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            silent.settimeout(60)
            connection, _ = silent.accept()
            os.killpg(process.pid, number)
            _, words = process.communicate(timeout=60)
            connection.close()
    assert process.returncode == code, words
    assert "Traceback" not in words
    assert toy.bundles == []
    assert not list(toy.index.glob("preact-edge-bundle-*"))
