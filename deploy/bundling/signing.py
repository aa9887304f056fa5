"""Signatures by OpenSSH: of a key in a file, in ssh-agent, or in a hardware token."""

from __future__ import annotations

import base64
import os
import struct
from pathlib import Path

from deploy.bundling.errors import BundleError
from deploy.bundling.process import last_words, run
from deploy.release.manifest import NAMESPACE, PRINCIPAL

MAKE_ONE = "make one with: ssh-keygen -t ed25519 -N '' -f release.key -C release"
NO_PROGRAM = "install Debian's openssh-client"
TOUCHED = "ED25519-SK"
KINDS = ("ED25519", TOUCHED)


def kind_of(key: Path) -> str:
    """ED25519, or ED25519-SK of a hardware token; BundleError for anything that cannot sign a bundle here and now."""
    if not key.is_file():
        raise BundleError(f"{key}: there is no such key; {MAKE_ONE}")
    if not os.access(key, os.R_OK):
        raise BundleError(f"{key}: cannot be read; run as the one whose key it is")
    listed = run(["ssh-keygen", "-l", "-f", key], missing=NO_PROGRAM)
    kind = listed.stdout.strip().rpartition("(")[2].rstrip(")")
    if listed.returncode or kind not in KINDS:
        what = f"is a key of kind {kind}" if kind else f"is no key: {last_words(listed)}"
        raise BundleError(f"{key}: {what}; a bundle is signed with Ed25519: {MAKE_ONE}")
    if not _has_terminal():
        _check_without_terminal(key)
    return kind


def sign(manifest: Path, key: Path) -> Path:
    """The signature of a file, beside it; asks for a passphrase on the terminal where the key has one."""
    done = run(["ssh-keygen", "-Y", "sign", "-f", key, "-n", NAMESPACE, manifest], missing=NO_PROGRAM)
    signature = manifest.with_name(f"{manifest.name}.sig")
    if done.returncode or not signature.is_file():
        raise BundleError(f"{key}: cannot sign: {last_words(done)}")
    return signature


def signers_line(signature: Path) -> str:
    """What devices need to believe this signature: a line of release-signers, of the key that made it."""
    armour = signature.read_text(encoding="ascii").split("-----")[2]
    blob = base64.b64decode(armour)
    start = len(b"SSHSIG") + 4  # its magic and version, then the public key with its length before it
    (length,) = struct.unpack_from(">I", blob, start)
    public = blob[start + 4 : start + 4 + length]
    (length,) = struct.unpack_from(">I", public)
    kind = public[4 : 4 + length].decode("ascii")
    return f'{PRINCIPAL} namespaces="{NAMESPACE}" {kind} {base64.b64encode(public).decode("ascii")}'


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        return False
    return True


def _check_without_terminal(key: Path) -> None:
    """Said before the build, not after it: nobody can be asked for a passphrase."""
    if key.suffix == ".pub" or run(["ssh-keygen", "-y", "-P", "", "-f", key], missing=NO_PROGRAM).returncode == 0:
        return
    public = key.with_name(f"{key.name}.pub")
    raise BundleError(
        f"{key}: has a passphrase, and there is no terminal to ask for it; run in one, or: ssh-add {key}, "
        f"then give --key {public}"
    )
