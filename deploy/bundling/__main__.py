"""``deploy/bundle``: the parser, and what is said at the end."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.bundling import locking, locks
from deploy.bundling.build import Made, Wanted, build
from deploy.bundling.errors import BundleError
from deploy.bundling.targets import TARGETS, target_named

ROOT = Path(__file__).resolve().parents[2]
KEY_NEEDED = (
    "a bundle is signed, so it needs --key FILE; make a key once, and keep it off the devices: "
    "ssh-keygen -t ed25519 -N '' -f release.key -C release"
)


def main(arguments: Sequence[str]) -> int:
    """0 done, 1 it could not be, 2 usage, 130 interrupted."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return _lock(arguments[1:]) if arguments[:1] == ["lock"] else _build(arguments)
    except BundleError as error:
        print(f"deploy/bundle: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        where = f"{error.filename2 or error.filename}: " if error.filename else ""
        advice = "free some space, or name another folder for what is made meanwhile: TMPDIR=DIR"
        print(f"deploy/bundle: {where}{error.strerror}; {advice}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("deploy/bundle: interrupted; nothing half-made is left", file=sys.stderr)
        return 130


def _build(arguments: Sequence[str]) -> int:
    parser = _parser()
    args = parser.parse_args(arguments)
    if not args.target:
        parser.error(f"which --target? There are {', '.join(TARGETS)}")
    if not args.key:
        raise BundleError(KEY_NEEDED)
    wanted = Wanted(
        targets=tuple(target_named(name) for name in dict.fromkeys(args.target)),
        key=args.key,
        out=args.out,
        label=args.label,
        models=tuple(dict.fromkeys(args.model)),
        models_from=args.models_from,
        debs=tuple(args.deb),
        given=tuple(args.given),
    )
    for made in build(ROOT, wanted, _say):
        _sum_up(made)
    return 0


def _lock(arguments: Sequence[str]) -> int:
    args = _lock_parser().parse_args(arguments)
    names = args.targets or [locks.BUILD, *TARGETS]
    targets = [(name, None if name == locks.BUILD else target_named(name)) for name in names]
    for name, target in targets:
        changes = locking.renew(ROOT, target, args.given, _say) if target else locking.renew_build(ROOT, _say)
        print(f"{locks.path_of(ROOT, name).relative_to(ROOT)}: {'changed' if changes else 'as it was'}")
        for line in changes:
            print(f"  {line}")
    return 0


def _parser() -> argparse.ArgumentParser:
    table = "\n".join(f"  {target.name:<20} {target.about}" for target in TARGETS.values())
    parser = argparse.ArgumentParser(
        prog="deploy/bundle",
        description="Makes one signed file with all that a device without internet needs for a release.\n"
        "`deploy/bundle lock [TARGET...]` renews the lists of packages in deploy/locks.",
        epilog=f"targets:\n{table}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--target", action="append", default=[], metavar="T", help="for which kind of device; may be given again")
    add("--key", type=Path, metavar="FILE", help="Ed25519 key that signs; with ssh-agent or a token, its .pub")
    add(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        help="a model of the catalogue; pulled where it is missing",
    )
    add("--models-from", type=Path, metavar="DIR", help="folder with the models' files (default: this user's store)")
    add("--deb", action="append", default=[], type=Path, metavar="PATH", help=_DEB)
    add("--with", dest="given", action="append", default=[], type=Path, metavar="FILE", help=_WITH)
    add(
        "--label",
        default="",
        metavar="L",
        help="makes the release VERSION+L; needed where files differ from the commit",
    )
    add("--out", type=Path, default=ROOT / "dist", metavar="DIR", help="where the bundle goes (default: dist)")
    return parser


_DEB = (
    "a Debian package, or a folder of them, to take along; for a camera on a Lite image: on one with internet "
    "`sudo apt-get install --download-only --no-install-recommends python3-picamera2`, then /var/cache/apt/archives"
)
_WITH = "a file that the target's lock names and that cannot be fetched from here"


def _lock_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deploy/bundle lock",
        description="Asks pip and apt for today's packages and writes deploy/locks/TARGET.toml; then commit it.",
        allow_abbrev=False,
    )
    names = ", ".join((locks.BUILD, *TARGETS))
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{names} (default: all)")
    parser.add_argument("--with", dest="given", action="append", default=[], type=Path, metavar="FILE", help=_WITH)
    return parser


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def _sum_up(made: Made) -> None:
    print(f"\n{made.path}")
    print(f"  release   {made.release}, commit {made.commit}")
    print(f"  for       {made.target.name}: {made.target.about}")
    print(f"  size      {made.size / 1e6:.1f} MB, {made.files} files and the manifest")
    print(f"  sha256    {made.sha256}")
    print(f"  signers   {made.signers}")
    if made.target.note:
        print(f"  note      {made.target.note}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
