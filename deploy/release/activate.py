"""The switch to another release, or to other settings of the current one, and back by itself where that goes wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path
from typing import Any

from . import commands, condition, durable, job, pending, program, prune, service, venv, watching
from .job import Job
from .manifest import Manifest, ManifestError
from .outcome import DONE, ROLLED_BACK, Outcome, Refused
from .pending import Pending
from .places import Places, Release, dump_json
from .program import Health

GUARD_S = 3600


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What `activate` was asked for; ``careful``: low voltage refuses, which going back must not."""

    config: Path | None = None
    min_fps: float | None = None
    health_s: float = 60.0
    settle_s: float = 5.0
    keep: int = prune.KEEP
    careful: bool = True


@dataclasses.dataclass(frozen=True)
class Switch:
    """All that one switch needs, found before it begins."""

    release: Release
    manifest: Manifest
    current: Release | None
    settings: bytes
    former_settings: bytes | None


def activate(work: Job, name: str, wishes: Wishes) -> int:
    """DONE, also where nothing was to be done, or ROLLED_BACK; Refused while the running service is untouched."""
    places, outcome = work.places, work.outcome
    outcome.changed = settle(work)
    outcome.release = name
    current = places.linked(places.current)
    outcome.previous = current.name if current else None
    plan = _plan(places, outcome, name, current, wishes)
    if _nothing_to_do(places, plan):
        outcome.note(f"{name} is current already, with these settings")
        return DONE
    _preflight(work, plan, wishes)
    former = watching.before(work, current)
    passed = _selftest_beside(work, plan, wishes)
    begun = _prepare(work, plan)
    outcome.changed = True
    try:
        _switch(work, plan, begun, wishes, tested=passed)
        _watch(work, plan, begun, former, wishes)
    except (Refused, OSError) as exc:
        outcome.reason = str(exc)
        with job.unstoppable():
            _go_back(work, begun)
        return ROLLED_BACK
    with job.unstoppable():
        prune.tidy(work, wishes.keep)
    return DONE


def settle(work: Job) -> bool:
    """Undoes a switch that was not confirmed; whether there was one."""
    begun = pending.read(work.places)
    if begun is None:
        return False
    with work.outcome.step("undo") as step, job.unstoppable():
        pending.undo(work, begun)
        step.text = f"{begun.action} of {begun.release} was cut off, back to {begun.back_to or 'no release'}"
    work.outcome.note(step.text)
    return True


def _plan(places: Places, outcome: Outcome, name: str, current: Release | None, wishes: Wishes) -> Switch:
    try:
        release = places.release(name)
    except ManifestError as exc:
        raise Refused(f"{name!r} is no release: {exc}") from exc
    manifest = release.manifest()
    if manifest is None or not release.record.is_file():
        listed = ", ".join(one.name for one in places.installed()) or "none"
        raise Refused(f"{name} is not installed (there are: {listed}): preact-edge-release install BUNDLE")
    if broken := venv.problem(release):
        raise Refused(f"{name}: {broken}: install its bundle for this system once more")
    former = current.settings.read_bytes() if current and current.settings.is_file() else None
    return Switch(release, manifest, current, _settings(outcome, release, current, wishes.config), former)


def _settings(outcome: Outcome, release: Release, current: Release | None, config: Path | None) -> bytes:
    """Those that are given, else the release's own, else those of the current release."""
    if config is None and not release.settings.is_file() and current and current.settings.is_file():
        outcome.note(f"{release.name} takes over the settings of {current.name}")
        config = current.settings
    try:
        return (config or release.settings).read_bytes()
    except OSError as exc:
        raise Refused(f"{config or release.settings} cannot be read ({exc.strerror}): give --config FILE") from exc


def _nothing_to_do(places: Places, plan: Switch) -> bool:
    release = plan.release
    if plan.current != release or not release.settings.is_file() or not places.unit.is_file():
        return False
    same = release.settings.read_bytes() == plan.settings and places.unit.read_bytes() == release.unit.read_bytes()
    return same and service.state().runs


def _preflight(work: Job, plan: Switch, wishes: Wishes) -> None:
    places, release = work.places, plan.release
    with work.outcome.step("preflight") as step:
        condition.expect_power(places, work.outcome, insist=wishes.careful)
        condition.note_clock(work.outcome)
        step.text = condition.expect_room(places.home, condition.SWITCH_ROOM)
        program.expect_credentials(places, release)
    with work.outcome.step("check") as step:
        pending.write_settings(release.candidate_settings, plan.settings)
        try:
            step.text = program.check(places, release, release.candidate_settings)
        except Refused:
            durable.remove(release.candidate_settings)
            raise


def _selftest_beside(work: Job, plan: Switch, wishes: Wishes) -> bool:
    """Whether it passed. False where it is owed: the service that runs has the accelerator, or takes its time."""
    try:
        _selftest(work, plan.release, plan.release.candidate_settings, wishes)
    except program.Hindered:
        if not service.state().runs:
            raise
        work.outcome.note("the selftest lacked the accelerator or speed beside the service: once more without it")
        return False
    finally:
        durable.remove(plan.release.candidate_settings)
    return True


def _selftest(work: Job, release: Release, settings: Path, wishes: Wishes) -> None:
    with work.outcome.step("selftest") as step:
        report = program.selftest(work.places, release, settings, wishes.min_fps)
        step.text = _figures(report)
    durable.write(release.record, dump_json({**release.installed(), "selftest": report}))


def _figures(report: dict[str, Any]) -> str:
    fps = report.get("fps")
    rates = [f"{name} {rate:g} frames/s" for name, rate in fps.items()] if isinstance(fps, dict) else []
    return ", ".join([str(report.get("runtime", "")), *rates]).strip(", ")


def _prepare(work: Job, plan: Switch) -> Pending:
    """The outbox is copied where its format changes; from pending.json on, there is a way back."""
    places, outcome = work.places, work.outcome
    copy = _copy_outbox(work, plan)
    previous = places.linked(places.previous)
    begun = Pending(
        action=outcome.action,
        release=plan.release.name,
        back_to=plan.current.name if plan.current else None,
        previous=previous.name if previous else None,
        had_settings=plan.release.settings.is_file(),
        outbox_copy=str(copy) if copy else None,
        began=time.time(),
    )
    _guard(work)
    pending.begin(places, begun)
    return begun


def _copy_outbox(work: Job, plan: Switch) -> Path | None:
    """A copy from before, for a release that reads less; the one that is there already when going back to it."""
    places, current = work.places, plan.current
    installed = current.manifest() if current else None
    if current is None or installed is None or installed.outbox_format == plan.manifest.outbox_format:
        return None
    if plan.manifest.outbox_format < installed.outbox_format:
        work.outcome.note(f"{plan.release.name} cannot read what {current.name} stored in the outbox")
        return None
    copy = places.state / prune.COPY_NAME.format(plan.release.name)
    with work.outcome.step("outbox") as step:
        durable.remove(copy)
        program.backup_outbox(places, current, copy)
        step.text = f"copied to {copy}"
    work.outcome.note(
        f"the outbox's format rises from {installed.outbox_format} to {plan.manifest.outbox_format}: "
        f"{current.name} cannot read what {plan.release.name} stores; a copy of before is {copy}"
    )
    return copy


def _guard(work: Job) -> None:
    """A process of its own that waits for the lock: when this one is killed, it undoes the switch at once."""
    command = ["systemd-run", "--quiet", "--collect", f"--unit={service.GUARD}", "--", *work.program]
    if work.program and commands.run([*command, "settle", "--wait", str(GUARD_S)], timeout=service.CALL_S).code:
        work.outcome.note("nothing guards this switch: should it be cut off, the next start or `settle` undoes it")


def _switch(work: Job, plan: Switch, begun: Pending, wishes: Wishes, *, tested: bool) -> None:
    """Up to the start of the service. A selftest that is owed is done here, where a way back is prepared already."""
    places = work.places
    with work.outcome.step("switch") as step:
        service.stop()
        pending.switch(places, begun, plan.settings)
        pending.enable(places)
        step.text = _move(begun)
    if not tested:
        _selftest(work, plan.release, plan.release.settings, wishes)


def _watch(work: Job, plan: Switch, begun: Pending, former: Health, wishes: Wishes) -> None:
    same = plan.former_settings == plan.settings
    watching.wait_for_health(work, plan.release, plan.manifest, former, wishes.health_s, same=same)
    watching.watch(work, wishes.settle_s)
    with job.unstoppable():
        pending.confirm(work.places, begun)


def _move(begun: Pending) -> str:
    if begun.back_to == begun.release:
        return f"new settings for {begun.release}"
    return f"{begun.back_to or 'no release'} to {begun.release}"


def _go_back(work: Job, begun: Pending) -> None:
    outcome = work.outcome
    try:
        with outcome.step("undo") as step:
            pending.undo(work, begun)
            step.text = f"back to {begun.back_to or 'no release'}"
    except Refused as refusal:
        raise Refused(f"{outcome.reason}; {refusal}") from refusal
    outcome.rolled_back = True
    if begun.back_to:
        with contextlib.suppress(Refused):
            watching.told(work, work.places.release(begun.back_to))
