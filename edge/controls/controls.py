"""The commands of clients: what each one does. Who may give them and how often is the stream's affair."""

from __future__ import annotations

import base64
import dataclasses
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec

from edge import __version__
from edge.capture.camera import CaptureLoop
from edge.config import Config
from edge.controls import arguments
from edge.controls.arguments import read
from edge.controls.settings import CHANGEABLE, KeptSettings
from edge.errors import EdgeError
from edge.evidence import EvidenceRecorder, Masks, VideoEncoder, still
from edge.gpio.buzzer import Buzzer
from edge.health.board import HealthBoard
from edge.health.tally import Tally
from edge.outbox.reports import OutboxCounters
from edge.pipeline import Pipeline
from edge.rules.checks import judge
from edge.rules.explain import Explanation
from edge.types import Look, StoredAlert, StreamBounds
from edge.wire.framing import MAX_JSON
from edge.wire.messages import Copy, Identity, alert_fields, to_json, where

Args: TypeAlias = dict[str, Any]
Handler: TypeAlias = Callable[[Args], dict[str, Any]]
ROOM = 4096  # bytes of an answer that are left for everything but the picture or the alerts
CLIP_PART = 384 << 10  # bytes of a clip in one answer: a connection has room for others beside it
MOST_CANDIDATES = 10  # of a rule in an answer: 64 rules of them are half a message
MAX_PICTURE = (MAX_JSON - ROOM) // 4 * 3  # base64 makes 4 bytes of 3


class AlertArchive(Protocol):
    """What the commands need of the outbox."""

    @property
    def bounds(self) -> StreamBounds | None:
        """What it holds; None while it is not open."""

    def consumers(self) -> Mapping[str, int]:
        """The last number that each consumer acknowledged."""

    def counters(self) -> OutboxCounters:
        """How many alerts wait for the disk, were given up, were trimmed unread."""

    def read(self, after: int, limit: int) -> Sequence[StoredAlert]:
        """Stored alerts with numbers above ``after``, in order; may block. Raises StateError."""


class Controls:
    """``handlers`` holds one callable for each command: arguments in, the result out.

    A handler may take up to five seconds, so it is for a thread that may wait. It raises ConfigError for arguments
    that are wrong, another EdgeError for what cannot be done now, each with one line for the client; then nothing was
    changed. ``class_names`` are those the model knows.

    Synchronization: handlers may be called from any thread.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        settings: KeptSettings,
        tally: Tally,
        board: HealthBoard,
        pipeline: Pipeline,
        capture: CaptureLoop,
        encoder: VideoEncoder,
        masks: Masks,
        evidence: EvidenceRecorder,
        buzzer: Buzzer | None,
        outbox: AlertArchive,
        clients: Callable[[], int],
        model: str,
        class_names: Collection[str],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.handlers: Mapping[str, Handler] = {
            "get_status": self._get_status,
            "get_config": self._get_config,
            "set_config": self._set_config,
            "reset_config": self._reset_config,
            "snapshot": self._snapshot,
            "get_alerts": self._get_alerts,
            "buzzer": self._order_buzzer,
            "explain": self._explain,
            "restart_camera": self._restart_camera,
        }
        self._identity = identity
        self._settings = settings
        self._tally = tally
        self._board = board
        self._pipeline = pipeline
        self._capture = capture
        self._encoder = encoder
        self._masks = masks
        self._evidence = evidence
        self._buzzer = buzzer
        self._outbox = outbox
        self._clients = clients
        self._model = model
        self._class_names = class_names
        self._clock = clock
        self._monotonic = monotonic
        self._started = monotonic()

    def _get_status(self, args: Args) -> dict[str, Any]:
        read(args, arguments.Nothing)
        figures = self._tally.figures()
        return {
            "device_id": self._identity.device_id,
            "camera_id": self._identity.camera_id,
            "version": __version__,
            "uptime_s": round(self._monotonic() - self._started, 1),
            "status": figures.status,
            "reason": figures.reason,
            "model": self._model,
            "source": self._capture.state.name,
            "frames": figures.frames,
            "frames_per_s": round(figures.frames_per_s, 2),
            "latency_ms": round(figures.latency_ms, 2),
            "dropped": figures.dropped,
            "alerts": figures.alerts,
            "clients": self._clients(),
            "health": self._board.components(),
            "outbox": {
                **where(self._outbox.bounds),
                "consumers": dict(self._outbox.consumers()),
                **dataclasses.asdict(self._outbox.counters()),
            },
            "buzzer": None if self._buzzer is None else _state(self._buzzer),
        }

    def _get_config(self, args: Args) -> dict[str, Any]:
        read(args, arguments.Nothing)
        config = msgspec.to_builtins(self._settings.config)
        if "://" in config["camera"]["source"] or config["camera"]["source"].startswith("gst:"):
            config["camera"]["source"] = self._capture.state.name  # the address may hold a login
        return {"config": config, "changed": self._settings.changed, "changeable": list(CHANGEABLE)}

    def _set_config(self, args: Args) -> dict[str, Any]:
        self._settings.change(read(args, arguments.SetConfig).values, self._apply)
        return {"changed": self._settings.changed, "warnings": judge(self._settings.config, self._class_names)}

    def _reset_config(self, args: Args) -> dict[str, Any]:
        read(args, arguments.Nothing)
        self._settings.reset(self._apply)
        return {}

    def _snapshot(self, args: Args) -> dict[str, Any]:
        wish = read(args, arguments.Snapshot)
        if wish.alert is not None:
            return self._clip(wish.alert, wish.offset) if wish.clip else self._kept_picture(wish.alert)
        video = self._settings.config.video
        result, figures = self._pipeline.newest, self._tally.figures()
        if result is None or result.frame is None:
            raise EdgeError(f"there is no frame yet: {figures.reason or 'starting'}")
        if figures.status == "blind":
            age = self._monotonic() - result.frame.monotonic
            raise EdgeError(f"{figures.reason}; the last frame is {age:.1f} s old")
        look = Look(
            video.quality if wish.quality is None else wish.quality,
            video.annotated if wish.annotated is None else wish.annotated,
        )
        picture = still(result, look, wish.max_width or video.max_width, MAX_PICTURE, self._masks)
        return {
            "frame_id": result.frame.sequence,
            "timestamp": result.frame.captured_at,
            "width": picture.width,
            "height": picture.height,
            "format": "jpeg",
            "size": len(picture.jpeg),
            "quality": picture.quality,
            "annotated": look.annotated,
            "jpeg": base64.b64encode(picture.jpeg).decode(),
        }

    def _kept_picture(self, reference: str) -> dict[str, Any]:
        jpeg, about = self._evidence.picture(reference)
        return {
            "alert": reference,
            **{name: about[name] for name in ("frame_id", "timestamp", "width", "height") if name in about},
            "format": "jpeg",
            "size": len(jpeg),
            **{name: about[name] for name in ("quality", "annotated") if name in about},
            "clip": self._evidence.has_clip(reference),
            "jpeg": base64.b64encode(jpeg).decode(),
        }

    def _clip(self, reference: str, offset: int) -> dict[str, Any]:
        part = self._evidence.clip_part(reference, offset, CLIP_PART)
        answer = {
            "alert": reference,
            "format": "avi",
            "size": part.size,
            "offset": part.offset,
            "data": base64.b64encode(part.data).decode(),
        }
        return answer | ({"sha256": part.sha256} if part.sha256 else {})

    def _get_alerts(self, args: Args) -> dict[str, Any]:
        wish = read(args, arguments.GetAlerts)
        if self._outbox.bounds is None:
            raise EdgeError("the stored alerts cannot be read: the outbox is not open")
        stored = self._outbox.read(wish.after, wish.limit)
        return {**where(self._outbox.bounds), "alerts": self._alerts_that_fit(stored)}

    def _alerts_that_fit(self, stored: Sequence[StoredAlert]) -> list[dict[str, Any]]:
        """As many, from the first, as one message takes."""
        room, alerts = MAX_JSON - ROOM, []
        for each in stored:
            age_s = max(0.0, self._clock() - each.alert.timestamp)
            fields = alert_fields(Copy(each.alert, each, replay=True, age_s=age_s), self._identity.device_id)
            room -= len(to_json(fields)) + 1
            if room < 0:
                break
            alerts.append(fields)
        return alerts

    def _order_buzzer(self, args: Args) -> dict[str, Any]:
        order, buzzer = read(args, arguments.BuzzerOrder), self._buzzer
        if buzzer is None:
            raise EdgeError("there is no buzzer: gpio.factory is none, or its pin cannot be used here")
        if order.on is not None or order.test:
            if refusal := buzzer.test() if order.on is None else buzzer.sound(order.on):
                raise EdgeError(refusal)
            return {"sounding": True, "level": order.on, "silenced_s": 0.0}
        if order.silence_s:
            buzzer.silence(order.silence_s)
        elif order.silence_s is not None:
            buzzer.end_silence()
        elif order.acknowledge:
            buzzer.acknowledge()
        else:
            buzzer.hush()
        return _state(buzzer) | ({} if order.silence_s == 0 else {"sounding": False, "level": None})

    def _explain(self, args: Args) -> dict[str, Any]:
        read(args, arguments.Nothing)
        return {"rules": [_explained(each) for each in self._pipeline.explain()]}

    def _restart_camera(self, args: Args) -> dict[str, Any]:
        read(args, arguments.Nothing)
        self._capture.restart()
        return {}

    def _apply(self, config: Config) -> None:
        self._pipeline.apply(config)
        self._encoder.settings = config.video


def _explained(rule: Explanation) -> dict[str, Any]:
    """How a rule stands; times to a tenth of a second."""
    told = dataclasses.asdict(dataclasses.replace(rule, candidates=rule.candidates[:MOST_CANDIDATES]))
    for candidate in told["candidates"]:
        candidate |= {key: round(candidate[key], 1) for key in ("lasted_s", "age_s")}
    return {**told, "cooldown_s": round(rule.cooldown_s, 1)}


def _state(buzzer: Buzzer) -> dict[str, Any]:
    state = buzzer.state
    return {"sounding": state.sounding, "level": state.level, "silenced_s": round(buzzer.silenced_s, 1)}
