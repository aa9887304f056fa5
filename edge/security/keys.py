"""The keys of ``auth = "hmac"``: who may log in with which secret, and what as."""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.errors import SecurityError
from edge.security.files import locate, read_private, stamps
from edge.security.peers import ROLES, Role

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

WHAT = "security.login_keys"
KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
FEWEST_DIGITS = 64  # 32 bytes: as long as what HMAC-SHA256 puts out
_SECRET = re.compile(r"(?:[0-9A-Fa-f]{2})+")


@dataclass(frozen=True, slots=True)
class LoginKey:
    """One key. The secret is never part of its text."""

    key_id: str
    role: Role
    secret: bytes = field(repr=False)


class LoginKeys:
    """The keys of a file::

        [keys.backend-1]
        role = "viewer"       # or "control"
        secret = "<hex, 64 digits or more>"

    Raises SecurityError where the file cannot be used, ConfigError where the path cannot be; neither shows a secret.

    Synchronization: ``get`` and ``secret`` may be called from any thread, ``reload`` from one; the table is replaced
    whole.
    """

    def __init__(self, path: str, environ: Mapping[str, str] = os.environ) -> None:
        if not path:
            raise SecurityError(f'{WHAT}: is not set; a listener with auth = "hmac" needs it')
        self._path = locate("login_keys", path, environ)
        self._dummy = secrets.token_bytes(32)
        self._tried = stamps([self._path])
        self._keys = read_keys(self._path)

    def __repr__(self) -> str:
        return f"<LoginKeys {self._path}: {len(self._keys)}>"

    def get(self, key_id: str) -> LoginKey | None:
        """The key of that name, or None."""
        return self._keys.get(key_id)

    def secret(self, key_id: str) -> bytes:
        """The secret to check a login with. An unknown name has one too, which nobody knows: a wrong name then takes
        the same path as a wrong secret, and nobody can find out names by trying."""
        key = self._keys.get(key_id)
        return key.secret if key else self._dummy

    def reload(self) -> bool:
        """Read the file again if it changed; True if it did. A file that cannot be used leaves the keys as they were
        and raises SecurityError, once for each change."""
        found = stamps([self._path])
        if found == self._tried:
            return False
        self._tried = found
        self._keys = read_keys(self._path)
        return True


def read_keys(path: Path, what: str = WHAT) -> dict[str, LoginKey]:
    """The keys of a file by name; raises SecurityError, which begins with ``what``."""
    content = read_private(what, path)
    try:
        tree = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        place = re.search(r"line \d+, column \d+", str(error))
        where = f" ({place.group()})" if place else ""
        # from None: the parser's own words may quote the file
        raise SecurityError(f"{what}: {path}: is not valid TOML{where}") from None
    table = tree.get("keys")
    if set(tree) != {"keys"} or not isinstance(table, dict) or not table:
        advice = f'make a key with: preact-edge certs key NAME --role viewer --append "{path}"'
        raise SecurityError(f"{what}: {path}: must hold [keys.NAME] tables and nothing else; {advice}")
    return {name: _key(what, path, name, entry) for name, entry in table.items()}


def login_key(name: str, role: Role) -> str:
    """A [keys.NAME] table with a fresh secret, for the file of login keys."""
    if not KEY_ID.fullmatch(name):
        raise SecurityError(f"key {name!r}: a name may have 1 to 64 letters, digits, dots, dashes and underscores")
    heading = f'"{name}"' if "." in name else name
    return f'[keys.{heading}]\nrole = "{role}"\nsecret = "{secrets.token_hex(FEWEST_DIGITS // 2)}"\n'


def append_key(name: str, role: Role, file: Path) -> None:
    """Add such a table to a file, which is made where there is none; an existing file must be a good one."""
    table = login_key(name, role)
    if file.exists():
        if name in read_keys(file):
            raise SecurityError(f"{file}: has a key {name} already; take another name, or remove that table first")
        table = f"\n{table}"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w", encoding="utf-8") as out:
            out.write(table)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise SecurityError(f"{file}: cannot be written: {error.strerror}") from error


def _key(what: str, path: Path, name: str, entry: Any) -> LoginKey:
    """The values themselves are never repeated: a secret may stand in the wrong place."""
    if not KEY_ID.fullmatch(name):
        allowed = "1 to 64 letters, digits, dots, dashes and underscores"
        raise SecurityError(f"{what}: {path}: a key's name may have {allowed}")
    where = f"{what}: {path}: [keys.{name}]"
    if not isinstance(entry, dict) or set(entry) != {"role", "secret"}:
        raise SecurityError(f"{where}: must hold role and secret, nothing else")
    role = next((role for role in ROLES if role == entry["role"]), None)
    if role is None:
        raise SecurityError(f"{where}: role must be one of {', '.join(ROLES)}")
    text = entry["secret"]
    if not isinstance(text, str) or len(text) < FEWEST_DIGITS or not _SECRET.fullmatch(text):
        raise SecurityError(f"{where}: secret must be {FEWEST_DIGITS} or more hexadecimal digits, an even number")
    return LoginKey(name, role, bytes.fromhex(text))
