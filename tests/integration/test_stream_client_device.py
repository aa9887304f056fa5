"""The subscriber against the device's own parts: outbox, publisher, server, certificates and login keys."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.config import Listener, Outbox, Security
from edge.outbox.outbox import Outbox as AlertBox
from edge.stream.client import (
    Alert,
    CommandFailed,
    Connected,
    DetectionResult,
    Event,
    FileCursor,
    Goodbye,
    Health,
    HelloOk,
    Login,
    Lost,
    Refused,
    Subscriber,
    Tls,
    VideoFrame,
    link,
)
from edge.stream.hub import Hub
from edge.stream.publisher import Publisher
from edge.stream.reception import Trust
from tests.certificates import DEVICE_ID, FleetFiles, make_fleet
from tests.streaming import IDENTITY, Served, make_alert, make_result, make_video, serving
from tests.support import wait_until

SECRET = bytes(range(32))


pytestmark = pytest.mark.usefixtures("leaves_nothing")


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "RETRY_MIN_S", 0.001)
    monkeypatch.setattr(link, "RETRY_MAX_S", 0.05)
    monkeypatch.setattr("edge.stream.client.line.MAX_RETRY_AFTER_S", 0.0)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> FleetFiles:
    return make_fleet(tmp_path_factory.mktemp("fleet"))


@dataclasses.dataclass
class Device:
    """A device that is told what it sees."""

    served: Served
    publisher: Publisher
    outbox: AlertBox

    @property
    def port(self) -> int:
        return self.served.port

    def alert(self, number: int) -> None:
        """One more, no faster than the disk: where many wait for it the oldest goes out without its number."""
        wait_until(lambda: self.outbox.counters().waiting < 32)
        self.publisher.publish_result(make_result(number, make_alert(number)))


@contextlib.contextmanager
def device(folder: Path, listener: Listener, security: Security | None = None, **parts: Any) -> Iterator[Device]:
    """One with its outbox in ``folder``."""
    folder.mkdir(exist_ok=True)
    hub = Hub(IDENTITY, "separate")
    stored: list[Callable[[Any], None]] = []
    outbox = AlertBox(folder, Outbox(), on_stored=lambda batch: stored[0](batch))
    publisher = Publisher(hub, outbox, 5.0)
    stored.append(publisher.on_stored)
    assert outbox.start()
    trust = Trust.open(security, [listener], []) if security is not None else None
    parts |= {"hub": hub, "publisher": publisher, "outbox": outbox, "trust": trust}
    try:
        with serving(listener, parts=parts) as served:
            yield Device(served, publisher, outbox)
    finally:
        outbox.close()


def of(kind: type[Any], events: Iterator[Event], count: int) -> list[Any]:
    return list(itertools.islice((event for event in events if isinstance(event, kind)), count))


def plain(port: int = 0) -> Listener:
    return Listener(host="127.0.0.1", port=port, video=True)


def test_alerts_of_an_outage_come_once_in_order_after_it(tmp_path: Path) -> None:
    folder, store = tmp_path / "state", FileCursor(tmp_path / "cursor", durable=False)
    with contextlib.ExitStack() as stack:
        with device(folder, plain()) as first:
            port = first.port
            client = stack.enter_context(Subscriber("127.0.0.1", port, consumer="backend", cursor=store))
            of(HelloOk, client, 1)
            first.alert(1)
            first.alert(2)
            live = of(Alert, client, 2)
            client.ack(live[-1])
            wait_until(lambda: first.outbox.consumers() == {"open/backend": 2})
        goodbye = of(Goodbye, client, 1)[0]
        with device(folder, plain(port)) as second:
            for number in range(3, 200):
                second.alert(number)
            later = of(Alert, client, 197)
            client.take(0)
            wait_until(lambda: second.outbox.consumers() == {"open/backend": 199})
            client.close()
    assert goodbye.reason == "shutdown"
    assert [alert.seq for alert in live + later] == list(range(1, 200))
    assert [alert.event_uid for alert in live + later] == [f"event-{number}" for number in range(1, 200)]
    assert not any(alert.replay for alert in live)
    assert store.load() is not None


def test_a_new_client_may_begin_with_the_oldest(tmp_path: Path) -> None:
    with device(tmp_path, plain()) as served:
        for number in range(1, 30):
            served.alert(number)
        wait_until(lambda: served.outbox.bounds and served.outbox.bounds.next_seq == 30)
        with Subscriber("127.0.0.1", served.port, start="oldest") as client:
            alerts = of(Alert, client, 29)
    assert [alert.seq for alert in alerts] == list(range(1, 30))
    assert all(alert.replay and alert.durable and alert.age_s > 0 for alert in alerts)


@pytest.mark.parametrize("role", ["viewer", "control"])
def test_mutual_tls_health_pictures_and_commands(tmp_path: Path, fleet: FleetFiles, role: str) -> None:
    listener = Listener(host="127.0.0.1", port=0, tls=True, auth="mtls", video=True)
    own = fleet.viewer if role == "viewer" else fleet.control
    tls = Tls(ca=fleet.ca, device=DEVICE_ID, certificate=own.certificate, private_key=own.private_key)
    parts = {
        "handlers": {"get_status": lambda args: {"given": args}},
        "health": lambda: {"camera": {"state": "ok", "reason": ""}},
    }
    done = threading.Event()
    with device(tmp_path, listener, fleet.device, **parts) as served:

        def see() -> None:
            number = 0
            while not done.wait(0.01):
                number += 1
                served.publisher.publish_result(make_result(number))
                served.served.hub.publish_video(make_video(number, 100_000))

        eyes = threading.Thread(target=see)
        eyes.start()
        try:
            with Subscriber("127.0.0.1", served.port, tls=tls, frames=True) as client:
                connected, hello_ok, health = of((Connected, HelloOk, Health), client, 3)  # type: ignore[arg-type]
                assert of(DetectionResult, client, 3)[0].status == "ok"
                assert len(of(VideoFrame, client, 3)[0].jpeg) == 100_000
                if role == "control":
                    assert client.command("get_status", x=1) == {"given": {"x": 1}}
                else:
                    with pytest.raises(CommandFailed, match="forbidden"):
                        client.command("get_status", x=1)
        finally:
            done.set()
            eyes.join()
    assert connected.encryption == "TLSv1.3"
    assert hello_ok.role == role
    assert health.components["camera"].state == "ok"


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("encrypted", [True, False])
def test_logins(tmp_path: Path, fleet: FleetFiles, encrypted: bool, right: bool) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text(f'[keys.backend-1]\nrole = "control"\nsecret = "{SECRET.hex()}"\n')
    keys.chmod(0o600)
    listener = Listener(host="127.0.0.1", port=0, tls=encrypted, auth="hmac")
    own = fleet.device
    security = Security(certificate=own.certificate, private_key=own.private_key, ca=own.ca, login_keys=str(keys))
    tls = Tls(ca=fleet.ca, device=DEVICE_ID) if encrypted else None
    login = Login("backend-1", SECRET if right else bytes(32), allow_plain=not encrypted)
    options: dict[str, Any] = {"tls": tls, "login": login, "consumer": "b"}
    with (
        device(tmp_path / "state", listener, security) as served,
        Subscriber("127.0.0.1", served.port, **options) as client,
    ):
        event = next(event for event in client if isinstance(event, (HelloOk, Lost)))
        if not right:
            assert isinstance(event, Lost)
            assert isinstance(event.error, Refused)
            assert event.error.code == "auth_failed"
            return
        assert isinstance(event, HelloOk)
        assert event.role == ("control" if encrypted else "viewer")
        served.alert(1)
        assert of(Alert, client, 1)[0].seq == 1
