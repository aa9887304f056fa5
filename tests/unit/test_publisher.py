"""Between pipeline, outbox and hub: what is sent when, and in which order. The ids are of docs/protocol.md."""

from __future__ import annotations

import itertools
import json
import random
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from edge.stream.hub import Hub
from edge.stream.mailbox import Form, Mailbox
from edge.stream.publisher import MAX_WAITING, Publisher
from edge.types import Alert, AlertState, StoredAlert, ThreatLevel
from tests.streaming import IDENTITY, make_alert, make_result


class Store:
    """An outbox whose disk is slow: the test says when what is stored."""

    def __init__(self) -> None:
        self.healthy = True
        self.waiting: list[Alert] = []
        self._numbers = itertools.count(1)

    def append(self, alert: Alert) -> None:
        self.waiting.append(alert)

    def commit(self, count: int) -> list[StoredAlert]:
        batch, self.waiting = self.waiting[:count], self.waiting[count:]
        return [StoredAlert("s", next(self._numbers), alert) for alert in batch]


class Scene:
    """A publisher with such a store, a clock that stands, and a plain client and a session to listen to."""

    def __init__(self, slow_s: float = 0.25) -> None:
        self.now = 100.0
        self.hub = Hub(IDENTITY)
        self.store = Store()
        self.publisher = Publisher(self.hub, self.store, slow_s, clock=lambda: self.now)
        self.notified = 0
        self.publisher.notify = self._notify
        form = Form("newline", "big", video=True)
        self.plain = self.hub.join(form, lambda: None)
        self.session = self.hub.join(form, lambda: None, "pending")
        self.hub.greet(self.session, frozenset(("alerts", "detections")))
        self.hub.place(self.session, "s", 1)
        assert self.hub.go_live(self.session)

    def tell(self, number: int, state: AlertState, level: ThreatLevel) -> None:
        """One look with an alert of the event that began with frame 1."""
        alert = replace(make_alert(1), frame_id=number, state=state, threat_level=level)
        self.publisher.publish_result(make_result(number, alert))

    def publish(self, number: int, *alerts: int) -> None:
        self.publisher.publish_result(make_result(number, *map(make_alert, alerts)))

    def commit(self, count: int = 1) -> None:
        self.publisher.on_stored(self.store.commit(count))

    def heard(self, mailbox: Mailbox) -> list[str]:
        """What came: results as r1, alerts as a1, with their number as a1#1."""
        units = iter(lambda: self.hub.take(mailbox), None)
        return [_short(json.loads(unit[0])) for unit in units]

    def _notify(self) -> None:
        self.notified += 1


def _short(message: dict[str, Any]) -> str:
    if message["type"] == "detection_result":
        return f"r{message['frame_id']}"
    number = f"#{message['seq']}" if message["durable"] else ""
    return f"a{message['frame_id']}{number}"


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_result_without_alerts_goes_at_once(scene: Scene) -> None:
    scene.publish(1)
    assert scene.heard(scene.plain) == scene.heard(scene.session) == ["r1"]
    assert scene.publisher.check() is None
    assert scene.notified == 0


def test_an_alert_waits_for_the_disk_and_what_follows_waits_behind_it(scene: Scene) -> None:
    """[EDGE-9-1]"""
    scene.publish(1, 1)
    scene.publish(2)
    assert scene.notified == 2
    assert scene.heard(scene.plain) == []
    assert scene.publisher.check() == pytest.approx(0.25)
    scene.commit()
    assert scene.heard(scene.plain) == scene.heard(scene.session) == ["a1#1", "r1", "r2"]
    assert scene.publisher.check() is None


def test_after_its_time_it_goes_without_a_number_and_again_with_one_to_sessions(scene: Scene) -> None:
    """[EDGE-9-2] [EDGE-4-10]"""
    scene.publish(1, 1)
    scene.now += 0.2
    assert scene.publisher.check() == pytest.approx(0.05)
    scene.now += 0.1
    assert scene.publisher.check() is None
    assert scene.heard(scene.plain) == scene.heard(scene.session) == ["a1", "r1"]
    scene.commit()
    assert (scene.heard(scene.plain), scene.heard(scene.session)) == ([], ["a1#1"])


def test_a_store_that_is_known_to_fail_is_not_waited_for(scene: Scene) -> None:
    """[EDGE-9-2]"""
    scene.store.healthy = False
    scene.publish(1, 1)
    assert scene.heard(scene.plain) == ["a1", "r1"]
    assert scene.store.waiting == [make_alert(1)], "it is to be stored all the same"


def test_without_a_store_alerts_go_at_once() -> None:
    hub = Hub(IDENTITY)
    mailbox = hub.join(Form("newline", "big", video=False), lambda: None)
    Publisher(hub).publish_result(make_result(1, make_alert(1)))
    assert [b'"durable":false' in unit[0] for unit in iter(lambda: hub.take(mailbox), None)] == [True, False]


def test_numbers_go_out_in_order_whatever_was_sent_without_one(scene: Scene) -> None:
    """[EDGE-9-7]"""
    scene.publish(1, 1)
    scene.now += 0.3
    scene.publisher.check()
    scene.publish(2, 2)
    scene.publish(3, 3)
    scene.commit(2)  # 1, which was sent already, and 2, which waits
    scene.now += 0.3
    scene.publisher.check()
    scene.commit()
    assert scene.heard(scene.session) == ["a1", "a1#1", "a2#2", "a3", "a3#3", "r1", "r2", "r3"]


def test_a_result_whose_alerts_are_stored_one_by_one_waits_for_the_last(scene: Scene) -> None:
    scene.publish(1, 1, 2)
    scene.commit()
    assert scene.heard(scene.session) == []
    scene.commit()
    assert scene.heard(scene.session) == ["a1#1", "a2#2", "r1"]


def test_of_two_alerts_one_may_be_stored_in_time_and_the_other_not(scene: Scene) -> None:
    """[EDGE-9-2] [EDGE-9-7]"""
    scene.publish(1, 1, 2)
    scene.commit()
    scene.now += 0.3
    scene.publisher.check()
    assert scene.heard(scene.session) == ["a1#1", "a2", "r1"]
    scene.commit()
    assert scene.heard(scene.session) == ["a2#2"]


def test_both_states_of_an_event_are_told_apart(scene: Scene) -> None:
    over = replace(make_alert(1), state="resolved")
    scene.publish(1, 1)
    scene.publisher.publish_result(make_result(2, over))
    scene.commit()
    assert scene.heard(scene.session) == ["a1#1", "r1"]
    scene.commit()
    assert scene.heard(scene.session) == ["a1#2", "r2"]
    assert scene.heard(scene.plain) == ["a1#1", "r1", "r2"]


def test_a_higher_level_while_the_first_alert_is_still_unstored_is_told_apart_from_it(scene: Scene) -> None:
    """[EDGE-9-2] [EDGE-9-16] [EDGE-9-17]"""
    scene.tell(1, "firing", "medium")
    scene.tell(2, "firing", "high")
    scene.now += 0.3
    scene.publisher.check()
    assert scene.heard(scene.plain) == scene.heard(scene.session) == ["a1", "a2", "r1", "r2"]
    scene.commit()
    assert scene.heard(scene.session) == ["a1#1"]
    scene.tell(3, "resolved", "high")
    scene.commit(2)
    assert scene.heard(scene.session) == ["a2#2", "a3#3", "r3"]
    assert scene.heard(scene.plain) == ["r3"]


def test_a_higher_level_that_is_in_time_comes_after_the_number_of_the_first(scene: Scene) -> None:
    """[EDGE-9-7] [EDGE-9-16] [EDGE-9-17]"""
    scene.tell(1, "firing", "medium")
    scene.now += 0.3
    scene.publisher.check()
    scene.tell(2, "firing", "high")
    scene.tell(3, "resolved", "high")
    scene.commit(3)
    assert scene.heard(scene.session) == ["a1", "a1#1", "a2#2", "a3#3", "r1", "r2", "r3"]


@pytest.mark.parametrize("seed", range(40))
def test_no_alert_of_an_event_overtakes_another_however_slow_the_disk_is(seed: int) -> None:
    """[EDGE-9-16] [EDGE-9-17] With numbers or without: each client hears firing, higher, resolved."""
    scene, chance = Scene(), random.Random(seed)
    told: list[tuple[AlertState, ThreatLevel]] = [
        ("firing", "low"), ("firing", "high"), ("firing", "critical"), ("resolved", "critical")
    ]  # fmt: skip
    for number, (state, level) in enumerate(told, 1):
        scene.tell(number, state, level)
        scene.now += chance.random() * 0.5
        scene.store.healthy = chance.random() < 0.8
        if chance.random() < 0.7:
            scene.publisher.check()
            scene.commit(chance.randint(0, 3))
    scene.now += 1.0
    scene.publisher.check()
    scene.commit(4)
    alerts = [each for each in scene.heard(scene.session) if each.startswith("a")]
    assert [each for each in alerts if "#" in each] == ["a1#1", "a2#2", "a3#3", "a4#4"]
    assert list(dict.fromkeys(each.split("#")[0] for each in alerts)) == ["a1", "a2", "a3", "a4"]
    plain = [each for each in scene.heard(scene.plain) if each.startswith("a")]
    assert plain == _first(alerts)[:3], "each firing one once, and never that it is over"


def _first(alerts: Sequence[str]) -> list[str]:
    """Each alert as it was heard first, with its number or without."""
    seen: dict[str, str] = {}
    for each in alerts:
        seen.setdefault(each.split("#")[0], each)
    return list(seen.values())


def test_too_many_waiting_results_lose_those_without_alerts_and_never_an_alert(scene: Scene) -> None:
    """[EDGE-5-3]"""
    scene.publish(0, 0)
    for number in range(1, 2 * MAX_WAITING):
        scene.publish(number, *([number] if number % 4 == 0 else []))
        assert len(scene.publisher._waiting) <= MAX_WAITING
    scene.now += 1.0
    scene.publisher.check()
    heard = scene.heard(scene.session)
    assert [each for each in heard if each.startswith("a")] == [f"a{n}" for n in range(0, 2 * MAX_WAITING, 4)]
    assert heard[-1] == f"r{2 * MAX_WAITING - 1}"


def test_when_all_that_wait_are_alerts_the_oldest_goes_out_unstored(scene: Scene) -> None:
    """[EDGE-9-2]"""
    for number in range(MAX_WAITING + 1):
        scene.publish(number, number)
    assert scene.heard(scene.session) == ["a0", "r0"]
    scene.commit(MAX_WAITING + 1)
    alerts = [each for each in scene.heard(scene.session) if each.startswith("a")]
    assert alerts == [f"a{number}#{number + 1}" for number in range(MAX_WAITING + 1)]


def test_what_waits_keeps_no_picture(scene: Scene) -> None:
    scene.publish(1, 1)
    (entry,) = scene.publisher._waiting
    assert entry.result.frame is not None
    assert entry.result.frame.image.size == 0
    assert entry.result.frame_size == (1280, 720)


def test_stored_and_published_from_two_threads_every_number_comes_once_and_in_order() -> None:
    """[EDGE-9-7] [EDGE-9-12] With a time so short that it runs out for about half of them."""
    scene = Scene()
    scene.publisher = Publisher(scene.hub, scene.store, slow_s=0.0003)
    total, commits = 600, threading.Event()
    chance = random.Random(7)
    appended: list[Alert] = []
    lock = threading.Lock()

    def append(alert: Alert) -> None:
        with lock:
            appended.append(alert)

    scene.store.append = append  # type: ignore[method-assign]
    heard: list[str] = []

    def commit() -> None:
        seq = 0
        while seq < total:
            with lock:
                batch: Sequence[Alert] = list(appended)
                appended.clear()
            scene.publisher.on_stored([StoredAlert("s", seq + n, alert) for n, alert in enumerate(batch, 1)])
            seq += len(batch)
            commits.wait(chance.random() * 0.001)

    thread = threading.Thread(target=commit)
    thread.start()
    for number in range(1, total + 1):
        scene.publish(number, number)
        heard += scene.heard(scene.session)
    thread.join(20)
    scene.publisher.check()
    heard += scene.heard(scene.session)
    assert not scene.session.stale
    assert [each for each in heard if "#" in each] == [f"a{number}#{number}" for number in range(1, total + 1)]
    results = [int(each[1:]) for each in heard if each.startswith("r")]
    assert results == sorted(results)
