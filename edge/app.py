"""The only place that builds things, in the order of starting; edge.life ends them."""

from __future__ import annotations

import logging
import secrets
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from edge.capture.camera import CaptureLoop
from edge.capture.source import Source, open_source
from edge.clock import WallClock, synchronised
from edge.config import Config
from edge.controls.controls import Controls
from edge.controls.settings import KeptSettings, kept_settings
from edge.errors import WorkerDied
from edge.evidence import EvidenceRecorder, EvidenceStore, Masks, VideoEncoder
from edge.gpio.buzzer import Buzzer
from edge.gpio.led import StatusLed, sign_of
from edge.gpio.panel import open_panel
from edge.gpio.silence import QuietTimes
from edge.health.board import Components, HealthBoard
from edge.health.journal import log_alerts, log_end
from edge.health.summary import summary
from edge.health.tally import Tally
from edge.inference.detector import Detector, open_detector
from edge.life import Life
from edge.outbox.open_events import read_open_events
from edge.outbox.outbox import Outbox
from edge.pipeline import LIMIT_S, Pipeline, view_of
from edge.security.peers import RELEASED_AT
from edge.storage import device_id, state_dir
from edge.stream.hub import Hub
from edge.stream.publisher import Publisher
from edge.stream.reception import Trust
from edge.stream.server import StreamServer
from edge.systemd import Systemd
from edge.types import Frame, ModelSpec
from edge.wire import replies
from edge.wire.messages import Identity
from edge.workers import DISK_LIMIT_S, Latest, Worker

if TYPE_CHECKING:
    from gpiozero.pins import Factory

logger = logging.getLogger(__name__)
KEEPER_S = 2.0  # how long the end waits for pictures and clips that are being written
OUTBOX_S = 5.0  # how long the start waits for the outbox; alerts go out without it all the same
SWITCH_INTERVAL_S = 0.0005  # with pure-Python load this cuts the delivery p99 by 4 to 10 times


class App:
    """The whole program: ``start``, ``wait``, ``stop``, from the main thread.

    ``on_buzzer`` is told, from the buzzer's thread, when a sounding begins and ends; ``pin_factory`` takes the place
    of the one that the settings name. ``systemd`` is told how the program does, if somebody started it for that.
    """

    hub: Hub
    server: StreamServer
    buzzer: Buzzer | None
    detector: Detector
    source: Source

    def __init__(
        self,
        config: Config,
        *,
        max_frames: int | None = None,
        on_buzzer: Callable[[bool], None] | None = None,
        pin_factory: Factory | None = None,
        systemd: Systemd | None = None,
    ) -> None:
        self.config = config
        self.tally = Tally()
        self._led: StatusLed | None = None
        self.board = HealthBoard(self._on_health)
        self._max_frames = max_frames
        self._on_buzzer = on_buzzer
        self._pin_factory = pin_factory
        self._life = Life(systemd)
        self._opened = ExitStack()
        self._wall_clock = WallClock(RELEASED_AT)

    @property
    def failure(self) -> WorkerDied | None:
        """The death of a worker, which ends the program."""
        return self._life.failure

    def handle_signals(self) -> None:
        """SIGTERM and SIGINT stop the program, also while it starts; SIGHUP does nothing. Call it before start()."""
        self._life.handle_signals()

    def start(self, spec: ModelSpec) -> None:
        """Build and start everything; raises an EdgeError, with nothing left running, when a part cannot be."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        try:
            self._start(spec)
            self._life.ready()
        except BaseException:
            self.stop()
            raise

    def wait(self, tick: Callable[[], None] | None = None, interval: float = 0.5) -> None:
        """Until a signal, the end of the recording, or a dead worker; ``tick`` is called every ``interval`` seconds, or
        oftener."""

        def look() -> None:
            self._look_around()
            if tick is not None:
                tick()

        self._life.wait(look, interval)

    def stop(self) -> int:
        """Buzzer off, clients told by a clean close, threads joined, within about two seconds; idempotent.

        Returns the exit code: 0, or 1 when a worker died, which is known for sure only now.
        """
        ran = self._life.running
        if stuck := self._life.stop():
            self._leave_at_once(stuck)
        self._opened.close()
        if ran:
            dropped = self.hub.counters()
            log_end(self.tally.figures(), dropped.results_dropped, dropped.videos_dropped)
        return self._life.exit_code

    def _start(self, spec: ModelSpec) -> None:
        folder = state_dir(self.config)
        identity = Identity(device_id(self.config, folder), self.config.device.camera_id, secrets.token_hex(8))
        settings = kept_settings(self.config, folder)
        for warning in settings.warnings:
            logger.warning("%s", warning)
        config = self.config = settings.config
        self.hub = Hub(identity, config.stream.alerts)
        trust = Trust.open(config.security, config.listeners, config.backends)
        publisher = self._open_outbox(folder)
        self._open_detector(spec)
        slot: Latest[Frame] = Latest()
        capture = self._open_source(slot)
        self._open_panel(settings)
        self._masks = Masks(config.camera.privacy_masks)
        encoder = self._encoder = VideoEncoder(config.video, self.hub.looks, self.hub.publish_video, self._masks)
        self._open_evidence(folder / "evidence", settings)
        pipeline = self._build_pipeline(slot, capture, publisher)
        controls = self._build_controls(identity, settings, pipeline, capture)
        self.server = StreamServer(
            config.listeners,
            config.stream,
            self.hub,
            backends=config.backends,
            publisher=publisher,
            outbox=self._outbox,
            trust=trust,
            video=lambda: encoder.settings,
            handlers=controls.handlers,
            health=self.board.components,
            on_death=self._life.on_death,
        )
        self._opened.callback(self.server.close)
        self._life.add("stream", self.server)
        self.server.start()
        self._life.begin("evidence", encoder.run)
        self._life.begin("inference", lambda stopping: self._until_done(pipeline, stopping), LIMIT_S)
        self._life.begin("capture", capture.run, capture.limit_s)

    def _open_outbox(self, folder: Path) -> Publisher:
        """The outbox ends after everything else: what the last frames gave still comes into it."""
        self._outbox = Outbox(
            folder,
            self.config.outbox,
            on_stored=lambda batch: publisher.on_stored(batch),
            on_state=lambda state, reason: self.board.set("outbox", state, reason),
            on_death=self._life.on_death,
        )
        publisher = Publisher(self.hub, self._outbox, self.config.outbox.slow_commit_s)
        self._opened.callback(self._outbox.close)
        self._life.watch(self._outbox)
        if not self._outbox.start(OUTBOX_S):
            logger.error("alerts are not kept for now: they go out, but a backend that is away will not get them")
        return publisher

    def _open_detector(self, spec: ModelSpec) -> None:
        self.detector = open_detector(spec, self.config.detector)
        self._opened.callback(self.detector.close)
        logger.info("model %s", self.detector.description)

    def _open_source(self, slot: Latest[Frame]) -> CaptureLoop:
        source = self.source = open_source(self.config.camera, self.detector.lores_size)
        self._opened.callback(source.close)
        capture = CaptureLoop(source, self.config.camera, slot)
        if not source.live:
            capture.start()
        logger.info("source %s", source.name)
        return capture

    def _open_panel(self, settings: KeptSettings) -> None:
        panel = open_panel(
            self.config.gpio,
            pin_factory=self._pin_factory,
            quiet=QuietTimes(
                self.config.gpio.quiet,
                lambda: settings.config.alerts,
                lambda: time.time() if self._wall_clock.known else None,
            ),
            on_change=self._on_buzzer,
            on_death=self._life.on_death,
        )
        self._opened.callback(panel.close)
        self._panel, self.buzzer, self._led = panel, panel.buzzer, panel.led
        for name, part in panel.threads.items():
            self._life.add(name, part)
            part.start()
        self.board.set("buzzer", *panel.health())

    def _open_evidence(self, folder: Path, settings: KeptSettings) -> None:
        """Its thread ends after those that watch: what the last frames gave is still kept."""
        store = EvidenceStore(folder, self.config.evidence, now=lambda: time.time() if synchronised() else 0.0)
        self._evidence = EvidenceRecorder(
            self.config.evidence,
            store,
            self._masks,
            rules=lambda: settings.config.alerts.rules,
            on_state=lambda state, reason: self.board.set("evidence", state, reason),
        )
        keeper = Worker("keeper", self._evidence.run, limit_s=DISK_LIMIT_S, on_death=self._life.on_death)
        self._opened.callback(lambda: keeper.join(KEEPER_S))
        self._opened.callback(keeper.stop)
        self._life.watch(keeper)
        keeper.start()

    def _build_pipeline(self, slot: Latest[Frame], capture: CaptureLoop, publisher: Publisher) -> Pipeline:
        return Pipeline(
            slot,
            self.detector,
            self.config,
            model=self.detector.description.model,
            degraded=self.detector.description.degraded,
            view=lambda: view_of(capture),
            sinks=(
                *(() if self.buzzer is None else (self.buzzer.observe,)),
                lambda result: publisher.publish_result(self._evidence.observe(result)),
                self.tally.observe,
                self.board.observe,
                log_alerts,
                self._encoder.submit,
            ),
            max_frames=self._max_frames,
            wall_known=lambda: self._wall_clock.known,
            inherited=read_open_events(self._outbox),
        )

    def _build_controls(
        self, identity: Identity, settings: KeptSettings, pipeline: Pipeline, capture: CaptureLoop
    ) -> Controls:
        return Controls(
            identity=identity,
            settings=settings,
            tally=self.tally,
            board=self.board,
            pipeline=pipeline,
            capture=capture,
            encoder=self._encoder,
            masks=self._masks,
            evidence=self._evidence,
            buzzer=self.buzzer,
            outbox=self._outbox,
            clients=self.hub.clients,
            model=self.detector.description.model,
            class_names=self.detector.class_names.values(),
        )

    def _until_done(self, pipeline: Pipeline, stopping: threading.Event) -> None:
        """The inference thread: the detector is its own while it runs, and its end is the program's."""
        pipeline.run(stopping)
        self._life.end()

    def _look_around(self) -> None:
        self.board.set("clock", *self._wall_clock.look())
        self.board.set("buzzer", *self._panel.health())
        self._life.systemd.status(summary(self.tally.figures(), self.hub.clients(), self.board.components()))

    def _on_health(self, components: Components) -> None:
        if self._led is not None:
            self._led.show(sign_of(components))
        self.hub.publish_health(replies.health(components, time.time()))

    def _leave_at_once(self, stuck: list[str]) -> None:
        """A thread hangs: nothing of it can be waited for, but the pin and what waits for the disk are seen to."""
        logger.error("not ended in time: %s; leaving without", ", ".join(stuck))
        if self.buzzer is not None:
            self.buzzer.close()  # the last try to turn the pin off, also where its thread died over that
        self._outbox.close()
        self._life.leave_at_once()
