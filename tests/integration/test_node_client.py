"""A backend engineer's client: the 30 lines of Node that docs/protocol.md prints, against the real server."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from edge.config import Listener
from tests.streaming import make_alert, make_result, make_video, running, serving
from tests.support import ROOT, wait_until


@pytest.fixture
def node_client(tmp_path: Path) -> list[str]:
    """The command that runs the client as the page prints it."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node.js (`node`), which is not installed here")
    (printed,) = re.findall(r"```js\n(.*?)```", (ROOT / "docs/protocol.md").read_text("utf-8"), re.DOTALL)
    script = tmp_path / "plain_client.mjs"
    script.write_text(printed, "utf-8")
    return [node, str(script)]


@pytest.mark.parametrize("framing", ["length", "newline"])
def test_the_printed_client_reads_messages_and_pictures(node_client: list[str], framing: str) -> None:
    """[EDGE-2-1] [EDGE-2-2] [EDGE-2-3] [EDGE-3-1] [EDGE-3-4]"""
    listener = Listener(host="127.0.0.1", port=0, framing=framing, video=True)  # type: ignore[arg-type]
    with serving(listener) as served:
        command = [*node_client, "127.0.0.1", str(served.port), framing, "31"]
        with running(command) as node:
            assert node.stdout is not None
            output: list[str] = []
            wait_until(served.hub.clients, timeout=30)
            for number in range(1, 11):
                served.hub.publish_result(make_result(number, make_alert(number)))
                served.hub.publish_video(make_video(number, 100_000))
                # One picture waits at most: read this one before the next is published.
                output += [node.stdout.readline() for _ in range(4 if number == 1 else 3)]
            assert node.wait(60) == 0
        wait_until(lambda: not served.hub.clients())
    messages = [json.loads(line) for line in output]
    assert messages[0]["type"] == "welcome"
    by_type = {
        kind: [m for m in messages if m["type"] == kind] for kind in ("alert", "detection_result", "video_frame")
    }
    assert [m["frame_id"] for m in by_type["alert"]] == list(range(1, 11))
    assert [m["frame_id"] for m in by_type["detection_result"]] == list(range(1, 11))
    assert all(m["jpeg"] == {"bytes": 100_000, "soi": True, "eoi": True} for m in by_type["video_frame"])
    assert by_type["detection_result"][0]["detections"][0]["bbox"] == [412, 133.5, 563.25, 590]
