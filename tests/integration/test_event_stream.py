"""Events from the rules to every kind of client, through the real outbox and server."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.outbox.open_events import open_events
from edge.stream import client
from edge.types import Alert
from tests.seeing import Eyes, alerts_of, standing
from tests.streaming import Keeping, keeping, make_alert, make_result
from tests.support import wait_until
from tests.talking import Talker

ALERTS: dict[str, Any] = {"subscribe": ["alerts"]}
LOITERING = {
    "name": "loitering",
    "level": "medium",
    "any": ["person"],
    "escalate": [{"after_s": 30, "level": "high"}, {"after_s": 120, "level": "critical"}],
}
WHOLE = [("firing", "medium"), ("firing", "high"), ("firing", "critical"), ("resolved", "critical")]
FIRING = WHOLE[:3]
IN_TIME, TOO_LATE = 5.0, 0.0  # how long a commit may take: the second sends every alert without its number first


pytestmark = pytest.mark.usefixtures("leaves_nothing", "tries_again_soon")


def an_event() -> list[Alert]:
    """What the rules say of somebody who stays for three minutes."""
    eyes = Eyes(alerts_of(LOITERING), fps=1.0)
    eyes.watch(180, standing(500, 700))
    eyes.watch(10)
    return eyes.told


def publish(served: Keeping, alerts: Iterable[Alert]) -> None:
    for number, alert in enumerate(alerts, 1):
        served.publisher.publish_result(make_result(number, alert))


def all_stored(served: Keeping, count: int) -> None:
    wait_until(lambda: served.outbox.bounds and served.outbox.bounds.next_seq == count + 1)


def brief(alerts: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(alert["state"], alert["threat_level"]) for alert in alerts]


def numbered(talker: Talker, count: int) -> list[dict[str, Any]]:
    """The next so many alerts with a number, and those without that come between."""
    found: list[dict[str, Any]] = []
    while sum(alert["durable"] for alert in found) < count:
        found.append(talker.until("alert"))
    return found


@pytest.mark.parametrize("slow_s", [IN_TIME, TOO_LATE])
def test_a_session_hears_an_event_whole_and_in_order_live_and_replayed(tmp_path: Path, slow_s: float) -> None:
    """[EDGE-9-16] [EDGE-9-17]"""
    with keeping(tmp_path, slow_s=slow_s) as served, served.session(**ALERTS) as live:
        publish(served, an_event())
        heard = numbered(live, 4)
        resume = {"stream": heard[-1]["stream"], "after": 0}
        with served.session(**ALERTS, resume=resume) as later:
            again = numbered(later, 4)
    assert brief(alert for alert in heard if alert["durable"]) == brief(again) == WHOLE
    assert [alert["seq"] for alert in again] == [1, 2, 3, 4]
    early = brief(alert for alert in heard if not alert["durable"])
    assert early == [told for told in WHOLE if told in early]
    assert bool(early) == (slow_s == TOO_LATE), "a disk may be in time for some"
    assert len({alert["event_uid"] for alert in heard + again}) == 1
    assert [alert["message"] for alert in again] == [
        "MEDIUM threat detected: person",
        "HIGH threat detected: person",
        "CRITICAL threat detected: person",
        "CRITICAL threat resolved: person",
    ]


@pytest.mark.parametrize("slow_s", [IN_TIME, TOO_LATE])
@pytest.mark.parametrize("mode", ["separate", "batch", "both"])
def test_a_plain_client_hears_each_level_once_and_never_the_end(tmp_path: Path, slow_s: float, mode: Any) -> None:
    """[EDGE-4-10] [EDGE-9-17]"""
    with keeping(tmp_path, slow_s=slow_s, alerts=mode) as served, served.client() as plain:
        publish(served, an_event())
        all_stored(served, 4)
        served.publisher.publish_result(make_result(99))
        heard: list[dict[str, Any]] = []
        while not heard or heard[-1].get("frame_id") != 99:
            heard.append(plain.read())
    told = [message for message in heard if message["type"] == "alert"]
    carried = [alert for message in heard for alert in message.get("alerts", ())]
    assert brief(told) == ([] if mode == "batch" else FIRING)
    assert brief(carried) == ([] if mode == "separate" else FIRING)


@pytest.mark.parametrize("slow_s", [IN_TIME, TOO_LATE])
def test_the_client_gives_each_alert_of_an_event_once_and_knows_when_it_is_over(tmp_path: Path, slow_s: float) -> None:
    """[EDGE-9-14] [EDGE-9-16]"""
    opened, levels, given = client.OpenEvents(), list[list[str]](), list[client.Alert]()
    with (
        keeping(tmp_path, slow_s=slow_s) as served,
        client.Subscriber("127.0.0.1", served.port, subscribe=["alerts"]) as subscriber,
    ):
        for event in subscriber:
            opened.take(event)
            if isinstance(event, client.HelloOk):
                publish(served, [*an_event(), make_alert(7)])
            if isinstance(event, client.Alert):
                given.append(event)
                levels.append([alert.threat_level for alert in opened.values()])
                if event.event_uid == make_alert(7).event_uid:
                    break
    assert [(alert.state, alert.threat_level) for alert in given] == [*WHOLE, ("firing", "critical")]
    assert levels == [["medium"], ["high"], ["critical"], [], ["critical"]]


@pytest.mark.parametrize("seed", range(6))
def test_over_cuts_and_with_a_slow_disk_each_alert_is_given_once_and_every_event_ends(
    tmp_path: Path, seed: int
) -> None:
    """[EDGE-9-14] [EDGE-9-17] [EDGE-9-19] Many events at once, and a disk that is in time for some of the alerts.

    A copy that came before a cut was lost with it, and the copy of a later alert comes before its number does: so
    one that is resolved may fire after that, and is over all the same.
    """
    chance = random.Random(seed)
    events = [[replace(alert, event_uid=f"e{number}") for alert in an_event()] for number in range(12)]
    queue = [events[index].pop(0) for index in chance.sample([n for n in range(12) for _ in range(4)], 48)]
    given: list[tuple[str, str, str]] = []
    opened = client.OpenEvents()
    with keeping(tmp_path, slow_s=0.0008) as served:
        subscriber = client.Subscriber("127.0.0.1", served.port, subscribe=["alerts"], start="oldest")
        with subscriber:
            for event in subscriber:
                opened.take(event)
                if isinstance(event, client.Alert):
                    given.append((event.event_uid, event.state, event.threat_level))
                if isinstance(event, (client.HelloOk, client.Alert)) and queue:
                    publish(served, [queue.pop(0)])
                    if chance.random() < 0.1:
                        cut(subscriber)
                if len(given) == 48:
                    break
    assert sorted(given) == sorted((f"e{number}", *told) for number in range(12) for told in WHOLE)
    assert dict(opened) == {}


def cut(subscriber: client.Subscriber) -> None:
    """End its connection in the middle of whatever comes."""
    connection = subscriber._engine._main.link
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.socket.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("stays", [True, False])
def test_an_event_that_goes_on_over_a_restart_is_told_once_and_resolved_once(tmp_path: Path, stays: bool) -> None:
    """[EDGE-9-18] Whether the person is still there after the start or not."""
    eyes = Eyes(alerts_of(LOITERING), fps=1.0)
    eyes.watch(40, standing(500, 700))
    with keeping(tmp_path) as served:
        publish(served, eyes.told)
        all_stored(served, 2)
    with keeping(tmp_path) as served:
        inherited = open_events(stored.alert for stored in served.outbox.read(0, 100))
        after = Eyes(alerts_of(LOITERING), fps=1.0, inherited=inherited, start=150.0)
        after.watch(20, *([standing(500, 700)] if stays else []))
        after.watch(10)
        publish(served, after.told)
        all_stored(served, 3)
        told = [stored.alert for stored in served.outbox.read(0, 100)]
    assert [(alert.state, alert.threat_level) for alert in told] == [*WHOLE[:2], ("resolved", "high")]
    assert len({alert.event_uid for alert in told}) == 1
