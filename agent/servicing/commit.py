"""`commit`: run at each boot; finds out what was booted and whether it is healthy, and says so.

Idempotent: the status is written after all that may be done again when power is cut, and what is
left over after it (the deadline of an update) is taken away at every boot of a committed system.
In a state that waits for nothing, commit reports that state and succeeds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import DEFAULT_DATASTORE
from agent.api.status import HostStatus, ServicingState, ServicingType
from agent.datastore import Datastore
from agent.engine.context import Context
from agent.engine.execute import run_step
from agent.engine.subsystem import Phase, Step
from agent.linux import bootvars, efivars, files, systemd
from agent.linux.interruption import Interrupted
from agent.reporting.recorder import Observer
from agent.reporting.reports import Reports, reporting
from agent.servicing import booted, lock, recovery, statuses, verdicts
from agent.servicing.operation import Outcome, public_status, recorded, require_root
from agent.servicing.runtime import Runtime
from agent.servicing.subsystems import Subsystems
from agent.servicing.verdicts import Change, Verdict
from agent.subsystems import health, trial
from agent.subsystems.boot import firmware, names, settle

NAME = "commit"
_RETURNED = (
    "the new system did not start, or was not committed in time: see its console; the host runs "
    "what it ran before"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CommitRequest:
    """Where the host's memory is, and who watches."""

    datastore: Path = Path(DEFAULT_DATASTORE)
    observers: tuple[Observer, ...] = ()
    log_directory: Path | None = Path("/var/log")
    root: Path = Path("/")
    """Where the running system is."""


def run(request: CommitRequest) -> Outcome:
    """Commit what was booted. Raises TridentError; the failure is then stored and was reported.

    An updated system that is not healthy is no exception but an outcome: its error, and a reboot.
    """
    require_root()
    with lock.servicing_lock(NAME), recovery.opened(request.datastore, root=request.root) as store:
        status = store.latest() or HostStatus()
        with reporting(
            NAME, status.spec, request.observers, log_directory=request.log_directory
        ) as reports:
            commit = _Commit(request, status, store, reports)
            try:
                with recorded(reports, commit.record_failure):
                    committed = commit.run()
            except TridentError as error:
                if not commit.gives_way:
                    raise
                commit.give_way()
                return Outcome(commit.status, reboot=_may_reboot(status), error=error)
            reports.recorder.operation_done(str(committed.servicing_state), reboot=False)
            if committed.servicing_state is ServicingState.PROVISIONED:
                reports.succeeded("provisioning succeeded", public_status(committed))
            return Outcome(committed)


class _Commit:
    """One run of commit: its steps, and what a failure of the current one does to the status."""

    def __init__(
        self, request: CommitRequest, status: HostStatus, store: Datastore, reports: Reports
    ) -> None:
        self.status = status
        self._request = request
        self._store = store
        self._reports = reports
        self._on_failure: Change = verdicts.unchanged
        self._context = Context(
            status.spec,
            verdicts.servicing_of(status.servicing_state),
            old_status=status,
            newroot=request.root,
            facts=statuses.facts(status),
        )

    @property
    def gives_way(self) -> bool:
        """Whether this run has found the new system of an update unhealthy."""
        return self.status.servicing_state is ServicingState.AB_UPDATE_HEALTH_CHECK_FAILED and (
            self._context.old_status.servicing_state is not self.status.servicing_state
        )

    def give_way(self) -> None:
        """Have the firmware boot the other side; it does already unless a commit was cut short.

        Best effort: that this side is unhealthy is recorded, and it will not be committed.
        """
        try:
            settle.give_way(self._context)
        except (TridentError, OSError) as error:
            log.error("the firmware may boot this system again: %s", error)

    def run(self) -> HostStatus:
        """The status after all steps; the one there was when it waits for nothing."""
        match self._verdict():
            case Verdict.NOTHING:
                return self.status
            case Verdict.SETTLED:
                end_trial(self._context)
                return self.status
            case Verdict.HALF_APPLIED:
                return self._take_back()
            case Verdict.COMMIT:
                return self._commit()
            case Verdict.RETURNED | Verdict.STILL_UNHEALTHY:
                return self._require_root()
            case Verdict.RETURNED_UNHEALTHY:
                return self._came_back()

    def record_failure(self, error: TridentError) -> HostStatus:
        """Store what the failure makes of the status. An interrupted commit is done again."""
        interrupted = isinstance(error, Interrupted)
        failed = self.status if interrupted else self._on_failure(self.status)
        if self._on_failure is not keep_error:
            failed = failed.model_copy(update={"last_error": error.to_status()})
        self._store.append(failed)
        self.status = failed
        if self.gives_way:
            self._keep_reason(error)
        return failed

    def _verdict(self) -> Verdict:
        state = self.status.servicing_state
        if state in (ServicingState.NOT_PROVISIONED, ServicingState.CLEAN_INSTALL_STAGED):
            return Verdict.NOTHING
        if state in verdicts.RUNNING and not _has_root(self.status):
            return Verdict.HALF_APPLIED if self.status.applying else Verdict.NOTHING
        return verdicts.judge(self.status, booted.booted(self._context))

    def _commit(self) -> HostStatus:
        servicing = self._context.servicing
        self._step("commit/root", "checking which root was booted", require_root_booted)
        if servicing is not ServicingType.MANUAL_ROLLBACK_AB:
            self._step(
                "commit/health",
                "running health checks",
                health.require_healthy,
                verdicts.unhealthy,
            )
        if servicing is ServicingType.CLEAN_INSTALL:
            self._step("commit/boot", "settling the boot order", settle_boot_order)
        else:
            self._step("commit/boot", "settling the boot order", settle.boot_order)
        if servicing is ServicingType.AB_UPDATE:
            self._step(
                "commit/fallback",
                "setting up the firmware's fallback boot files",
                settle.fallback_files,
            )
        self.status = verdicts.committed(self.status, self._context.target_volume)
        self._store.append(self.status)
        end_trial(self._context)
        return self.status

    def _take_back(self) -> HostStatus:
        """Undo a runtime change that power was cut in the middle of, and say so."""
        subsystems = Subsystems.for_runtime(self._request.log_directory)
        error = TridentError(
            Kind.SERVICING,
            "interrupted",
            "a change of the running system was interrupted; it was taken back",
            hint="run the update or rollback again; it starts from the beginning",
        )
        runtime = Runtime(self._store, self._reports, subsystems)
        self.status = runtime.give_up(self.status, error)
        raise error

    def _require_root(self) -> HostStatus:
        """Fail because of the root that was booted; the firmware is not to try again."""
        returned = self.status.servicing_state
        if returned is ServicingState.AB_UPDATE_HEALTH_CHECK_FAILED:
            self.give_way()
            self._step("commit/root", "checking which root was booted", refuse_unhealthy)
        else:
            _forget_target(self._context)
            self._step(
                "commit/root",
                "checking which root was booted",
                require_root_booted,
                verdicts.returned,
            )
        return self.status

    def _came_back(self) -> HostStatus:
        _forget_target(self._context)
        self._step("commit/root", "checking which root was booted", say_why_returned, keep_error)
        return self.status

    def _step(
        self,
        name: str,
        message: str,
        act: Callable[[Context], None],
        on_failure: Change = verdicts.unchanged,
    ) -> None:
        self._on_failure = on_failure
        run_step(Step(name, Phase.FINALIZE, message, act), self._context, self._reports.recorder)
        self._on_failure = verdicts.unchanged

    def _keep_reason(self, error: TridentError) -> None:
        """A file beside the datastore, which both sides see."""
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        name = f"trident-health-check-failure-{stamp}.log"
        try:
            files.write(self._request.datastore.parent / name, error.render() + "\n", mode=0o600)
        except OSError as problem:
            log.error("the reason could not be kept as %s: %s", name, problem)


def require_root_booted(context: Context) -> None:
    """Raise the reboot check's error unless / is on the device that was installed or updated."""
    match context.servicing:
        case ServicingType.CLEAN_INSTALL:
            hint = "correct the boot order in the firmware, or install again"
            booted.require_booted(context, "clean-install-reboot-check", hint)
        case ServicingType.AB_UPDATE:
            booted.require_booted(context, "ab-update-reboot-check", _RETURNED)
        case _:
            booted.require_booted(context, "manual-rollback-reboot-check", _RETURNED)


def refuse_unhealthy(context: Context) -> None:
    """Raise: a system that was found unhealthy was booted again."""
    raise booted.wrong_root(
        booted.expected_root(booted.active(context)),
        "ab-update-reboot-check",
        "this system failed its health checks: reboot by the firmware's first boot entry",
    )


def say_why_returned(context: Context) -> None:
    """Raise: the update was undone because of its health checks."""
    expected = str(booted.expected_root(context))
    last = context.old_status.last_error
    reason = last.get("message") if isinstance(last, dict) else None
    raise TridentError(
        Kind.HEALTH_CHECKS,
        "ab-update-health-check-commit-check",
        f"the update was undone, it is not healthy: {reason or 'no reason was recorded'}",
        hint="see `trident get last-error` and trident-health-check-failure-*.log beside the "
        "datastore",
        fields={"expected-device-path": expected},
    )


def keep_error(status: HostStatus) -> HostStatus:
    """The old system runs again; the error that explains it is the one there is."""
    return statuses.recorded(status)


def settle_boot_order(context: Context) -> None:
    """Make the installed system's boot entry the first, when the firmware booted by it.

    A machine that came here another way (network first, then the disk) keeps its order.
    """
    if not efivars.DIRECTORY.is_dir():
        return
    state = bootvars.read()
    ours = names.directory(context.facts.install_index, context.target_volume)
    if state.current in {entry.number for entry in state.labelled(ours)}:
        firmware.confirm()


def end_trial(context: Context) -> None:
    """Take away what would restart a system that was not committed; nothing when it is gone.

    On a root that is read-only the timer is stopped at every boot.
    """
    if not trial.present(context.newroot):
        return
    try:
        trial.withdraw(context.newroot)
    except OSError as error:
        log.error("the deadline of the update could not be removed: %s", error)
    if context.newroot == Path("/"):
        systemd.stop(trial.TIMER)


def _forget_target(context: Context) -> None:
    """Best effort: the old system runs, and that is what has to be recorded."""
    if context.servicing is ServicingType.CLEAN_INSTALL:
        return
    try:
        settle.withdraw(context)
    except TridentError as error:
        log.error("the firmware still has the boot entry of the new system: %s", error.one_line())


def _has_root(status: HostStatus) -> bool:
    return any(fs.is_root for fs in status.spec.storage.filesystems)


def _may_reboot(status: HostStatus) -> bool:
    return not status.spec.internal_params.no_transition
