"""The key with which a client logs in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edge.errors import ConfigError, SecurityError
from edge.paths import expand
from edge.security.keys import read_keys

SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Login:
    """A key that the device knows too; ``secret`` is at least SECRET_BYTES long.

    Without TLS a login proves who spoke at its beginning and neither hides nor protects what follows, so it is only
    used there with ``allow_plain``. Raises ConfigError for a name or a secret that can be none.
    """

    key_id: str
    secret: bytes = field(repr=False)
    allow_plain: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.key_id, str) or not self.key_id:
            raise ConfigError("a login key's name (key_id) must be a text that is not empty")
        if isinstance(self.secret, str):
            advice = "turn the key file's digits into bytes with bytes.fromhex(), or take Login.from_file"
            raise ConfigError(f"login key {self.key_id}: the secret is a text; {advice}")
        if not isinstance(self.secret, (bytes, bytearray)):
            raise ConfigError(f"login key {self.key_id}: the secret must be bytes")
        if len(self.secret) < SECRET_BYTES:
            raise ConfigError(f"login key {self.key_id}: has less than {SECRET_BYTES} bytes; make a longer one")

    @classmethod
    def from_file(cls, path: str | Path, key_id: str = "", *, allow_plain: bool = False) -> Login:
        """The key of that name in a file of login keys, as ``preact-edge certs key NAME --append FILE`` makes them.

        Without ``key_id`` the file must hold one key alone. Raises SecurityError where the file cannot be used, where
        every user of the machine may open it, or where it has no such key.
        """
        keys = read_keys(expand(str(path)), "login keys")
        names = ", ".join(keys)
        if not key_id and len(keys) > 1:
            raise SecurityError(f"login keys: {path}: holds several; say which of: {names}")
        key = keys.get(key_id) if key_id else next(iter(keys.values()))
        if key is None:
            raise SecurityError(f"login keys: {path}: has no key of the name {key_id}, only: {names}")
        return cls(key.key_id, key.secret, allow_plain)
