"""The command line: `preact-edge-release ACTION ...`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import activate, doctor, install, job, overview, pending, prune
from .activate import Wishes
from .job import Job
from .outcome import DONE, REFUSED, ROLLED_BACK, USAGE, Outcome, Refused, say
from .places import Places


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one action; 0 done, 1 refused and nothing changed for the service, 2 usage, 3 rolled back."""
    os.umask(0o022)
    args = _parser().parse_args(arguments)
    places = Places(args.root.absolute())
    work = Job(places, Outcome(args.action, getattr(args, "release", None)), _own_command(args))
    if args.action in ("status", "doctor"):
        return _look(places, args)
    if args.action != "verify" and args.root == Path("/") and os.geteuid() != 0:
        say(f"preact-edge-release: {args.action} changes the system: run it with sudo")
        return USAGE
    code = _run(work, args)
    _tell(work.outcome, code, args.json)
    return code


def _look(places: Places, args: argparse.Namespace) -> int:
    try:
        return doctor.run(places, as_json=args.json) if args.action == "doctor" else overview.run(places, args.json)
    except Refused as refusal:
        say(f"preact-edge-release: {refusal}")
        return REFUSED


def _run(work: Job, args: argparse.Namespace) -> int:
    try:
        with job.stoppable():
            if args.action == "verify":
                install.verify(work, args.bundle, args.signers or work.places.signers)
                code = DONE
            else:
                code = _change(work, args)
    except (Refused, OSError) as exc:
        work.outcome.reason = str(exc)
        return REFUSED
    return code


def _change(work: Job, args: argparse.Namespace) -> int:
    with job.alone(work, getattr(args, "wait", job.LOCK_WAIT_S)):
        if args.action == "settle" and not work.places.pending.exists():
            return DONE  # at each start: what is there to be told is how the last change ended
        with job.told(work):
            code = _act(work, args)
            work.outcome.ok = code == DONE
            return code


def _act(work: Job, args: argparse.Namespace) -> int:
    places, outcome = work.places, work.outcome
    if args.action == "install":
        signers = args.signers or places.signers
        install.install(work, args.bundle, signers, keep=args.keep, allow_downgrade=args.allow_downgrade)
    elif args.action == "settle":
        _settle(work)
    elif args.action == "prune":
        gone = prune.prune(places, args.keep)
        outcome.changed = bool(gone)
        outcome.note(f"removed {', '.join(gone) or 'nothing'}")
    else:
        return activate.activate(work, _release(places, args), _wishes(args))
    return DONE


def _settle(work: Job) -> None:
    """What was cut off is told as the release that was rolled back, for whoever waits for the end of an update."""
    outcome, begun = work.outcome, pending.read(work.places)
    outcome.changed = outcome.rolled_back = activate.settle(work)
    if begun:
        outcome.release, outcome.previous = begun.release, begun.back_to
        outcome.reason = f"the {begun.action} of {begun.release} was cut off before it was confirmed"


def _release(places: Places, args: argparse.Namespace) -> str:
    """The release that is meant: given, else the current one to configure, or the previous one to go back to."""
    link = places.current if args.action == "configure" else places.previous
    found = places.linked(link)
    if getattr(args, "release", None):
        return str(args.release)
    if found is None:
        raise Refused(f"there is no {link.name} release: name one, see preact-edge-release status")
    return found.name


def _wishes(args: argparse.Namespace) -> Wishes:
    return Wishes(args.config, args.min_fps, args.health_s, args.settle_s, args.keep, args.action != "rollback")


def _tell(outcome: Outcome, code: int, as_json: bool) -> None:
    if outcome.reason:
        say(f"preact-edge-release: {outcome.reason}")
    ends = {DONE: "done" if outcome.changed else "nothing to do", ROLLED_BACK: "rolled back", REFUSED: "refused"}
    if outcome.action == "verify":
        ends[DONE] = "good"
    say(f"{outcome.action} {outcome.release or ''}".rstrip() + f": {ends[code]}")
    if as_json:
        outcome.ok = code == DONE
        outcome.end()
        print(json.dumps(outcome.document(), sort_keys=True), flush=True)


def _own_command(args: argparse.Namespace) -> tuple[str, ...]:
    """How this installer calls itself."""
    folder = os.path.dirname(os.path.abspath(__file__))
    return (sys.executable, "-I", folder, "--root", str(args.root.absolute()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="preact-edge-release", description="releases of preact-edge on this device")
    parser.add_argument("--root", type=Path, default=Path("/"), help="a folder that stands for / (for tests)")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    verify = _action(actions, "verify", "is a bundle whole, and signed by a trusted key?")
    bundle = _action(actions, "install", "unpack a bundle beside what runs, ready to be activated")
    for one in (verify, bundle):
        one.add_argument("bundle", type=Path, metavar="BUNDLE")
        one.add_argument("--signers", type=Path, metavar="FILE", help="trusted keys (/etc/preact-edge/release-signers)")
    bundle.add_argument("--allow-downgrade", action="store_true", help="also one that is older than the current one")
    changes = _action(actions, "activate", "switch to an installed release; back by itself where that goes wrong")
    changes.add_argument("release", metavar="RELEASE")
    configure = _action(actions, "configure", "give the current release other settings, in the same careful way")
    back = _action(actions, "rollback", "switch back to the previous release, or to RELEASE")
    back.add_argument("release", nargs="?", metavar="RELEASE")
    for one in (changes, configure, back):
        _switching(one, needs_config=one is configure)
    pruning = _action(actions, "prune", "remove older releases")
    for one in (bundle, changes, configure, back, pruning):
        one.add_argument("--keep", type=_count, default=prune.KEEP, metavar="N", help="keep the newest N (default 3)")
    settling = _action(actions, "settle", "undo a switch that was cut off; runs at each start")
    settling.add_argument("--wait", type=float, default=job.LOCK_WAIT_S, metavar="S", help="for another action's end")
    _action(actions, "status", "which releases are there, and how the service does")
    _action(actions, "doctor", "what will need a hand; exit code 1 when something does")
    return parser


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=text)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line on stdout")
    return parser


def _switching(parser: argparse.ArgumentParser, *, needs_config: bool) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", required=needs_config, help="the settings to run with")
    parser.add_argument("--min-fps", type=float, metavar="F", help="the selftest must reach F frames/s, or once alone")
    parser.add_argument(
        "--health-s", type=float, default=60.0, metavar="S", help="to be well again within (default 60)"
    )
    parser.add_argument("--settle-s", type=float, default=5.0, metavar="S", help="to be watched after that (default 5)")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1 is kept")
    return number
