"""Who a certificate is of, when it is valid, and the list of revoked ones: no file, no socket."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import RELEASED
from edge.errors import ConfigError, SecurityError
from edge.paths import substitute
from edge.security.peers import RELEASED_AT, Peer, check_dates, day, device_uri, identify
from edge.security.revocation import read_lists
from tests.support import ROOT

DAY = 86400.0


def certificate(*uris: str, name: str = "anna", unit: str = "", first: float = 0, last: float = 1) -> dict[str, Any]:
    """As getpeercert() gives it."""
    subject = [(("commonName", name),)] + ([(("organizationalUnitName", unit),)] if unit else [])
    return {
        "subject": tuple(subject),
        "subjectAltName": (("DNS", "host"), *(("URI", uri) for uri in uris)),
        "serialNumber": "0A",
        "notBefore": _time(first),
        "notAfter": _time(last),
    }


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%b %d %H:%M:%S %Y GMT")


ROLE = "urn:preact-edge:role:"


@pytest.mark.parametrize(
    ("cert", "role"),
    [
        (certificate(ROLE + "viewer"), "viewer"),
        (certificate(ROLE + "control"), "control"),
        (certificate(unit="viewer"), "viewer"),
        (certificate(unit="control"), "control"),
        (certificate(ROLE + "viewer", unit="control"), "viewer"),
        (certificate(ROLE + "admin", unit="control"), None),
        (certificate(ROLE + "viewer", ROLE + "control"), None),
        (certificate(ROLE + "viewer", ROLE + "viewer"), "viewer"),
        (certificate(ROLE + "Viewer"), None),
        (certificate(unit="Viewer"), None),
        (certificate(unit="sales"), None),
        (certificate(device_uri("a"), unit="control"), None),
        (certificate(device_uri("a"), ROLE + "viewer"), "viewer"),
        (certificate(), None),
    ],
)
def test_the_role(cert, role):
    assert identify(cert).role == role


@pytest.mark.parametrize("device_id", ["edge-01", "Front door", "a/b,c:d", "Tür 3", "100%", "%41"])
def test_a_device_id_goes_through_its_uri(device_id):
    uri = device_uri(device_id)
    assert uri.isascii()
    assert " " not in uri
    assert identify(certificate(uri)).device_id == device_id


def test_two_device_ids_are_none():
    cert = certificate(device_uri("a"), device_uri("b"))
    assert identify(cert).device_id is None
    assert identify(certificate(device_uri(""))).device_id is None


def test_the_name_for_logs_is_one_short_printable_line():
    assert identify(certificate(name="a\nb\x1b[2J" + "c" * 100)).name == r"a\nb\x1b[2J" + "c" * 57
    nameless = {"subjectAltName": (("URI", ROLE + "viewer"),)}
    assert identify(nameless) == Peer("urn:preact-edge:role:viewer", "viewer", None)
    assert identify({}) == Peer("unnamed", None, None)


def test_a_name_with_joiners_stays_as_it_is():
    assert identify(certificate(name="چاقو\u200cکشی")).name == "چاقو\u200cکشی"


@pytest.mark.parametrize(
    ("first", "last", "now", "fault"),
    [
        (-10, 10, RELEASED_AT, None),
        (-10, 10, 0.0, None),  # the board's clock stands at 1970
        (-10, -5, 0.0, "expired on"),
        (5, 10, 0.0, "is valid only from"),
        (5, 10, RELEASED_AT + 6 * DAY, None),
        (-10, 10, RELEASED_AT + 11 * DAY, "expired on"),
        (5, 10, RELEASED_AT + 4 * DAY, "is valid only from"),
    ],
)
def test_the_clock_rule(first, last, now, fault):
    """``first`` and ``last`` in days from the release."""
    cert = certificate(first=RELEASED_AT + first * DAY, last=RELEASED_AT + last * DAY)
    if fault is None:
        check_dates(cert, now)
        return
    with pytest.raises(SecurityError, match=rf"^certificate of anna: {fault}"):
        check_dates(cert, now)


def test_a_later_certainty_than_the_release_counts():
    cert = certificate(first=RELEASED_AT + 5 * DAY, last=RELEASED_AT + 10 * DAY)
    check_dates(cert, 0.0, earliest=RELEASED_AT + 6 * DAY)
    with pytest.raises(SecurityError, match="expired on"):
        check_dates(cert, 0.0, earliest=RELEASED_AT + 11 * DAY)


def test_the_release_date_is_a_day_that_was_and_that_of_the_changelog():
    assert date.fromisoformat(RELEASED) <= datetime.now(timezone.utc).date()
    assert day(RELEASED_AT) == RELEASED
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines() if line[:4] == "## ["]
    dated = [line.split(" - ")[1].strip() for line in headings if " - " in line]
    assert max(dated, default=RELEASED) == RELEASED


@given(st.binary(max_size=200))
def test_a_list_of_any_bytes_is_a_clear_error(tmp_path_factory, content):
    import base64

    file = tmp_path_factory.getbasetemp() / "any.pem"
    body = base64.b64encode(content) or b"\n"
    file.write_bytes(b"-----BEGIN X509 CRL-----\n" + body + b"\n-----END X509 CRL-----\n")
    with pytest.raises(SecurityError, match="is damaged; copy it again"):
        read_lists(file)


def test_variables_in_a_path():
    environ = {"A": "/one", "EMPTY": ""}
    assert substitute("${A}/x/${A}", environ) == "/one/x//one"
    assert substitute("$A/${A", environ) == "$A/${A"
    for name in ("B", "EMPTY", ""):
        with pytest.raises(ConfigError, match=rf"there is no variable {name} here"):
            substitute(f"${{{name}}}/x", environ)


def test_what_runs_on_a_device_does_without_the_cryptography_package():
    program = (
        "import sys; import edge.cli, edge.security.tls, edge.security.keys; edge.cli.parser(); "
        "sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=Path(ROOT), check=False).returncode == 0
