"""Frames a second of the whole program against a bare loop of decode, resize and invoke; prints a table.

    .venv/bin/python -m tests.bench.throughput VIDEO MODEL LABELS [--rounds 5] [--frames 600] [--threads 2]

Each round runs, one after the other and each in a process of its own: the bare loop, the program without a client, and
with four clients (one process that reads all four streams, on the same machine). So a slow moment of the machine hits
all three; the ratios are the result, their median the figure.
"""

from __future__ import annotations

import argparse
import json
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support import wait_until

COMMAND = (sys.executable, "-m", "tests.bench.throughput")
KINDS = ("bare", "alone", "clients")
WARM_UP = 20  # frames that count for nothing


def bare(args: argparse.Namespace) -> float:
    """The loop that anybody would write first."""
    import cv2
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=args.model, num_threads=args.threads)
    interpreter.allocate_tensors()
    (inputs,) = interpreter.get_input_details()
    _, height, width, _ = inputs["shape"]
    capture = cv2.VideoCapture(args.video)
    begin = 0.0
    for index in range(args.frames):
        if index == WARM_UP:
            begin = time.perf_counter()
        ok, image = capture.read()
        if not ok:
            capture = cv2.VideoCapture(args.video)
            ok, image = capture.read()
        small = cv2.cvtColor(cv2.resize(image, (int(width), int(height))), cv2.COLOR_BGR2RGB)
        if inputs["dtype"].__name__ == "int8":
            small = (small.astype("int16") - 128).astype("int8")
        interpreter.set_tensor(inputs["index"], small[None])
        interpreter.invoke()
        for output in interpreter.get_output_details():
            interpreter.get_tensor(output["index"])
    return (args.frames - WARM_UP) / (time.perf_counter() - begin)


def program(args: argparse.Namespace, clients: int) -> float:
    """`run --unpaced` in this process, its clients in another."""
    from edge.app import App
    from edge.catalog import Catalog
    from edge.configure import load_config

    state = tempfile.mkdtemp()
    overrides = [
        f"storage.state_dir={state}",
        f"camera.source={args.video}",
        "camera.unpaced=true",
        f"detector.model={args.model}",
        f"detector.labels={args.labels}",
        f"detector.num_threads={args.threads}",
        "listeners.0.host=127.0.0.1",
        "listeners.0.port=0",
        "gpio.factory=none",
    ]
    config = load_config(None, {}, overrides)
    app = App(config, max_frames=args.frames)
    app.start(Catalog.load().resolve(args.model, args.labels, Path(state)))
    host, port = app.server.addresses[0]
    reader = subprocess.Popen([*COMMAND, "--read", f"{host}:{port}:{clients}"]) if clients else None
    wait_until(lambda: app.tally.figures().frames >= WARM_UP, 60)
    warm = app.tally.figures().frames
    begin = time.perf_counter()
    app.wait()
    rate = (args.frames - warm) / (time.perf_counter() - begin)
    app.stop()
    if reader:
        reader.wait(10)
    return rate


def read(text: str) -> None:
    """Read so many streams to their end, as fast as they come."""
    host, port, clients = text.rsplit(":", 2)
    selector = selectors.DefaultSelector()
    for _ in range(int(clients)):
        selector.register(socket.create_connection((host, int(port))), selectors.EVENT_READ)
    while selector.get_map():
        for key, _ in selector.select():
            if not key.fileobj.recv(1 << 16):
                selector.unregister(key.fileobj)


def one(kind: str, args: argparse.Namespace) -> dict[str, float]:
    """One run in a process of its own."""
    command = [*COMMAND, args.video, args.model, args.labels, "--kind", kind]
    command += ["--frames", str(args.frames), "--threads", str(args.threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", nargs="?")
    parser.add_argument("model", nargs="?")
    parser.add_argument("labels", nargs="?")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read:
        read(args.read)
    elif args.kind:
        rate = bare(args) if args.kind == "bare" else program(args, 4 if args.kind == "clients" else 0)
        print(json.dumps({"rate": rate, "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
    else:
        report(args)


def report(args: argparse.Namespace) -> None:
    rows = []
    for number in range(args.rounds):
        row = {kind: one(kind, args) for kind in KINDS}
        rows.append(row)
        print(f"round {number + 1}: " + ", ".join(f"{kind} {row[kind]['rate']:.1f}/s" for kind in KINDS), flush=True)
    for kind in KINDS:
        rates = [row[kind]["rate"] for row in rows]
        ratios = [row[kind]["rate"] / row["bare"]["rate"] for row in rows]
        rss = max(row[kind]["rss_mb"] for row in rows)
        print(
            f"{kind:8} best {max(rates):6.1f} frames/s  median ratio to bare {statistics.median(ratios):.3f}"
            f"  RSS at most {rss:.0f} MB"
        )


if __name__ == "__main__":
    main()
