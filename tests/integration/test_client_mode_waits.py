"""What a backend that cannot be found, or a device that ends, does not do to others."""

from __future__ import annotations

import logging
import re
import socket
import threading
from typing import Any

import pytest

from edge.config import Backend
from edge.errors import StreamError
from edge.stream import dialler as diallers
from edge.stream import server as servers
from edge.stream.answers import Asker
from edge.stream.dialler import Dialler
from edge.wire.requests import Command
from tests.streaming import nothing_left, serving
from tests.support import wait_until


def test_commands_do_not_wait_for_a_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a way to the internet a resolver takes half a minute for each name."""
    monkeypatch.setattr(servers, "CHECK_S", 0.02)
    asked, found = threading.Event(), threading.Event()

    def resolve(_: Dialler, flags: int = 0) -> list[Any]:
        if flags:
            raise StreamError("it is a name")
        asked.set()
        found.wait(30)
        return [(socket.AF_INET, ("127.0.0.1", 9))]

    monkeypatch.setattr(Dialler, "resolve", resolve)
    backend = Backend(host="backend.example.org", port=9, tls=False)
    with nothing_left(), serving(parts={"backends": [backend], "handlers": {"get_status": lambda _: {}}}) as served:
        assert asked.wait(10)
        answers: list[bytes] = []
        give = served.server._reception._services.answers.give
        served.server._post(lambda: give(Asker("desk", "here"), Command(id="1", cmd="get_status"), answers.append))
        try:
            wait_until(lambda: answers)
        finally:
            found.set()


def test_an_address_does_not_wait_for_the_names_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "CHECK_S", 0.02)
    monkeypatch.setattr(diallers, "RETRY_MIN_S", 0.01)
    asked, found = threading.Event(), threading.Event()
    lookup = socket.getaddrinfo

    def slow(host: str, port: int, **options: Any) -> list[Any]:
        if host == "backend.test" and not options["flags"]:
            asked.set()
            found.wait(30)
        return lookup("127.0.0.1" if host == "backend.test" and not options["flags"] else host, port, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with nothing_left(), socket.create_server(("127.0.0.1", 0)) as office:
        office.settimeout(10)
        port = office.getsockname()[1]
        backends = [Backend(host=host, port=port, tls=False) for host in ("backend.test", "127.0.0.1")]
        with serving(parts={"backends": backends}):
            assert asked.wait(10)
            try:
                for _ in range(3):
                    device, _ = office.accept()
                    device.close()
            finally:
                found.set()


def test_a_device_that_ends_does_not_speak_of_trying_again(caplog: pytest.LogCaptureFixture) -> None:
    with nothing_left(), socket.create_server(("127.0.0.1", 0)) as office:
        office.settimeout(10)
        backend = Backend(host="127.0.0.1", port=office.getsockname()[1], tls=False)
        with serving(parts={"backends": [backend]}) as served:
            device, _ = office.accept()
            wait_until(lambda: served.hub.clients() == 1)
            device.close()
            wait_until(lambda: "trying again" in caplog.text)
            device, _ = office.accept()
            wait_until(lambda: served.hub.clients() == 1)
            caplog.clear()
        device.close()
        assert "trying again" not in caplog.text


def test_the_log_tells_once_of_a_backend_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(servers, "CHECK_S", 0.02)
    monkeypatch.setattr(diallers, "RETRY_MIN_S", 0.01)
    monkeypatch.setattr(diallers, "RETRY_MAX_S", 0.02)
    with socket.create_server(("127.0.0.1", 0)) as office:
        address = office.getsockname()
        backend = Backend(host="127.0.0.1", port=address[1], tls=False)
        with serving(parts={"backends": [backend]}):
            for _ in range(3):
                office.accept()[0].close()
            office.close()
            wait_until(lambda: "Connection refused; trying again" in caplog.text)
    lines = [text for text in caplog.messages if f"127.0.0.1:{address[1]}" in text and "connected" not in text]
    reasons = [re.fullmatch(r"backend 127\.0\.0\.1:\d+: (.*); trying again, next in 0\.\d s", line) for line in lines]
    assert all(reasons), lines
    assert len({reason.group(1) for reason in reasons if reason}) == len(lines), "each reason once"


def test_the_log_is_reminded_of_a_backend_that_stays_away(caplog: pytest.LogCaptureFixture) -> None:
    dialler = Dialler(Backend(host="127.0.0.1", port=9, tls=False), 10.0, 0.0)
    for now in (0.0, 1.0, diallers.REMIND_S - 1.0, diallers.REMIND_S, diallers.REMIND_S + 1.0):
        dialler.failed("no answer in 10 s", now)
    assert len(caplog.messages) == 2
    assert all(text.startswith("backend 127.0.0.1:9: no answer in 10 s; trying") for text in caplog.messages)
