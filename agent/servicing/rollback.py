"""`rollback`: goes back to the system on the other side, which was committed before.

Stage writes nothing but the datastore: it makes sure that the other side still is what is recorded.
Finalize makes the firmware boot it from now on. The caller reboots; `trident commit` of the system
that comes up says how it went.
"""

from __future__ import annotations

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
from agent.servicing import booted, chain, checks, lock, recovery, running, statuses
from agent.servicing.booted import Booted
from agent.servicing.chain import Target
from agent.servicing.install import MakeSubsystems
from agent.servicing.operation import (
    ALL_OPERATIONS,
    Operation,
    Outcome,
    recorded,
    require_root,
)
from agent.servicing.subsystems import Subsystems
from agent.subsystems.boot import settle, staging

NAME = "rollback"
OS_RELEASE = Path("etc/os-release")


@dataclass(frozen=True)
class RollbackRequest:
    """What is allowed."""

    operations: frozenset[Operation] = ALL_OPERATIONS
    observers: tuple[Observer, ...] = ()
    datastore: Path = Path(DEFAULT_DATASTORE)
    log_directory: Path | None = Path("/var/log")


def targets(path: Path) -> tuple[Target, ...]:
    """The rollback chain of the datastore at `path`, most recent first."""
    with datastore.opened(path) as store:
        return chain.chain(chain.parse(store.rows()))


def run(
    request: RollbackRequest, make_subsystems: MakeSubsystems = Subsystems.for_rollback
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
            rollback = _Rollback(request, store, reports, make_subsystems(request.log_directory))
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

    def run(self, status: HostStatus) -> HostStatus:
        """Stage and finalize as allowed; neither is a successful nothing."""
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
        """Check the target and record that it is to be booted."""
        if status.servicing_state is ServicingState.MANUAL_ROLLBACK_AB_STAGED:
            return status
        context = _context(status, _target(self.store))
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
        raise _refused(f"{context.target_volume} is not what is recorded: {problem}")


def _target(store: Datastore) -> Target:
    found = chain.chain(chain.parse(store.rows()))
    if not found:
        raise _refused(
            "there is no system to go back to: none was committed before, or its volume was "
            "written since"
        )
    return found[0]


def _context(status: HostStatus, target: Target) -> Context:
    return Context(
        target.spec,
        ServicingType.MANUAL_ROLLBACK_AB,
        old_status=status,
        facts=statuses.facts(status),
    )


def _refused(message: str) -> TridentError:
    return TridentError(
        Kind.SERVICING,
        "manual-rollback",
        message,
        hint="the host was not changed; update it to the image you want",
        fields={"message": message},
    )
