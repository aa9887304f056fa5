"""A network camera, played by a real HTTP server that streams Motion JPEG: found, lost, and found again."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from edge.capture.camera import CaptureLoop
from edge.capture.source import open_source
from edge.config import Camera
from edge.types import Frame
from edge.workers import Latest, Worker
from tests.support import wait_until


class MotionJpeg(BaseHTTPRequestHandler):
    """Sends pictures, 25 a second, until its server is told to stop."""

    def do_GET(self) -> None:
        jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
        try:
            while not self.server.cut.wait(0.04):  # type: ignore[attr-defined]
                self.wfile.write(head + jpeg + b"\r\n")
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        pass


def serve(port: int = 0) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", port), MotionJpeg)
    server.daemon_threads = True
    server.cut = threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.05,)).start()
    return server


def end(server: ThreadingHTTPServer) -> None:
    server.cut.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def test_a_network_camera_comes_back(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "fflags;nobuffer")  # and it is put back afterwards
    server = serve()
    port = server.server_address[1]
    settings = Camera(source=f"http://guard:secret@127.0.0.1:{port}/door", retry_min_s=0.05, retry_max_s=0.1)
    slot: Latest[Frame] = Latest()
    capture = CaptureLoop(open_source(settings), settings, slot)
    worker = Worker("capture", capture.run)
    worker.start()
    try:
        wait_until(lambda: capture.captured >= 3, 20)
        frame = slot.take(1)
        assert frame is not None
        assert frame.image.shape == (48, 64, 3)
        assert abs(int(frame.image.mean()) - 90) < 5
    finally:
        end(server)
    wait_until(lambda: capture.state.phase == "lost", 20)
    before = capture.captured
    server = serve(port)
    try:
        wait_until(lambda: capture.captured >= before + 3, 20)
        assert capture.state.phase == "running"
        assert capture.state.losses >= 1
    finally:
        worker.stop()
        end(server)
        assert worker.join(20)
    assert "secret" not in caplog.text
    assert f"camera lost: http://127.0.0.1:{port}: " in caplog.text
