"""kill -9 at any moment: what was told to be stored is there, the numbers go on, no label is given twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from edge import config
from edge.outbox.outbox import Outbox
from tests.outboxes import Told, alert, everything, running
from tests.support import ROOT, wait_until

ROUNDS = 30


def write_for_ever(folder: Path, first: int) -> None:
    """The child: numbered alerts in bursts, and a line "seq number" for each when it is stored."""

    def tell(batch):
        sys.stdout.write("".join(f"{each.seq} {each.alert.frame_id}\n" for each in batch))
        sys.stdout.flush()

    outbox = Outbox(folder, config.Outbox(max_alerts=1_000_000), on_stored=tell, machine_id="this")
    outbox.start()
    outbox.register("backend", 0)
    number = first
    while True:
        for _ in range(1 + number % 7):
            outbox.append(alert(number, time.time()))
            number += 1
        bounds = outbox.bounds
        if bounds:
            outbox.acknowledge("backend", bounds.next_seq - 1)
        wait_until(lambda: outbox.counters().waiting < 50)


def test_kill_9_loses_nothing_that_was_told(tmp_path: Path) -> None:
    told: dict[int, int] = {}  # seq -> number
    moments = random.Random(3)
    kept = []
    for turn in range(ROUNDS):
        first = max(told.values(), default=-1) + 1000
        command = [sys.executable, "-m", "tests.integration.test_outbox_kill", str(tmp_path), str(first)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout
            if turn % 3:
                lines = [child.stdout.readline()]  # it works; now any moment may be the last
                time.sleep(moments.uniform(0, 0.1))
            else:  # while it starts
                lines = []
                time.sleep(moments.uniform(0.05, 0.5))
            child.send_signal(signal.SIGKILL)
            lines += child.stdout.read().splitlines(keepends=True)
        for line in lines:
            if line.endswith("\n"):
                seq, number = map(int, line.split())
                assert told.setdefault(seq, number) == number, "a number was given twice"
        with running(tmp_path, settings=config.Outbox(max_alerts=1_000_000)) as outbox:
            kept = everything(outbox, 500)
            assert 0 <= outbox.consumers().get("backend", 0) <= len(kept)
        stored = {each.seq: each.alert.frame_id for each in kept}
        assert list(stored) == list(range(1, len(kept) + 1))
        assert told.items() <= stored.items()
        assert len({each.alert.alert_id for each in kept}) == len(kept)
        assert len({each.alert.event_uid for each in kept}) == len(kept)
    assert len({each.stream for each in kept}) == 1
    assert len(told) >= ROUNDS // 2


def test_a_killed_owner_leaves_no_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.integration.test_outbox_kill", str(tmp_path), "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline()
        second = Told()
        with running(tmp_path, second, wait=False):
            assert second.state == "failed"
            child.kill()
            child.wait()
            wait_until(lambda: second.state == "ok")


if __name__ == "__main__":
    write_for_ever(Path(sys.argv[1]), int(sys.argv[2]))
