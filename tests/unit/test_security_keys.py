"""The file of login keys."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import pytest

from edge.errors import ConfigError, SecurityError
from edge.security.keys import LoginKey, LoginKeys, append_key, login_key

SECRET = "5ec4e7" * 11  # 66 digits
GOOD = f"""
[keys.backend-1]
role = "viewer"
secret = "{SECRET}"

[keys."desk.2"]
role = "control"
secret = "{SECRET.upper()}"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "login keys.toml"
    made.touch(0o600)
    made.write_text(GOOD)
    return made


def test_keys_by_name(file):
    keys = LoginKeys(str(file))
    assert keys.get("backend-1") == LoginKey("backend-1", "viewer", bytes.fromhex(SECRET))
    assert keys.get("desk.2") == LoginKey("desk.2", "control", bytes.fromhex(SECRET))
    assert keys.get("nobody") is None


def test_an_unknown_name_has_a_secret_that_nobody_knows(file):
    keys, others = LoginKeys(str(file)), LoginKeys(str(file))
    assert keys.secret("backend-1") == bytes.fromhex(SECRET)
    assert len(keys.secret("nobody")) == 32
    assert keys.secret("nobody") == keys.secret("nobody either")
    assert keys.secret("nobody") != others.secret("nobody")


def test_no_text_of_a_key_shows_its_secret(file, caplog):
    keys = LoginKeys(str(file))
    key = keys.get("backend-1")
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").info("%s %r %s %r %s", key, key, keys, keys, [key])
    shown = caplog.text.lower()
    assert "backend-1" in shown
    assert SECRET[:6] not in shown
    assert repr(bytes.fromhex(SECRET))[2:8].lower() not in shown


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "must hold"),
        ("[keys]", "must hold"),
        ("keys = 1", "must hold"),
        (f"{GOOD}\n[more]", "must hold"),
        (f'[keys]\nsecret = "{SECRET}"', r"\[keys.secret\]: must hold role and secret"),
        (f'[keys.a]\nsecret = "{SECRET}"', r"\[keys.a\]: must hold role and secret"),
        (f'[keys.a]\nrole = "viewer"\nsecret = "{SECRET}"\nx = 1', r"\[keys.a\]: must hold role and secret"),
        (f'[keys.a]\nrole = "{SECRET}"\nsecret = "viewer"', r"\[keys.a\]: role must be one of viewer, control"),
        (f'[keys.a]\nrole = ["viewer"]\nsecret = "{SECRET}"', r"\[keys.a\]: role must be one of viewer, control"),
        (f'[keys.a]\nrole = "viewer"\nsecret = "{SECRET[:62]}"', r"\[keys.a\]: secret must be 64 or more"),
        (f'[keys.a]\nrole = "viewer"\nsecret = "{SECRET}0"', r"\[keys.a\]: secret must be 64 or more"),
        (f'[keys.a]\nrole = "viewer"\nsecret = "{SECRET}zz"', r"\[keys.a\]: secret must be 64 or more"),
        ('[keys.a]\nrole = "viewer"\nsecret = 5', r"\[keys.a\]: secret must be 64 or more"),
        (f'[keys."a b"]\nrole = "viewer"\nsecret = "{SECRET}"', "a key's name may have 1 to 64"),
        (f'[keys.a]\nrole = "viewer"\nsecret = "{SECRET}', "is not valid TOML"),
        (f'[keys.a]\nrole = "viewer"\nsecret = {SECRET}', r"is not valid TOML \(line 3, column \d+\)"),
        (f"[keys.a]\n{SECRET}", "is not valid TOML"),
        (f"[keys.{SECRET}]\n[keys.{SECRET}]", "is not valid TOML"),
        ('[keys.a]\nsecret = "\ud800"', "is not valid TOML"),
    ],
)
def test_a_wrong_file_is_one_clear_line_without_its_secrets(file, content, fault):
    file.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(SecurityError, match=fault) as caught:
        LoginKeys(str(file))
    shown = "".join(traceback.format_exception(caught.value))
    assert str(caught.value).startswith("security.login_keys: ")
    assert "\n" not in str(caught.value)
    assert SECRET[:12] not in shown.replace(content, "")


def test_the_file_must_be_ones_own(file):
    file.chmod(0o644)
    with pytest.raises(SecurityError, match=r"every user of this machine may open it; run: chmod o= '.*keys\.toml'"):
        LoginKeys(str(file))
    file.chmod(0o640)
    LoginKeys(str(file))


def test_a_missing_file_and_a_missing_setting(file):
    file.unlink()
    with pytest.raises(SecurityError, match=r"^security\.login_keys: .*cannot be read: No such file"):
        LoginKeys(str(file))
    with pytest.raises(SecurityError, match=r"^security\.login_keys: is not set"):
        LoginKeys("")
    with pytest.raises(ConfigError, match=r"^security\.login_keys: .*there is no variable NOWHERE here"):
        LoginKeys("${NOWHERE}/keys.toml", environ={})


def test_a_changed_file_is_read_again_and_a_wrong_one_is_not_taken(file):
    keys = LoginKeys(str(file))
    assert not keys.reload()
    file.write_text(GOOD.replace("backend-1", "backend-9"))
    assert keys.reload()
    assert (keys.get("backend-1"), keys.get("backend-9") is None) == (None, False)
    file.write_text("nonsense")
    with pytest.raises(SecurityError, match="is not valid TOML"):
        keys.reload()
    assert not keys.reload()
    assert keys.get("backend-9") is not None


def test_made_keys_are_good_ones(tmp_path):
    file = tmp_path / "new" / "keys.toml"
    append_key("backend-1", "viewer", file)
    append_key("desk.2", "control", file)
    assert file.stat().st_mode & 0o777 == 0o600
    keys = LoginKeys(str(file))
    one, two = keys.get("backend-1"), keys.get("desk.2")
    assert one is not None
    assert two is not None
    assert (one.role, two.role, len(one.secret), len(two.secret)) == ("viewer", "control", 32, 32)
    assert one.secret != two.secret
    with pytest.raises(SecurityError, match=r"has a key desk\.2 already"):
        append_key("desk.2", "viewer", file)
    with pytest.raises(SecurityError, match="a name may have 1 to 64"):
        login_key("no spaces", "viewer")


def test_a_key_is_not_added_to_a_file_that_is_wrong(file):
    file.write_text("nonsense")
    with pytest.raises(SecurityError, match="is not valid TOML"):
        append_key("a", "viewer", file)
    assert file.read_text() == "nonsense"
