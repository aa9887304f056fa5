"""What watch knows of a device, by a clock of the test's."""

from __future__ import annotations

from edge.commands.watchlines import marks
from edge.commands.watchstate import KEPT_EVENTS, NOTICE_S, SECONDS, DeviceState, Seconds, followed, span
from edge.commands.watchview import sparkline
from edge.stream.client import Alert, Connected, DetectionResult, Gap, HelloOk, Lost, Message, VideoFrame, Welcome
from edge.stream.client.messages import Detected, LatencyMs, Protocol, Resumed


def test_rates_and_medians_are_of_full_seconds() -> None:
    seconds = Seconds()
    assert seconds.rate(100.0) is None
    for tick in range(100):
        seconds.add(float(tick % 10), 100.0 + tick / 10)
    assert seconds.rate(110.0) == 10.0
    assert seconds.rate(100.9) is None
    assert seconds.medians(110.5, 3) == [4.5, 4.5, 4.5]
    assert seconds.medians(112.0, 3) == [4.5, None, None]
    assert seconds.rate(115.0) == 0.0


def test_no_more_than_a_minute_is_kept() -> None:
    seconds = Seconds()
    for now in range(1000):
        seconds.add(1.0, float(now))
    assert len(seconds.all()) == SECONDS


def test_a_sparkline_goes_from_zero_to_the_highest() -> None:
    assert sparkline([0.0, None, 7.0, 3.5]) == "▁ █▅"
    assert sparkline([]) == ""
    assert sparkline([0.0, 0.0]) == "▁▁"


def test_spans_are_said_as_people_do() -> None:
    assert [span(seconds) for seconds in (-1, 0.4, 59.9, 60, 3599, 3600, 86400 * 2.5)] == [
        "0 s", "0 s", "59 s", "1 min", "59 min", "1 h", "2 d",
    ]  # fmt: skip


def test_an_alert_in_two_ways_is_one_and_has_its_own_age() -> None:
    state = DeviceState()
    raw = Message(age_s=30.0)
    alert = Alert(alert_id="alert_1", timestamp=1000.0, age_s=30.0, raw=raw)
    assert [seen.alert for seen in state.take(alert, 500.0, 2000.0)] == [alert]
    assert state.take(DetectionResult(alerts=(alert,)), 501.0, 2001.0) == []
    assert [seen.happened_at for seen in state.alerts] == [470.0]
    old = Alert(alert_id="alert_2", timestamp=1990.0)  # an old device tells no age
    state.take(old, 500.0, 2000.0)
    assert state.alerts[0].happened_at == 490.0


def told(uid: str, state: str = "firing", level: str = "medium", age_s: float = 0.0) -> Alert:
    return Alert(event_uid=uid, state=state, threat_level=level, age_s=age_s, tracks=(3,), raw=Message(age_s=age_s))


def test_an_event_grows_worse_and_is_over_after_so_long() -> None:
    state = DeviceState()
    alerts = [told("e1"), told("e2", age_s=1.0), told("e1", level="high"), told("e1", "resolved", "high", 2.0)]
    lines = [marks(seen) for at, alert in enumerate(alerts) for seen in state.take(alert, 500.0 + 7 * at, 2000.0)]
    assert lines == [["#3"], ["#3"], ["up from medium", "#3"], ["resolved after 19 s", "#3"]]
    assert state.take(told("e1", "resolved", "high"), 600.0, 2000.0) == [], "the same once more"
    assert marks(state.take(told("e3", "resolved"), 600.0, 2000.0)[0]) == ["resolved", "#3"], "its beginning was missed"
    assert state.alert_count == 3, "what is over is no new alert"


def test_a_lower_level_that_comes_late_is_no_rise() -> None:
    state = DeviceState()
    alerts = [told("e1", level="high", age_s=1.0), told("e1", level="low", age_s=5.0), told("e1", "resolved", "high")]
    lines = [marks(seen) for alert in alerts for seen in state.take(alert, 500.0, 2000.0)]
    assert lines == [["#3"], ["#3"], ["resolved after 5 s", "#3"]], "and it is the beginning"


def test_how_many_events_go_on_is_said_only_of_a_device_that_tells_it() -> None:
    state = DeviceState()
    for features in (("resume",), ("resume", "events")):
        state.take(Connected("h", 1), 1.0, 0.0)
        state.take(Welcome(device_id="edge-01", protocol=Protocol(features=features)), 1.0, 0.0)
        assert state.going_on == 0, "a plain client is never told that one is over"
        state.take(HelloOk(), 1.0, 0.0)
        state.take(told("e1"), 1.0, 0.0)
    assert state.going_on == 1
    state.take(Welcome(device_id="edge-02", protocol=Protocol(features=("events",))), 1.0, 0.0)
    assert state.going_on == 0, "they were another device's"


def test_no_more_events_are_kept_than_said() -> None:
    state = DeviceState()
    for number in range(2 * KEPT_EVENTS):
        state.take(told(f"e{number}"), 500.0, 2000.0)
    assert len(state._beginnings._events) == KEPT_EVENTS


def test_each_object_is_named_where_the_device_follows_them() -> None:
    knife = Detected(class_name="knife")
    person = Detected(class_name="person", track_id=3, age_s=12.5, zones=("door", "till"))
    child = Detected(class_name="person", track_id=2, age_s=61.0)
    assert followed(DetectionResult(detections=(knife, person, child))) == (
        "person #2 1 min, person #3 12 s in door and till, knife"
    )
    assert followed(DetectionResult(detections=(knife, knife))) == "knife x2"
    assert followed(DetectionResult()) == ""


def test_notices_pass() -> None:
    state = DeviceState()
    state.take(HelloOk(next_seq=12, resume=Resumed(status="ok", start=5)), 10.0, 0.0)
    assert state.notice(11.0) == "replay of 7 alerts"
    state.take(Gap(1), 12.0, 0.0)
    assert state.notice(13.0) == "gap: 1 alert of before can no more be had"
    assert state.notice(12.0 + NOTICE_S) == ""
    assert state.missed == 1


def test_what_belongs_to_a_connection_goes_with_it() -> None:
    state = DeviceState()
    state.take(Connected("h", 1), 1.0, 0.0)
    state.take(HelloOk(), 1.0, 0.0)
    state.take(DetectionResult(frame_id=1, latency_ms=LatencyMs(total=3.0)), 2.0, 0.0)
    state.take(VideoFrame(frame_id=1, dropped=4), 2.0, 0.0)
    assert state.latencies.all() == [3.0]
    assert state.pictures_dropped == 4
    state.take(Lost("gone", 1.0), 3.0, 0.0)
    assert (state.session, state.result, state.connected) == (None, None, None)
    assert state.latencies.all() == []
