"""deploy/bundle as a user runs it: what it makes, and what it says when it cannot."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from deploy.bundling import locks
from deploy.release import signature
from deploy.release.bundle import Bundle
from deploy.release.manifest import parse
from tests.bundling import PYPROJECT, Toy, make_toy, make_wheel
from tests.support import wait_until

NAME = "preact-edge-9.9.9-debian-amd64.bundle"


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return make_toy(tmp_path)


def failed(toy: Toy, done: subprocess.CompletedProcess[str]) -> str:
    """The one line that says why, where nothing was left behind."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("deploy/bundle: ")]
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert len(lines) == 1, done.stderr
    assert toy.bundles == []
    return lines[0]


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
    with tarfile.open(toy.out / NAME) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
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


def test_a_kept_wheel_that_was_changed_is_fetched_again(toy: Toy) -> None:
    assert toy.build().returncode == 0
    before = (toy.out / NAME).read_bytes()
    kept = toy.kept / "toydep-1.5-py3-none-any.whl"
    kept.write_bytes(kept.read_bytes().replace(b"toydep", b"toydeq"))
    done = toy.build()
    assert "fetching 1/1 toydep-1.5-py3-none-any.whl" in done.stderr
    assert (toy.out / NAME).read_bytes() == before


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


def test_what_a_killed_run_left_does_not_matter(toy: Toy) -> None:
    toy.out.mkdir()
    (toy.out / f".{NAME}.part").write_bytes(b"x" * 10_000_000)
    assert toy.build().returncode == 0
    assert toy.bundles == [NAME]
    Bundle(toy.out / NAME).check(parse(Bundle(toy.out / NAME).manifest))


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


def test_a_package_that_is_given(toy: Toy, tmp_path: Path) -> None:
    package = make_deb(tmp_path, "picamera-of-test", "all")
    assert toy.build("--deb", package.parent).returncode == 0
    manifest = parse(Bundle(toy.out / NAME).manifest)
    assert manifest.debs == {"picamera-of-test": f"debs/{package.name}"}
    assert manifest.debs["picamera-of-test"] in manifest.files


def test_a_package_for_another_machine(toy: Toy, tmp_path: Path) -> None:
    package = make_deb(tmp_path, "camera", "arm64")
    assert "is for arm64; debian-amd64 needs one for amd64" in failed(toy, toy.build("--deb", package))


def test_a_package_that_is_none(toy: Toy, tmp_path: Path) -> None:
    make_deb(tmp_path, "any", "all")
    (tmp_path / "x.deb").write_text("no package\n")
    assert "x.deb: is no Debian package" in failed(toy, toy.build("--deb", tmp_path / "x.deb"))


def make_deb(folder: Path, name: str, architecture: str) -> Path:
    if not shutil.which("dpkg-deb"):
        pytest.skip("needs dpkg-deb")
    (folder / name / "DEBIAN").mkdir(parents=True)
    control = f"Package: {name}\nVersion: 1\nArchitecture: {architecture}\nMaintainer: t <t@example.org>\n"
    (folder / name / "DEBIAN" / "control").write_text(f"{control}Description: test\n")
    (folder / "debs").mkdir()
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", folder / name, folder / "debs" / f"{name}.deb"], check=True)
    return folder / "debs" / f"{name}.deb"


def test_models_are_taken_along_as_a_store_has_them(toy: Toy, tmp_path: Path) -> None:
    folder = catalogue_of_one(toy, tmp_path)
    assert toy.build("--model", "tiny", "--models-from", folder).returncode == 0
    manifest = parse(Bundle(toy.out / NAME).manifest)
    assert manifest.models == ("bundled", "tiny")
    assert [name for name in manifest.files if name.startswith("models/")] == [
        "models/tiny.tflite",
        "models/tiny.tflite.sha256",
    ]


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


def test_a_lock_is_renewed_and_says_what_changed(toy: Toy) -> None:
    path = locks.path_of(toy.tree, "debian-amd64")
    before = path.read_text()
    done = toy.run("lock", "debian-amd64")
    assert (done.returncode, done.stdout) == (0, "deploy/locks/debian-amd64.toml: as it was\n"), done.stderr
    assert path.read_text() == before
    make_wheel(toy.index, "toydep", "1.6", needs="Requires-Dist: more\n")
    make_wheel(toy.index, "more", "3")
    done = toy.run("lock", "debian-amd64")
    assert done.stdout == "deploy/locks/debian-amd64.toml: changed\n  + more 3\n    toydep 1.5 -> 1.6\n", done.stderr
    assert [wheel.name for wheel in locks.read(toy.tree, "debian-amd64").wheels] == ["more", "pip", "toydep"]


def test_a_lock_is_made_for_the_target_and_not_for_this_machine(toy: Toy) -> None:
    needs = (
        "Requires-Dist: pi; platform_machine == 'aarch64' and python_version < '3.13'\n"
        "Requires-Dist: pc; platform_machine == 'x86_64'\nRequires-Dist: old; python_version < '3.11'\n"
        "Requires-Dist: mac; sys_platform == 'darwin'\n"
    )
    make_wheel(toy.index, "toydep", "1.7", needs=needs)
    for name in ("pi", "pc", "old", "mac"):
        make_wheel(toy.index, name, "1")
    found = {}
    for target in ("jetson-jp6", "pi-bookworm-64", "pi-trixie-64", "debian-trixie-amd64"):
        done = toy.run("lock", target)
        assert done.returncode == 0, done.stderr
        found[target] = {wheel.name for wheel in locks.read(toy.tree, target).wheels} - {"pip", "toydep"}
    assert found == {
        "jetson-jp6": {"pi", "old"},
        "pi-bookworm-64": {"pi"},
        "pi-trixie-64": set(),
        "debian-trixie-amd64": {"pc"},
    }


def test_a_lock_of_packages_that_are_nowhere(toy: Toy) -> None:
    (toy.tree / "pyproject.toml").write_text(PYPROJECT.replace("toydep>=1", "toydep>=7"))
    before = locks.path_of(toy.tree, "debian-amd64").read_text()
    assert "pip finds no wheels for Python 3.11 on x86_64" in failed(toy, toy.run("lock", "debian-amd64"))
    assert locks.path_of(toy.tree, "debian-amd64").read_text() == before


def test_files_that_no_index_has_are_given_once_and_checked_ever_after(toy: Toy, tmp_path: Path) -> None:
    lock = locks.read(toy.tree, "coral-bookworm")
    given = [tmp_path / entry.file for entry in lock.by_hand]
    shutil.copyfile(make_deb(tmp_path, "libedgetpu1-std", "arm64"), given[0])
    given[1].write_bytes((toy.index / make_wheel(toy.index, "tflite_runtime", "2.17.1").file).read_bytes())
    without_apt_packages(toy)
    build = ("--target", "coral-bookworm", "--key", toy.key, "--out", toy.out, "--label", "coral")
    assert toy.run("lock", "coral-bookworm").returncode == 0
    assert f"nobody gave {given[0].name} yet; fetch it from https://" in failed(toy, toy.run(*build))
    done = toy.run("lock", "coral-bookworm", "--with", given[0], "--with", given[1])
    assert done.returncode == 0, done.stderr
    assert toy.run("lock", "coral-bookworm").stdout.endswith("as it was\n")
    shutil.rmtree(toy.cache)
    assert f"{given[0].name}: is not in" in failed(toy, toy.run(*build))
    done = toy.run(*build, "--with", given[0], "--with", given[1])
    assert done.returncode == 0, done.stderr
    manifest = parse(Bundle(toy.out / "preact-edge-9.9.9+coral-coral-bookworm.bundle").manifest)
    assert manifest.debs == {"libedgetpu1-std": f"debs/{given[0].name}"}
    assert f"wheels/{given[1].name}" in manifest.files
    given[0].write_bytes(b"another")
    assert "is another file than the lock names" in toy.run(*build, "--with", given[0]).stderr


def without_apt_packages(toy: Toy) -> None:
    """The target needs no package of Debian's: apt's archives are not for tests."""
    path = toy.tree / "deploy" / "bundling" / "targets.py"
    text = path.read_text()
    cut = re.sub(r"\n +debs=\{.*\},", "", text)
    assert cut != text
    path.write_text(re.sub(r"constraints=\(.*\)", "constraints=()", cut))
