"""Whether the service that was just started is as good as the one before it."""

from __future__ import annotations

import time

from . import program, service
from .job import Job
from .manifest import Manifest
from .outcome import Refused
from .places import Release
from .program import Health

LOOK_S = 5.0  # one look; between two of them the service is asked whether it still runs
PATIENCE_S = 12.0  # blind or degraded is believed after so long, of what ran before, too
SEE = f"journalctl --unit {service.UNIT}"
GONE = Health(ok=False, status="unreachable", reason="nothing ran before")


def before(job: Job, current: Release | None) -> Health:
    """How the running release does; the new one must not do worse."""
    if current is None or not current.settings.is_file() or not service.state().runs:
        return GONE
    with job.outcome.step("before") as step:
        seen = program.health(job.places, current, PATIENCE_S)
        step.text = f"{current.name}: {_words(seen)}"
    return seen


def wait_for_health(
    job: Job, release: Release, manifest: Manifest, former: Health, health_s: float, *, same: bool
) -> None:
    """Starts the service and returns when a client saw it do as well as before; Refused with the reason if not.

    ``same``: it has the settings of before, which wanted each part that was in use.
    """
    began = time.monotonic()
    deadline = began + health_s
    with job.outcome.step("health") as step:
        started = service.start(health_s)
        now = service.state()
        if started.code or not now.runs:
            raise Refused(f"{service.UNIT} did not start ({_why(started.last, now)}): {SEE}")
        invocation = now.invocation
        while True:
            left = deadline - time.monotonic()
            seen = program.health(job.places, release, max(1.0, min(LOOK_S, left)))
            _expect_running(invocation)
            _expect_new(seen, manifest, former)
            patient = time.monotonic() - began > min(PATIENCE_S, health_s)
            worse = _worse(seen, former, same=same)
            if not worse and (seen.status == "ok" or patient):
                break
            if worse and time.monotonic() >= deadline:
                raise Refused(worse)
            time.sleep(service.POLL_S)
        step.text = _words(seen)
    if seen.status != "ok":
        job.outcome.note(f"{release.name} is {seen.status}: {seen.reason}")
    for name, (state, reason) in seen.parts.items():
        if state == "failed" and reason not in seen.reason:
            job.outcome.note(f"{name} failed: {reason}")
        elif state == "off" and former.state(name) == "ok":
            job.outcome.note(f"{name} is off, and was not before: {reason}")


def watch(job: Job, settle_s: float) -> None:
    """The service runs on for ``settle_s`` seconds without a restart, else Refused."""
    with job.outcome.step("settle"):
        invocation = service.state().invocation
        deadline = time.monotonic() + settle_s
        while time.monotonic() < deadline:
            _expect_running(invocation)
            time.sleep(service.POLL_S)


def told(job: Job, release: Release) -> None:
    """After a switch back: a note on whether the release of before does well again."""
    service.wait_until_started(service.CALL_S)
    seen = program.health(job.places, release, 3 * LOOK_S)
    if seen.ok:
        job.outcome.note(f"{release.name} runs again: {_words(seen)}")
    else:
        job.outcome.note(f"{release.name} was put back and is {_words(seen)}; see preact-edge-release doctor")


def _worse(seen: Health, former: Health, *, same: bool) -> str:
    """Why this is worse than before; empty when it is not. Blind is no worse where the release before was blind, or
    where nothing ran before and there is no camera: no other release would see more. A part that failed is no worse
    where it failed before, or where nothing is known of it."""
    blind_too = former.status == "blind" or (former is GONE and seen.state("camera") == "failed")
    if not seen.ok and not (seen.status == "blind" and blind_too):
        return f"it is {seen.status}: {seen.reason}"
    lost = [
        f"{name} is {state} ({reason}) and was {former.state(name)}"
        for name, (state, reason) in seen.parts.items()
        if (state == "failed" and former.state(name) not in ("failed", ""))
        or (state == "off" and former.state(name) == "ok" and same)
    ]
    if lost:
        return ", ".join(lost)
    if seen.status == "degraded" and former.status == "ok":
        return f"it is degraded ({seen.reason}), what ran before was not"
    return ""


def _expect_running(invocation: str) -> None:
    now = service.state()
    if now.invocation != invocation or not now.runs or now.restarts:
        raise Refused(f"{service.UNIT} did not stay up ({_why('', now)}): {SEE}")


def _expect_new(seen: Health, manifest: Manifest, former: Health) -> None:
    """It is the new process that answers, not one of before that holds the port."""
    if seen.boot_id and seen.boot_id == former.boot_id:
        raise Refused("the program of before still answers on the port: see `ss -ltnp` for which process that is")
    if seen.version and seen.version != manifest.version:
        raise Refused(f"version {seen.version} answers on the port, {manifest.version} should: see `ss -ltnp`")


def _why(words: str, now: service.State) -> str:
    parts = (f"{now.active}, {now.sub}", now.text, service.last_words(now.process) or words)
    return "; ".join(part for part in parts if part.strip(", "))


def _words(seen: Health) -> str:
    fps = f", {seen.fps:g} frames/s" if seen.fps is not None else ""
    return f"{seen.status}{fps}{': ' + seen.reason if seen.reason else ''}"
