"""Run a scenario from its first step to its last expectation, and report."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from lab import paths, scenario, setup, steps, verify
from lab.errors import InfrastructureFailed, LabError, ScenarioFailed
from lab.report import MachineReport, Report, Result, StepTime, Verdict
from lab.session import Bench, Narrator, Session

Afterwards = Callable[[Session, Report], None]


def run(name: str, wanted: scenario.Scenario, *, afterwards: Afterwards | None = None) -> Report:
    """Run a scenario under `build/lab/runs/NAME`. Its failures are in the report, not raised.

    `afterwards` is called when all is known and the machines are off, before the rack goes.
    """
    narrator = Narrator()
    report = Report(name, datetime.now(UTC).isoformat(timespec="seconds"))
    folder = paths.build("lab/runs") / name
    narrator.say(f"scenario {name}: {wanted.description}")
    try:
        with setup.session(wanted, folder, narrator) as session:
            _run_in(session, report)
            report.seconds = narrator.elapsed_s
            if afterwards is not None:
                afterwards(session, report)
    except LabError as error:
        _set(report, Result.ERROR, error)
        report.seconds = narrator.elapsed_s
    _remove_disks(folder)
    narrator.say(f"{name}: {report.result}" + (f": {report.reason}" if report.reason else ""))
    return report


def _run_in(session: Session, report: Report) -> None:
    try:
        _steps(session, report)
        _expectations(session, report)
    except InfrastructureFailed as error:
        _set(report, Result.INFRASTRUCTURE, error)
    except ScenarioFailed as error:
        _set(report, Result.FAILED, error)
    finally:
        for bench in session.benches.values():
            bench.refresh(session.server)
            bench.machine.power_cut()
            report.machines.append(describe(bench))
        report.outputs += session.outputs
        report.cuts += session.cuts
    crash = _crashed(session)
    if crash is not None:
        report.result, report.reason = Result.INFRASTRUCTURE, crash


def _steps(session: Session, report: Report) -> None:
    for number, step in enumerate(session.wanted.steps, start=1):
        text = step.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True)
        session.narrator.say(f"step {number}: {text}"[:200])
        start = time.monotonic()
        try:
            steps.perform(session, step)
        except LabError as error:
            error.message = f"step {number} ({step.verb}): {error.message}"
            raise
        finally:
            report.steps.append(StepTime(step.verb, time.monotonic() - start))


def _expectations(session: Session, report: Report) -> None:
    """Guest expectations while the machines run, the others when they are off."""
    live = [one for one in session.wanted.expect if one.guest is not None]
    settled = [one for one in session.wanted.expect if one.guest is None]
    report.verdicts += [_verdict(session, one) for one in live]
    for bench in session.benches.values():
        bench.refresh(session.server)
        bench.machine.power_cut()
    report.verdicts += [_verdict(session, one) for one in settled]
    broken = [verdict for verdict in report.verdicts if verdict.complaint is not None]
    report.result = Result.FAILED if broken else Result.PASSED
    if broken:
        report.reason = "; ".join(f"{one.expectation}: {one.complaint}" for one in broken)


def _verdict(session: Session, expectation: scenario.Expectation) -> Verdict:
    text = expectation.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True)
    complaint = verify.complaint(session, expectation)
    session.narrator.say(f"expect {text}"[:160] + (": holds" if complaint is None else ": NO"))
    return Verdict(text, complaint)


def describe(bench: Bench) -> MachineReport:
    """What is known of a machine at the end. The machine is off."""
    record = bench.record
    return MachineReport(
        name=bench.spec.name,
        mac=bench.spec.mac,
        state=record.state if record else None,
        host_status=record.host_status if record else None,
        timeline=record.timeline if record else (),
        nvram=bench.machine.nvram(),
        started=bench.started(),
        serial_log=str(bench.machine.console.log),
    )


def _crashed(session: Session) -> str | None:
    crashes = (bench.machine.console.crash() for bench in session.benches.values())
    found = [crash for crash in crashes if crash is not None]
    return f"the guest's kernel crashed: {found[0]}" if found else None


def _set(report: Report, result: Result, error: LabError) -> None:
    report.result, report.reason = result, error.message


def _remove_disks(folder: Path) -> None:
    """Logs and NVRAM stay as evidence; disks and served images are large and can be made anew."""
    large = ("*/*.raw", "*/*.qcow2", "*/*.writes", "*/cuts/*/*.qcow2", "*/medium.iso")
    for pattern in (*large, "files/*.cosi"):
        for path in folder.glob(pattern):
            path.unlink()
    shutil.rmtree(folder / "images", ignore_errors=True)
