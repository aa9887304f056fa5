"""The scripts that make a checkout run: what they say and do where Python or its venv is not as needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

DEPLOY = ROOT / "deploy"
pytestmark = pytest.mark.skipif(not DEPLOY.is_dir(), reason="deploy/ is not beside these tests")
APT_GET = "echo apt-get $* >&2; exit 100"  # no network: it can neither install nor download


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The scripts alone, at a path with a space, and an empty bin/ to fill with programs."""
    folder = tmp_path / "a place" / "preact-edge"
    shutil.copytree(DEPLOY, folder / "deploy")
    (folder / "pyproject.toml").write_text("")
    (folder / "bin").mkdir()
    for name in ("dirname", "flock", "mkdir", "rm", "sha256sum", "cat", "tail", "grep", "tee", "sed", "id", "env"):
        found = shutil.which(name)
        assert found
        (folder / "bin" / name).symlink_to(found)
    return folder


def program(checkout: Path, name: str, script: str) -> None:
    """Puts a shell script of that name into bin/."""
    path = checkout / "bin" / name
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def python_without_ensurepip(checkout: Path) -> None:
    """As Debian's python3 is without its package python3-venv."""
    program(checkout, "python3", f"""case "$*" in *ensurepip*) exit 1 ;; esac\nexec "{sys.executable}" "$@" """)


def demo(checkout: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(checkout / "bin"), "HOME": str(checkout), **variables}
    command = ["/bin/sh", str(checkout / "deploy" / "demo")]
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", ["demo", "test", "lib.sh"])
def test_a_posix_shell_parses(name: str) -> None:
    subprocess.run(["/bin/sh", "-n", str(DEPLOY / name)], check=True)


@pytest.mark.parametrize("name", ["demo", "test"])
def test_commands_are_executable(name: str) -> None:
    assert os.access(DEPLOY / name, os.X_OK)


def test_no_suitable_python_is_one_line(checkout: Path) -> None:
    program(checkout, "python3", 'case "$1" in --version) echo "Python 3.9.2" ;; *) exit 1 ;; esac')
    done = demo(checkout)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "preact-edge: needs Python 3.10 to 3.13, found Python 3.9.2: install one and name it, "
        f"PREACT_EDGE_PYTHON=/path/to/python3 {checkout}/deploy/demo"
    ]
    assert not (checkout / ".venv").exists()


def test_no_python_at_all_is_one_line(checkout: Path) -> None:
    done = demo(checkout)
    assert done.returncode == 1
    assert "found no python3" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_unsuitable_named_python_is_not_passed_over(checkout: Path) -> None:
    program(checkout, "python3", f'exec "{sys.executable}" "$@"')
    done = demo(checkout, PREACT_EDGE_PYTHON="/nowhere/python3")
    assert done.returncode == 1
    assert done.stderr == "preact-edge: PREACT_EDGE_PYTHON=/nowhere/python3 is no Python 3.10 to 3.13\n"


def test_without_root_the_missing_package_is_named_and_nothing_half_made_stays(checkout: Path) -> None:
    python_without_ensurepip(checkout)
    program(checkout, "id", "echo 1000")
    program(checkout, "sudo", "exit 1")
    program(checkout, "apt-get", APT_GET)
    done = demo(checkout)
    assert done.returncode == 1
    assert "sudo apt-get install -y python3" in done.stderr
    assert "-venv" in done.stderr.splitlines()[-1]
    assert not (checkout / ".venv").exists()


def test_root_gets_the_missing_package_from_apt(checkout: Path) -> None:
    python_without_ensurepip(checkout)
    program(checkout, "id", "echo 0")
    program(checkout, "apt-get", APT_GET)
    done = demo(checkout)
    assert done.returncode == 1
    assert "apt-get update" in done.stderr
    assert "installing Debian's package python3" in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_venv_of_another_path_is_made_anew(checkout: Path) -> None:
    scripts = checkout / ".venv" / "bin"
    scripts.mkdir(parents=True)
    (scripts / "python").symlink_to(sys.executable)
    (scripts / "pip").write_text("#!/elsewhere/.venv/bin/python\n")
    done = demo(checkout)  # finds no Python to make it with
    assert "making it anew" in done.stderr


def test_a_finished_install_is_not_repeated(checkout: Path) -> None:
    """The environment of these tests stands in for one that deploy/demo made."""
    scripts = checkout / ".venv" / "bin"
    scripts.mkdir(parents=True)
    (scripts / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (scripts / "pip").write_text(f"#!{scripts}/python\n")
    (scripts / "preact-edge").write_text('#!/bin/sh\necho "$@"\nexit 7\n')
    for script in scripts.iterdir():
        script.chmod(0o755)
    shell = f'root="{checkout}" venv="{checkout}/.venv"; . "{checkout}/deploy/lib.sh"; root="{checkout}"; fingerprint'
    stamp = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, check=True).stdout
    (checkout / ".venv" / ".ready-demo").write_text(stamp)
    done = demo(checkout)
    assert (done.returncode, done.stdout, done.stderr) == (7, "demo\n", "")
