"""The parser alone: one subcommand a file in edge.commands, imported when it is the one to run."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from edge.errors import EdgeError
from edge.text import printable


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="preact-edge",
        description="Watch a camera with a quantized TFLite detector, stream detections and alerts over TCP, "
        "sound a buzzer on critical alerts.",
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    _add_run_options(commands.add_parser("run", help="watch, stream and alert until stopped (the daemon)"))
    _add_run_options(commands.add_parser("demo", help="run on the drawn scene with a simulated buzzer and a live view"))
    _add_check(commands.add_parser("check", help="check config, model, labels, camera, GPIO and port"))
    _add_detect(commands.add_parser("detect", help="run the detector on pictures"))
    _add_watch(commands.add_parser("watch", help="show a device's stream; connect again whenever it is lost"))
    _add_explain(commands.add_parser("explain", help="ask a running device why its rules do not fire"))
    _add_health(commands.add_parser("health", help="ask a running device, as a client, whether it sees"))
    _add_rules(commands.add_parser("rules", help="try the alert rules on a recording"))
    _add_models(commands.add_parser("models", help="list, pull and verify detector models"))
    _add_certs(commands.add_parser("certs", help="make and show certificates and login keys for a fleet of devices"))
    _add_outbox(commands.add_parser("outbox", help="show, back up and restore the stored alerts"))
    _add_buzzer(commands.add_parser("buzzer", help="try the buzzer's wiring; turn off what a killed program left on"))
    _add_selftest(commands.add_parser("selftest", help="prove that this device finds what it must, and how fast"))
    version = commands.add_parser("version", help="the version of this program and of what it uses")
    version.add_argument("--json", action="store_true", help="one JSON object, nothing else on stdout")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0 done, 1 failed, 2 bad usage or config, 130 interrupted."""
    args = parser().parse_args(arguments)
    if args.command in ("run", "demo"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # from the very start: a closed terminal must not blind the device
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by who started us
            setattr(sys, stream, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for as long as we run
    try:
        code: int = importlib.import_module(f"edge.commands.{args.command}").run(args)
        sys.stdout.flush()
    except EdgeError as error:
        print(f"preact-edge: {printable(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # who read our output has left
        _give_up_stdout()
        return 0
    except OSError as error:
        _give_up_stdout()
        where = f"{error.filename}: " if error.filename else ""
        print(f"preact-edge: {printable(f'{where}{error.strerror or error}')}", file=sys.stderr)
        return 1
    return code


def _give_up_stdout() -> None:
    """Python would complain once more when it flushes what is left for stdout at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _add_config_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", metavar="FILE", help="TOML file with the settings (docs/configuration.md)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="change one setting, for example camera.fps=10; may be repeated",
    )


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="M", help="bundled, a name of `models list`, or a .tflite file")
    parser.add_argument("--labels", metavar="F", help="labels file; without it the model's own")


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    _add_config_options(parser)
    parser.add_argument(
        "--source",
        metavar="S",
        help="scene, a video file, a folder of pictures, /dev/video0 or 0, rtsp://..., picamera, gst:PIPELINE",
    )
    _add_model_options(parser)
    parser.add_argument("--listen", metavar="HOST:PORT", help="address of the stream; port 0 takes a free one")
    parser.add_argument("--framing", choices=("length", "newline"), help="how messages are delimited")
    parser.add_argument("--video", action="store_true", help="send video frames too")
    parser.add_argument("--unpaced", action="store_true", help="files as fast as they go, every frame looked at")
    parser.add_argument("--max-frames", type=_count, metavar="N", help="stop after N frames")


def _add_check(parser: argparse.ArgumentParser) -> None:
    _add_run_options(parser)
    parser.add_argument(
        "--no-hardware",
        action="store_true",
        help="leave out camera, accelerator, pins and ports, which a running service has",
    )


def _add_selftest(parser: argparse.ArgumentParser) -> None:
    _add_config_options(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object, nothing else on stdout")
    parser.add_argument("--min-fps", type=_rate, metavar="F", help="fail below F frames a second")


def _add_detect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE", type=Path)
    _add_config_options(parser)
    _add_model_options(parser)
    parser.add_argument("--score-threshold", metavar="T", help="leave out detections below this score, 0 to 1")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, nothing else on stdout")
    parser.add_argument("--annotate", metavar="DIR", type=Path, help="write copies with the boxes drawn")


def _add_watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("address", metavar="HOST[:PORT]", help="the device's stream, port 8080 unless given")
    parser.add_argument("--json", action="store_true", help="one message a line as JSON, nothing else on stdout")
    parser.add_argument("--count", type=_count, metavar="N", help="end after N messages, the welcome included")
    parser.add_argument("--frames", type=Path, metavar="DIR", help="save each picture there as frame-NNNNNN.jpg")
    parser.add_argument("--timeout", type=_seconds, metavar="S", help="give up (exit code 1) after S silent seconds")
    parser.add_argument("--plain", action="store_true", help="only listen: send not a single byte")
    parser.add_argument("--replay", action="store_true", help="begin with the oldest alert that the device keeps")
    _add_trust_options(parser)


def _add_trust_options(parser: argparse.ArgumentParser) -> None:
    trust = parser.add_argument_group("TLS and login")
    trust.add_argument("--pin", metavar="SHA256", help="TLS to the device whose certificate has this SHA-256")
    trust.add_argument("--ca", type=Path, metavar="FILE", help="TLS to a device with a certificate of this authority")
    trust.add_argument("--device", metavar="ID", help="the device's id, which its certificate must name")
    trust.add_argument("--cert", type=Path, metavar="FILE", help="certificate to show to the device")
    trust.add_argument("--key", type=Path, metavar="FILE", help="private key of --cert")
    trust.add_argument("--login", metavar="KEYFILE:KEY_ID", help="log in with a key of a file of login keys")
    trust.add_argument("--plain-login", action="store_true", help="log in without TLS too, which protects nothing")


def _add_explain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("address", metavar="HOST[:PORT]", help="the device's stream, port 8080 unless given")
    parser.add_argument("--json", action="store_true", help="the device's answer as it came, nothing else on stdout")
    parser.add_argument("--timeout", type=_seconds, default=10.0, metavar="S", help="give up after S seconds")
    _add_trust_options(parser)


def _add_health(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "address", nargs="?", metavar="HOST[:PORT]", help="the device's stream; without it this device's, by -c FILE"
    )
    _add_config_options(parser)
    parser.add_argument("--wait", type=_seconds, default=15.0, metavar="S", help="give it S seconds, 15 unless given")
    parser.add_argument("--json", action="store_true", help="one JSON object, nothing else on stdout")
    _add_trust_options(parser)


def _add_rules(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    trial = actions.add_parser("try", help="run the rules over a recording: a timeline, and why they did not fire")
    trial.add_argument("source", metavar="VIDEO", help="a video file, a folder of pictures, or scene")
    _add_config_options(trial)
    _add_model_options(trial)
    trial.add_argument("--picture", type=Path, metavar="FILE", help="draw it: zones, ways of objects, alerts, times")
    trial.add_argument("--no-frame", action="store_true", help="draw on a plain ground, with nothing of the video")
    trial.add_argument("--json", action="store_true", help="one JSON object a line, nothing else on stdout")
    trial.add_argument("--start", type=_moment, default=0.0, metavar="S", help="begin at second S of the recording")
    trial.add_argument("--end", type=_seconds, metavar="S", help="end at second S")
    trial.add_argument("--max-frames", type=_count, metavar="N", help="end after N frames")
    trial.add_argument("--at", metavar="TIME", help='when it begins, for schedules, as "2026-11-23 22:00"; else now')


def _add_models(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    listing = actions.add_parser("list", help="the models of the catalogue and which of them are here")
    pull = actions.add_parser("pull", help="fetch models; what is here and right already is left alone")
    pull.add_argument("names", nargs="+", metavar="NAME", help="a name of `models list`")
    pull.add_argument("--from", dest="origin", metavar="DIR", default="", help="take the files from this folder")
    verify = actions.add_parser("verify", help="check every pulled model's bytes again")
    path = actions.add_parser("path", help="where models lie on this device")
    path.add_argument("name", nargs="?", metavar="NAME", help="bundled or a name of `models list`; none: the folder")
    for action in (listing, pull, verify, path):
        _add_config_options(action)
        action.add_argument("--store", metavar="DIR", help="where pulled models lie, instead of storage.models_dir")


def _add_certs(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)

    def add(name: str, about: str, *places: str) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=about)
        for place in places:
            action.add_argument(place.lower(), metavar=place, type=Path if place in ("DIR", "OUT_DIR") else str)
        return action

    add("ca", "make a fleet's authority in DIR", "DIR")
    device = add("device", "make a device's certificate, and its key unless it sent a request", "DIR", "DEVICE_ID")
    request = add("request", "on the device: make its key, and a request for `device --csr`", "DEVICE_ID", "OUT_DIR")
    backend = add("backend", "make the certificate and key of a backend or another client", "DIR", "NAME")
    pinned = add("self-signed", "make a device's key and a certificate without authority", "DEVICE_ID", "OUT_DIR")
    revoke = add("revoke", "put certificates on the list of revoked ones; none given: date the list anew", "DIR")
    revoke.add_argument("certificates", nargs="*", metavar="CERT", type=Path)
    add("show", "what a certificate says").add_argument("certificate", metavar="CERT", type=Path)
    key = add("key", 'make a login key for auth = "hmac"', "NAME")
    key.add_argument("--append", type=Path, metavar="FILE", help="add it to this file of login keys, not to the screen")
    for action in (backend, key):
        action.add_argument("--role", choices=("viewer", "control"), required=True, help="what its owner may do")
    request.add_argument("--role", choices=("viewer", "control"), help="for a client with this role, not for a device")
    for action in (device, backend):
        action.add_argument("--csr", type=Path, metavar="FILE", help="a request made where the key stays")
    for action in (device, backend, pinned):
        action.add_argument("--host", action="append", default=[], metavar="NAME", help="host name or address in it")
    for action in (device, backend, pinned, revoke):
        action.add_argument("--days", type=_count, default=825, metavar="N", help="good for N days, 825 unless given")
    for action in (device, backend, pinned, request):
        action.add_argument("--renew", action="store_true", help="make it anew for the key that is there")


def _add_outbox(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    show = actions.add_parser("show", help="where the stored alerts lie, their numbers, and who has read how far")
    backup = actions.add_parser("backup", help="copy them to a new file, also while the program runs")
    restore = actions.add_parser("restore", help="put such a copy in their place, as a new stream")
    for action in (backup, restore):
        action.add_argument("file", metavar="FILE", type=Path)
    forget = actions.add_parser("forget", help="wait for a consumer's acknowledgements no longer")
    forget.add_argument("name", metavar="NAME", help="a consumer of `outbox show`")
    for action in (show, backup, restore, forget):
        _add_config_options(action)


def _add_buzzer(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    test = actions.add_parser("test", help="one short beep")
    on = actions.add_parser("on", help="the pattern of a threat level, once")
    on.add_argument("level", metavar="LEVEL", choices=("low", "medium", "high", "critical"), help="low to critical")
    off = actions.add_parser("off", help="turn buzzer and status LED off; for the service's ExecStopPost")
    for action in (test, on, off):
        _add_config_options(action)


def _moment(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of seconds, 0 or more")
    return seconds


def _seconds(text: str) -> float:
    return _above_zero(text, "a number of seconds above 0")


def _rate(text: str) -> float:
    return _above_zero(text, "a number of frames a second above 0")


def _above_zero(text: str, expected: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected {expected}")
    return number


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, 1 or more")
    return int(text)
