"""`rollback`: goes back on the last update: in place, or to the system on the other side.

A runtime rollback is a runtime update to the configuration of before: see `runtime`. Of an A/B
rollback, stage writes nothing but the datastore: it makes sure that the other side still is what is
recorded. Finalize makes the firmware boot it from now on. The caller reboots; `trident commit` of
the system that comes up says how it went.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent import datastore
from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import DEFAULT_DATASTORE
from agent.api.status import HostStatus, ServicingState, ServicingType
from agent.datastore import Datastore
from agent.engine import newroot, plan
from agent.engine.context import Context
from agent.engine.execute import execute, run_step
from agent.engine.subsystem import Phase, Step
from agent.reporting.recorder import Observer
from agent.reporting.reports import Reports, reporting
from agent.servicing import booted, chain, checks, lock, recovery, running, runtime, statuses
from agent.servicing.booted import Booted
from agent.servicing.chain import Target, TargetKind
from agent.servicing.install import MakeSubsystems
from agent.servicing.operation import (
    ALL_OPERATIONS,
    Operation,
    Outcome,
    recorded,
    require_root,
)
from agent.servicing.runtime import Runtime
from agent.servicing.subsystems import Subsystems
from agent.subsystems.boot import settle, staging

NAME = "rollback"
_STAGED = {
    ServicingState.MANUAL_ROLLBACK_AB_STAGED: TargetKind.AB,
    ServicingState.MANUAL_ROLLBACK_RUNTIME_STAGED: TargetKind.RUNTIME,
}
OS_RELEASE = Path("etc/os-release")


@dataclass(frozen=True)
class RollbackRequest:
    """What is allowed."""

    operations: frozenset[Operation] = ALL_OPERATIONS
    observers: tuple[Observer, ...] = ()
    datastore: Path = Path(DEFAULT_DATASTORE)
    log_directory: Path | None = Path("/var/log")
    kind: TargetKind | None = None
    """RUNTIME: only if the next system to go back to is reached in place. AB: go back to the first
    that takes a reboot, past others. None: to the next."""


def targets(path: Path) -> tuple[Target, ...]:
    """The rollback chain of the datastore at `path`, most recent first."""
    with datastore.opened(path) as store:
        return chain.chain(chain.parse(store.rows()))


def run(
    request: RollbackRequest,
    make_subsystems: MakeSubsystems = Subsystems.for_rollback,
    make_runtime: MakeSubsystems = Subsystems.for_runtime,
) -> Outcome:
    """Go back, or the half of it that is allowed. `reboot` is set when the target is to be booted.

    Raises TridentError; the failure is then in the datastore and was reported.
    """
    require_root()
    with lock.servicing_lock(NAME), recovery.opened(request.datastore) as store:
        status = running.status(store)
        with reporting(
            NAME, status.spec, request.observers, log_directory=request.log_directory
        ) as reports:
            changes = Runtime(store, reports, make_runtime(request.log_directory))
            subsystems = make_subsystems(request.log_directory)
            rollback = _Rollback(request, store, reports, subsystems, changes)
            with recorded(reports, rollback.record_failure):
                status = rollback.run(status)
            reboot = (
                Operation.FINALIZE in request.operations
                and status.servicing_state is ServicingState.MANUAL_ROLLBACK_AB_FINALIZED
                and not status.spec.internal_params.no_transition
            )
            reports.recorder.operation_done(str(status.servicing_state), reboot=reboot)
            return Outcome(status, reboot)


@dataclass(frozen=True)
class _Rollback:
    """What the halves of one run share."""

    request: RollbackRequest
    store: Datastore
    reports: Reports
    subsystems: Subsystems
    changes: Runtime

    def run(self, status: HostStatus) -> HostStatus:
        """Stage and finalize as allowed; neither is a successful nothing."""
        status = self.changes.recover(status)
        if Operation.STAGE in self.request.operations:
            status = self._stage(status)
        if Operation.FINALIZE in self.request.operations:
            status = self._finalize(status)
        return status

    def record_failure(self, error: TridentError) -> HostStatus:
        """Store the error; the running system stays what it is."""
        latest = running.status(self.store)
        return self._save(latest.model_copy(update={"last_error": error.to_status()}))

    def _stage(self, status: HostStatus) -> HostStatus:
        """Check the target and record that it is to be gone back to."""
        staged = _STAGED.get(status.servicing_state)
        if staged is not None:
            _require_kind(self.request.kind, staged)
            return status
        if status.servicing_state is not ServicingState.PROVISIONED:
            raise refused(
                f"the host is in the state {status.servicing_state}, which must end first"
            )
        target = choose(chain.chain(chain.parse(self.store.rows())), self.request.kind)
        if target.kind is TargetKind.RUNTIME:
            return self._stage_in_place(status, target)
        return self._stage_other_side(status, target)

    def _stage_in_place(self, status: HostStatus, target: Target) -> HostStatus:
        servicing = ServicingType.MANUAL_ROLLBACK_RUNTIME
        context = runtime.context(status, target.spec, servicing)
        try:
            return self.changes.stage(status, context)
        except TridentError as error:
            if error.code != "load-extension-image":
                raise
            raise refused(f"what it needs is gone: {error.message}") from error

    def _stage_other_side(self, status: HostStatus, target: Target) -> HostStatus:
        context = _context(status, target)
        checks.require_tools(self.subsystems.ordered, context)
        running.require_active(context)
        newroot.release_stale()
        context = replace(context, newroot=newroot.choose())
        step = Step(
            "rollback/check",
            Phase.PREPARE,
            f"checking that {context.target_volume} holds what is recorded",
            require_intact,
        )
        run_step(step, context, self.reports.recorder)
        self.store.require_room()
        state = ServicingState.MANUAL_ROLLBACK_AB_STAGED
        return self._save(statuses.serviced(status, context.configuration, state))

    def _finalize(self, status: HostStatus) -> HostStatus:
        if status.servicing_state is ServicingState.MANUAL_ROLLBACK_RUNTIME_STAGED:
            return self.changes.finalize(status)
        if status.servicing_state is not ServicingState.MANUAL_ROLLBACK_AB_STAGED:
            raise TridentError(
                Kind.INVALID_INPUT,
                "nothing-staged",
                f"there is no staged rollback to finalize: the state is {status.servicing_state}",
                hint="allow 'stage' too",
            )
        context = Context(
            status.spec,
            ServicingType.MANUAL_ROLLBACK_AB,
            old_status=statuses.recorded(status),
            facts=statuses.facts(status),
        )
        running.require_active(context)
        newroot.release_stale()
        context = replace(context, newroot=newroot.choose())
        planned = plan.build(
            f"rollback to {context.target_volume}",
            self.subsystems.ordered,
            context,
            stage=False,
            finalize=True,
        )
        with newroot.mounted(context):
            _require_intact(context)
            execute(planned.phase(Phase.FINALIZE), context, self.reports.recorder)
        state = ServicingState.MANUAL_ROLLBACK_AB_FINALIZED
        return self._save(statuses.serviced(status, context.configuration, state))

    def _save(self, status: HostStatus) -> HostStatus:
        self.store.append(status)
        return status


def require_intact(context: Context) -> None:
    """Mount the target and see that it can be booted. Raises manual-rollback."""
    with newroot.mounted(context):
        _require_intact(context)


def _require_intact(context: Context) -> None:
    root = context.newroot
    problem = None
    if booted.booted(context) is Booted.TARGET:
        problem = "it is the running system"
    elif not (root / OS_RELEASE).exists() and not (root / OS_RELEASE).is_symlink():
        problem = "its root file system holds no operating system"
    else:
        problem = settle.missing_boot_files(staging.esp_root(context), context)
    if problem is not None:
        raise refused(f"{context.target_volume} is not what is recorded: {problem}")


def choose(targets: Sequence[Target], kind: TargetKind | None) -> Target:
    """The target of `targets` (most recent first) that a rollback of this kind goes back to.

    Raises manual-rollback when there is none, invalid-rollback-expectation when the next one is of
    another kind than what was asked for. Pure.
    """
    if not targets:
        raise refused(
            "there is no system to go back to: none was committed before, or its volume was "
            "written since"
        )
    if kind is not TargetKind.AB:
        _require_kind(kind, targets[0].kind)
        return targets[0]
    found = next((target for target in targets if target.kind is TargetKind.AB), None)
    if found is None:
        raise refused("there is no system on another volume to go back to")
    return found


def check(targets: Sequence[Target], kind: TargetKind | None) -> TargetKind | None:
    """What a rollback would be; None when there is nothing to go back to. Raises as `choose`."""
    if kind is TargetKind.AB and not any(target.kind is kind for target in targets):
        return None
    return choose(targets, kind).kind if targets else None


def _require_kind(wanted: TargetKind | None, found: TargetKind) -> None:
    if wanted in (None, found):
        return
    raise TridentError(
        Kind.INVALID_INPUT,
        "invalid-rollback-expectation",
        f"the next rollback is of the kind '{found}', and '{wanted}' was asked for",
        hint="leave out the option, or see `trident get rollback-chain`",
    )


def _context(status: HostStatus, target: Target) -> Context:
    return Context(
        target.spec,
        ServicingType.MANUAL_ROLLBACK_AB,
        old_status=status,
        facts=statuses.facts(status),
    )


def refused(message: str) -> TridentError:
    """The error of a rollback that cannot be had."""
    return TridentError(
        Kind.SERVICING,
        "manual-rollback",
        message,
        hint="the host was not changed; update it to the configuration you want",
        fields={"message": message},
    )
