"""`preact-edge-release doctor`: what will need a hand before it hurts. Run once an hour by a timer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from . import commands, condition, durable, pending, program, service, venv
from .outcome import DONE, REFUSED, Refused, say
from .places import Places, dump_json
from .venv import parse_last

DAY_S = 86400
WARN_DAYS = 30
FULL = 0.9  # of a disk; the program itself stops storing pictures and clips before it is quite full
PENDING_S = 900.0  # an activate is done sooner
ASK_DATES = """
import json, sys
from cryptography import x509
found = {}
for path in sys.argv[1:]:
    data = open(path, "rb").read()
    if b"X509 CRL" in data:
        crl = x509.load_pem_x509_crl(data)
        begin, end = crl.last_update_utc, crl.next_update_utc
    else:
        certificate = x509.load_pem_x509_certificate(data)
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    found[path] = [begin.timestamp(), end.timestamp() if end else None]
print(json.dumps(found))
"""
RENEW = "issue it anew and bring it here, `deploy/fleet site --tags certificates`"


def run(places: Places, *, as_json: bool, now: float | None = None) -> int:
    """Prints a line for each part and keeps the verdict in /run; 0 when all are ok, else 1."""
    now = time.time() if now is None else now
    problems = []
    for name, found in _parts(places, now):
        texts = list(found)
        problems += [{"name": name, "text": text} for text in texts]
        if not as_json:
            print("\n".join(f"problem  {name:<12} {text}" for text in texts) or f"ok       {name}", flush=True)
    verdict = {"ok": not problems, "checked": now, "problems": problems}
    if as_json:
        print(json.dumps(verdict, sort_keys=True), flush=True)
    try:
        places.verdict.parent.mkdir(parents=True, exist_ok=True)
        durable.write(places.verdict, dump_json(verdict))
    except OSError as exc:
        say(f"preact-edge-release: {places.verdict} cannot be written ({exc.strerror}): run it with sudo")
    return REFUSED if problems else DONE


def _parts(places: Places, now: float) -> Iterator[tuple[str, Iterator[str]]]:
    """Each part's name, and its problems: what is wrong, then what to do."""
    yield "release", _release(places)
    yield "service", _service(places)
    yield "pending", _pending(places, now)
    yield "certificates", _certificates(places, now)
    yield "disk", _disk(places)
    yield "power", _power(places)
    yield "clock", _clock()


def _release(places: Places) -> Iterator[str]:
    current = places.linked(places.current)
    if current is None:
        yield "no release is current: preact-edge-release install BUNDLE, then activate RELEASE --config FILE"
    elif not current.record.is_file():
        yield f"{current.name} is current and not whole: install its bundle once more"
    elif broken := venv.problem(current):
        yield f"{current.name}: {broken}: install a bundle for this system, deploy/bundle --target ..."


def _service(places: Places) -> Iterator[str]:
    state = service.state()
    if places.linked(places.current) and not state.runs:
        yield f"{service.UNIT} is {state.active or 'unknown'} ({state.sub}): journalctl --unit {service.UNIT}"


def _pending(places: Places, now: float) -> Iterator[str]:
    begun = pending.read(places)
    if begun and abs(now - begun.began) > PENDING_S:
        yield f"the {begun.action} of {begun.release} was never confirmed: preact-edge-release settle"
    elif begun is None and places.pending.exists():
        yield f"{places.pending} cannot be read: activate a release anew, then remove it"


def _certificates(places: Places, now: float) -> Iterator[str]:
    names = ("device.pem", "ca.pem", "crl.pem", "probe.pem")
    files = [path for name in names if (path := places.credentials / name).is_file() and path.stat().st_size]
    current = places.linked(places.current)
    if current is None or venv.problem(current):
        return  # told already, and there is nobody to read them
    try:
        program.expect_credentials(places, current)
    except Refused as refusal:
        yield str(refusal)
    if not files:
        return
    done = commands.run([current.python, "-I", "-c", ASK_DATES, *files], timeout=60.0)
    dates: dict[str, Any] = parse_last(done.out)
    if done.code:
        yield f"the dates in {places.credentials} cannot be told ({done.last}): {RENEW}"
    for name, (begin, end) in dates.items():
        yield from _date(name, begin, end, now)


def _date(path: str, begin: float, end: float | None, now: float) -> Iterator[str]:
    if now < begin:
        yield f"{path} is not valid yet: set the clock, or {RENEW}"
    elif end is not None and now > end:
        yield f"{path} expired {int((now - end) / DAY_S)} days ago: {RENEW}"
    elif end is not None and now > end - WARN_DAYS * DAY_S:
        yield f"{path} expires in {int((end - now) / DAY_S)} days: {RENEW}"


def _disk(places: Places) -> Iterator[str]:
    told = set()
    for folder in (places.home, places.state):
        if folder.is_dir() and folder.stat().st_dev not in told:
            told.add(folder.stat().st_dev)
            share = condition.full_share(folder)
            if share > FULL:
                yield f"the disk of {folder} is {share:.0%} full: remove files, or preact-edge-release prune --keep 2"


def _power(places: Places) -> Iterator[str]:
    bits = condition.throttled(places)
    if bits & condition.UNDERVOLTAGE:
        yield f"the voltage is too low now (throttled={bits:#x}): use the board's own supply and a short cable"
    elif bits & condition.UNDERVOLTAGE << 16:
        yield f"the voltage was too low since the start (throttled={bits:#x}): use the board's own supply"
    elif bits & condition.SLOWED:
        yield f"the processor is slowed down now (throttled={bits:#x}): cool it"


def _clock() -> Iterator[str]:
    if condition.clock_synchronised() is False:
        yield "it is not synchronised: give the device a time server, timedatectl timesync-status"
