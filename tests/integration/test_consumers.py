"""To whom consumers belong, over real sockets. The ids are statements of docs/protocol.md."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.config import Listener
from edge.security.issue import Terms
from edge.stream.reception import Trust
from tests.certificates import FleetFiles, make_fleet
from tests.streaming import Keeping, keeping
from tests.support import ROOT
from tests.talking import KEYS, SECRET, Talker, client_tls

OPEN = Listener(name="open", host="127.0.0.1", port=0)
HMAC = Listener(name="hmac-plain", host="127.0.0.1", port=0, auth="hmac")
MTLS = Listener(name="mtls", host="127.0.0.1", port=0, auth="mtls", tls=True)
LISTENERS = (OPEN, HMAC, MTLS)


pytestmark = pytest.mark.usefixtures("leaves_nothing")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> FleetFiles:
    made = make_fleet(tmp_path_factory.mktemp("a fleet"))
    made.fleet.backend("backend-1", "viewer", Terms(days=30))  # as the key of that name
    return made


@pytest.fixture
def served(fleet: FleetFiles, tmp_path: Path) -> Iterator[Keeping]:
    """A device with a listener of each kind, and alerts 1 to 9."""
    keys, state = tmp_path / "keys.toml", tmp_path / "my state"
    state.mkdir()
    keys.touch(0o600)
    keys.write_text(KEYS)
    trust = Trust.open(msgspec.structs.replace(fleet.device, login_keys=str(keys)), LISTENERS, ())
    with keeping(state, *LISTENERS, parts={"trust": trust}) as device:
        device.stored(*range(1, 10))
        yield device


def session(served: Keeping, fleet: FleetFiles, who: str, **hello: Any) -> Talker:
    """A session of ``open``, ``hmac-plain:KEY`` or ``mtls:NAME``; its hello_ok is in ``passed``."""
    kind, _, name = who.partition(":")
    tls = client_tls(fleet, fleet.security(f"backend-{name}")) if kind == "mtls" else None
    client = served.talker([listener.name for listener in LISTENERS].index(kind), tls=tls)
    auth = client.log_in(SECRET, name) if kind == "hmac-plain" else None
    client.passed = [client.hello(auth=auth, **{"subscribe": []} | hello)]
    return client


WHO = ("open", "hmac-plain:backend-1", "mtls:backend-1", "mtls:viewer")


def test_a_name_is_another_consumer_for_each_who_says_it(served: Keeping, fleet: FleetFiles) -> None:
    """[EDGE-8-16] [EDGE-8-12]"""
    bounds = served.outbox.bounds
    assert bounds is not None
    for seq, who in enumerate(WHO, 3):
        with session(served, fleet, who, consumer="nest", resume={"stream": bounds.stream, "after": 1}) as client:
            client.send({"type": "ack", "stream": bounds.stream, "seq": seq})
            assert client.round_trip() == []
    assert served.outbox.consumers() == {f"{who}/nest": seq for seq, who in enumerate(WHO, 3)}
    for seq, who in enumerate(WHO, 3):
        with session(served, fleet, who, consumer="nest", resume="last_ack") as client:
            assert client.passed[0]["resume"]["from"] == seq + 1


def test_who_takes_all_the_names_it_can_leaves_places_for_others(served: Keeping, fleet: FleetFiles) -> None:
    """[EDGE-8-10]"""
    for who, places in (("open", 8), ("mtls:viewer", 8)):
        for number in range(places + 1):
            with session(served, fleet, who, consumer=f"name-{number}") as client:
                complaints = [message["code"] for message in client.round_trip()]
                assert complaints == (["too_many_consumers"] if number == places else [])
        assert sum(name.startswith(f"{who}/") for name in served.outbox.consumers()) == places
    with session(served, fleet, "open", consumer="name-3") as client:
        assert client.round_trip() == [], "who is known stays so"


def test_outbox_names_consumers_with_whom_they_belong_to(served: Keeping, fleet: FleetFiles, tmp_path: Path) -> None:
    for who in WHO[1:]:
        session(served, fleet, who, consumer="nest").close()
    served.server.close()
    served.outbox.close()

    def outbox(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edge", "outbox", *arguments, "--set"]
        plain = {key: value for key, value in os.environ.items() if not key.startswith("PREACT_EDGE_")}
        state = f"storage.state_dir={tmp_path / 'my state'}"
        return subprocess.run([*command, state], cwd=ROOT, env=plain, capture_output=True, text=True, check=False)

    listed = [line.split()[0] for line in outbox("show").stdout.splitlines() if line.startswith("  ")]
    assert listed == [f"{who}/nest" for who in sorted(WHO[1:])]
    short = outbox("forget", "nest")
    assert (short.returncode, short.stderr.count("\n")) == (1, 1)
    assert all(name in short.stderr for name in listed)
    assert outbox("forget", listed[0]).returncode == 0
    assert [line.split()[0] for line in outbox("show").stdout.splitlines() if line.startswith("  ")] == listed[1:]
