"""Whether a manifest is signed by a key that this device trusts; OpenSSH's ssh-keygen decides."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from . import commands
from .manifest import NAMESPACE, PRINCIPAL
from .outcome import Refused

TIMEOUT_S = 30.0


def verify(manifest: bytes, signature: bytes, signers: Path) -> str:
    """The fingerprint of the key that signed; Refused where none of ``signers`` did, or there is no such file."""
    _check(signers)
    if not commands.there("ssh-keygen"):
        raise Refused("ssh-keygen is missing, which verifies bundles: apt-get install openssh-client")
    with tempfile.NamedTemporaryFile(prefix="preact-edge-", suffix=".sig") as file:
        file.write(signature)
        file.flush()
        options = ("-f", signers, "-I", PRINCIPAL, "-n", NAMESPACE, "-s", file.name)
        done = commands.run(["ssh-keygen", "-Y", "verify", *options], timeout=TIMEOUT_S, given=manifest)
    if done.code != 0 or not done.out.startswith("Good "):
        raise Refused(
            f"the signature is none of a key in {signers} ({done.last}): "
            "the bundle was changed or signed with another key; build and sign it again, or have that key trusted"
        )
    return done.out.split(" key ", 1)[-1].strip()


def _check(signers: Path) -> None:
    advice = "put the fleet's public key there, as `ansible-playbook site.yml` does"
    try:
        state = os.stat(signers)
        lines = signers.read_text().splitlines()
    except FileNotFoundError as exc:
        raise Refused(f"{signers} is missing, so no bundle can be trusted: {advice}") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise Refused(f"{signers} cannot be read ({exc}): {advice}") from exc
    if not any(line.strip() and not line.lstrip().startswith("#") for line in lines):
        raise Refused(f"{signers} names no key, so no bundle can be trusted: {advice}")
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Refused(f"{signers} can be written by others than its owner: chmod 0644 it, after a look at its keys")
