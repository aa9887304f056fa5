"""Commands over the wire: who may, how often, and what comes back. The ids are statements of docs/protocol.md."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.config import Listener
from edge.errors import ConfigError, EdgeError
from edge.security.issue import Terms
from edge.stream.desk import MAX_JOBS
from edge.stream.reception import Trust
from edge.wire.framing import MAX_JSON
from tests.certificates import FleetFiles, make_fleet
from tests.streaming import Served, make_alert, make_result, serving
from tests.support import wait_until
from tests.talking import KEYS, SECRET, Talker, client_tls

PLAIN = Listener(host="127.0.0.1", port=0)
HMAC = Listener(host="127.0.0.1", port=0, auth="hmac")
TLS_HMAC = Listener(host="127.0.0.1", port=0, auth="hmac", tls=True)
MTLS = Listener(host="127.0.0.1", port=0, auth="mtls", tls=True)


pytestmark = pytest.mark.usefixtures("leaves_nothing")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> FleetFiles:
    return make_fleet(tmp_path_factory.mktemp("a fleet"))


class Desk:
    """Handlers that count what they did; ``hang`` waits until ``go_on`` is set."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.go_on = threading.Event()
        self.hanging = threading.Event()
        self.handlers: dict[str, Callable[[dict[str, Any]], Any]] = {
            "count": self._count,
            "hang": self._hang,
            "refuse": self._refuse,
            "fail": self._fail,
            "break": self._break,
            "nonsense": lambda _: object(),
            "long": lambda args: {"text": "x" * args["size"]},
        }

    def _count(self, args: dict[str, Any]) -> dict[str, Any]:
        self.done.append(args.get("of"))
        return {"count": len(self.done)}

    def _hang(self, args: dict[str, Any]) -> dict[str, Any]:
        self.hanging.set()
        assert self.go_on.wait(60)
        return self._count(args)

    def _refuse(self, args: dict[str, Any]) -> dict[str, Any]:
        raise ConfigError(f"size: expected int, got {args['size']}")

    def _fail(self, _: dict[str, Any]) -> dict[str, Any]:
        raise EdgeError("the disk is full")

    def _break(self, _: dict[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError("secret words")


@contextlib.contextmanager
def commanded(fleet: FleetFiles, folder: Path, *listeners: Listener) -> Iterator[tuple[Served, Desk]]:
    """A server with these handlers; in the end none of them hangs."""
    keys = folder / "keys.toml"
    keys.touch(0o600)
    keys.write_text(KEYS)
    security = msgspec.structs.replace(fleet.device, login_keys=str(keys))
    desk = Desk()
    parts = {"handlers": desk.handlers, "trust": Trust.open(security, listeners or (MTLS,), ())}
    with serving(*listeners or (MTLS,), parts=parts) as served:
        try:
            yield served, desk
        finally:
            desk.go_on.set()


def control(served: Served, fleet: FleetFiles, **hello: Any) -> Talker:
    client = served.talker(tls=client_tls(fleet, fleet.control))
    client.hello(**{"subscribe": []} | hello)
    return client


def failure(answer: dict[str, Any]) -> str:
    assert (answer["ok"], "result" in answer) == (False, False)
    return str(answer["error"]["code"])


@pytest.mark.parametrize("way", ["plain", "a control key on plain TCP", "a viewer's key", "a viewer's certificate"])
def test_without_the_role_nothing_is_done(fleet: FleetFiles, tmp_path: Path, way: str) -> None:
    """[EDGE-10-1] [EDGE-11-2] [EDGE-11-15] [EDGE-7-2]"""
    with commanded(fleet, tmp_path, PLAIN, HMAC, TLS_HMAC, MTLS) as (served, desk):
        listener = ["plain", "a control key on plain TCP", "a viewer's key", "a viewer's certificate"].index(way)
        tls = client_tls(fleet, fleet.viewer) if listener >= 2 else None
        with served.talker(listener, tls=tls) as client:
            login = listener in (1, 2)
            key = "desk" if listener == 1 else "backend-1"
            hello_ok = client.hello(auth=client.log_in(SECRET, key) if login else None, subscribe=["alerts"])
            assert hello_ok["role"] == "viewer"
            for command in ("count", "unheard of"):
                answer = client.ask(command, command)
                assert failure(answer) == "forbidden"
                assert answer["id"] == command
            client.send({"type": "subscribe", "subscribe": ["detections"]})
            client.round_trip()
            served.hub.publish_result(make_result(1, make_alert(1)))
            assert [client.read()["type"] for _ in range(2)] == ["alert", "detection_result"]
        assert desk.done == []


@pytest.mark.parametrize("key", [True, False])
def test_with_the_role_it_is_done(fleet: FleetFiles, tmp_path: Path, key: bool) -> None:
    """[EDGE-11-2] [EDGE-4-14]"""
    with (
        commanded(fleet, tmp_path, TLS_HMAC if key else MTLS) as (served, desk),
        served.talker(tls=client_tls(fleet, fleet.control)) as client,
    ):
        client.hello(auth=client.log_in(SECRET, "desk") if key else None)
        answer = client.ask("count", of="bread")
        assert answer == {"type": "command_result", "id": "1", "ok": True, "result": {"count": 1}}
        assert desk.done == ["bread"]


def test_the_same_id_gets_the_same_answer_and_nothing_is_done_twice(fleet: FleetFiles, tmp_path: Path) -> None:
    """[EDGE-10-2]"""
    with commanded(fleet, tmp_path) as (served, desk):
        with control(served, fleet) as client:
            first = client.ask("count", "a", of=1)
            assert [client.ask("count", "a", of=1) for _ in range(3)] == [first] * 3
            failed = client.ask("fail", "b")
            assert client.ask("fail", "b") == failed
        with control(served, fleet) as client:
            assert client.ask("count", "a", of=1) == first, "on another connection too"
            assert client.ask("count", "c")["result"] == {"count": 2}
        assert len(desk.done) == 2


def test_an_id_that_was_another_commands_is_refused_and_nothing_is_done(fleet: FleetFiles, tmp_path: Path) -> None:
    """[EDGE-10-15]"""
    with commanded(fleet, tmp_path) as (served, desk), control(served, fleet) as client:
        first = client.ask("count", "a", of=1)
        with control(served, fleet) as other:
            for command, args in (("count", {"of": 2}), ("count", {}), ("fail", {"of": 1})):
                assert failure(other.ask(command, "a", **args)) == "duplicate_id"
            assert other.ask("count", "a", of=1) == first, "the first answer stays"
        assert desk.done == [1]


def test_a_key_and_a_certificate_of_one_name_have_ids_of_their_own(fleet: FleetFiles, tmp_path: Path) -> None:
    """[EDGE-10-2]"""
    fleet.fleet.backend("desk", "control", Terms(days=30))
    with commanded(fleet, tmp_path, TLS_HMAC, MTLS) as (served, desk):
        own = client_tls(fleet, fleet.security("backend-desk"))
        with served.talker(0, tls=own) as key, served.talker(1, tls=own) as certificate:
            key.hello(auth=key.log_in(SECRET, "desk"), subscribe=[])
            certificate.hello(subscribe=[])
            assert [client.ask("count", "a")["result"] for client in (key, certificate)] == [{"count": 1}, {"count": 2}]
        assert len(desk.done) == 2


def test_a_command_that_is_done_is_logged(fleet: FleetFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with commanded(fleet, tmp_path) as (served, _), control(served, fleet) as client:
        port = client.socket.getsockname()[1]
        client.ask("count", of="a secret")
        client.ask("fail", "2")
        for outcome, said in (("done", "count of"), ("failed", "fail")):
            line = rf"command {said} by mtls:control \(session [0-9a-f]{{16}}, 127.0.0.1:{port}\): {outcome}"
            assert re.search(line, caplog.text)
        assert "a secret" not in caplog.text


def test_another_login_has_ids_of_its_own(fleet: FleetFiles, tmp_path: Path) -> None:
    """[EDGE-10-2]"""
    fleet.fleet.backend("second", "control", Terms(days=30))
    with commanded(fleet, tmp_path) as (served, desk), control(served, fleet) as client:
        second = served.talker(tls=client_tls(fleet, fleet.security("backend-second")))
        with second:
            second.hello(subscribe=[])
            assert client.ask("count", "a")["result"] == {"count": 1}
            assert second.ask("count", "a")["result"] == {"count": 2}
        assert len(desk.done) == 2


def test_while_it_is_being_done_everybody_who_asks_gets_the_one_answer_once(fleet: FleetFiles, tmp_path: Path) -> None:
    """[EDGE-10-2] [EDGE-10-4]"""
    with commanded(fleet, tmp_path) as (served, desk):
        clients = [control(served, fleet) for _ in range(3)]
        command = {"type": "command", "id": "a", "cmd": "hang", "args": {"of": 7}}
        clients[0].send(command, command, command)
        assert desk.hanging.wait(10)
        for client in clients[1:]:
            client.send(command)
            assert client.round_trip() == []
        clients[2].close()  # this one does not wait for the answer
        wait_until(lambda: served.hub.clients() == 2)
        desk.go_on.set()
        for client in clients[:2]:
            assert client.until("command_result")["result"] == {"count": 1}
            assert client.round_trip() == []
            client.close()
        assert desk.done == [7]


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("unheard of", "unknown_command", "there is no command 'unheard of'; there are: break, count"),
        ("refuse", "bad_args", "size: expected int, got 9"),
        ("fail", "failed", "the disk is full"),
        ("break", "failed", "internal error; the device's log says more"),
        ("nonsense", "failed", "internal error"),
    ],
)
def test_a_command_that_fails_says_why_and_the_session_goes_on(
    fleet: FleetFiles, tmp_path: Path, command: str, code: str, words: str
) -> None:
    """[EDGE-10-3] [EDGE-7-2]"""
    with commanded(fleet, tmp_path) as (served, _), control(served, fleet) as client:
        answer = client.ask(command, size=9)
        assert failure(answer) == code
        assert answer["error"]["message"].startswith(words)
        assert "secret words" not in str(answer)
        assert client.ask("count", "2")["result"] == {"count": 1}


def test_an_answer_too_long_for_a_message_is_a_failure(fleet: FleetFiles, tmp_path: Path) -> None:
    """[EDGE-2-5] [EDGE-10-3]"""
    with commanded(fleet, tmp_path) as (served, _), control(served, fleet) as client:
        assert len(client.ask("long", "1", size=MAX_JSON - 100)["result"]["text"]) == MAX_JSON - 100
        answer = client.ask("long", "2", size=2_000_000)
        assert failure(answer) == "failed"
        assert "bytes long" in answer["error"]["message"]


def test_a_command_that_hangs_delays_neither_the_stream_nor_others(fleet: FleetFiles, tmp_path: Path) -> None:
    """[EDGE-10-4] [EDGE-5-8]"""
    with commanded(fleet, tmp_path, MTLS, PLAIN) as (served, desk), served.talker(1) as plain:
        client = control(served, fleet, subscribe=["alerts"])
        with client:
            client.send({"type": "command", "id": "h", "cmd": "hang"})
            assert desk.hanging.wait(10)
            for number in range(50):
                served.hub.publish_result(make_result(number, make_alert(number)))
            assert [m["frame_id"] for m in client.round_trip()] == list(range(50))
            assert [m["frame_id"] for m in (plain.until("alert") for _ in range(50))] == list(range(50))
            with control(served, fleet) as other:
                assert other.round_trip() == []
            desk.go_on.set()
            assert client.until("command_result")["ok"] is True


def test_when_too_many_wait_the_answer_is_busy(fleet: FleetFiles, tmp_path: Path) -> None:
    """[EDGE-10-3]"""
    with commanded(fleet, tmp_path) as (served, desk):
        clients = [control(served, fleet) for _ in range(4)]
        clients[0].send({"type": "command", "id": "h", "cmd": "hang"})
        assert desk.hanging.wait(10)
        answers = []
        for number, client in enumerate(clients):
            client.send(*({"type": "command", "id": f"{number}-{n}", "cmd": "count"} for n in range(19)))
            answers += client.round_trip()
        assert len(answers) == 4 * 19 - MAX_JOBS
        assert {failure(answer) for answer in answers} == {"busy"}
        desk.go_on.set()
        wait_until(lambda: len(desk.done) == MAX_JOBS + 1)
        again = clients[3].ask("count", answers[-1]["id"])
        assert again["ok"], "who was told busy may ask again with the same id"
        for client in clients:
            client.close()


def test_the_twenty_first_command_of_a_second_is_not_done(fleet: FleetFiles, tmp_path: Path) -> None:
    """[EDGE-6-4] [EDGE-7-2]"""
    with commanded(fleet, tmp_path) as (served, desk), control(served, fleet) as client:
        client.send(*({"type": "command", "id": str(number), "cmd": "count"} for number in range(200)))
        answers = [client.until("command_result") for _ in range(200)]
        refused = [answer for answer in answers if not answer["ok"]]
        assert {failure(answer) for answer in refused} == {"rate_limited"}
        assert 20 <= len(desk.done) == 200 - len(refused) < 100
        wait_until(lambda: client.ask("count", f"later-{len(desk.done)}")["ok"])
        with control(served, fleet) as other:
            assert other.ask("count", "mine")["ok"], "each session has its own allowance"


def test_commands_of_one_that_does_not_read_end_it_and_nobody_else(fleet: FleetFiles, tmp_path: Path) -> None:
    """[EDGE-5-9] [EDGE-5-8]"""
    with commanded(fleet, tmp_path) as (served, _), control(served, fleet) as other:
        client = served.talker(tls=client_tls(fleet, fleet.control), receive_buffer=4096)
        with client:
            client.hello(subscribe=[])
            for number in range(19):
                args = {"size": MAX_JSON - 100}
                client.send({"type": "command", "id": f"long-{number}", "cmd": "long", "args": args})
            wait_until(lambda: served.hub.counters().slow_consumers == 1)
        assert other.ask("count", "mine")["result"] == {"count": 1}
