"""`update`: the running host writes a new system to its other side, and boots it on trial.

Or, when nothing but what can be changed while it runs is new, it changes itself: see `runtime`.

Order of an A/B update, and what a power cut leaves behind:

1. everything that can be checked is checked; nothing was touched;
2. the datastore says which side is about to be lost, the firmware forgets that side; then it is
   rewritten: the machine boots what it booted before, and the same update can be run again;
3. staged: the other side is complete, nothing boots it;
4. finalize flushes it, makes the firmware boot it once, and stores that: whichever of these a
   power cut comes between, the machine boots the old system or the complete new one, and
   `trident commit` finds out which.

The running side, volumes that both sides share, and swap are not written; but a target with SELinux
has shared volumes labelled. The caller reboots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent import datastore
from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import DEFAULT_DATASTORE, HostConfiguration
from agent.api.status import HostStatus, ServicingState, ServicingType
from agent.check import diff, findings
from agent.datastore import Datastore
from agent.engine import newroot, plan
from agent.engine.context import Context
from agent.engine.execute import execute
from agent.engine.plan import Plan
from agent.engine.subsystem import Phase, Step
from agent.reporting.recorder import Observer
from agent.reporting.reports import Reports, reporting
from agent.servicing import checks, images, lock, recovery, running, runtime, statuses
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

NAME = "update"


@dataclass(frozen=True)
class UpdateRequest:
    """What to update to and what is allowed."""

    configuration: HostConfiguration | None
    """None: finalize what is staged, whatever it is."""
    operations: frozenset[Operation] = ALL_OPERATIONS
    observers: tuple[Observer, ...] = ()
    datastore: Path = Path(DEFAULT_DATASTORE)
    log_directory: Path | None = Path("/var/log")


def run(
    request: UpdateRequest,
    make_subsystems: MakeSubsystems = Subsystems.for_update,
    make_runtime: MakeSubsystems = Subsystems.for_runtime,
) -> Outcome:
    """Update, or the half of it that is allowed. `reboot` is set when the target is to be booted.

    Destroys what is on the other side, unless it is a runtime update. Raises TridentError; the
    failure is then in the datastore and was reported.
    """
    require_root()
    with lock.servicing_lock(NAME), recovery.opened(request.datastore) as store:
        status = running.status(store)
        given = request.configuration or status.spec
        with reporting(
            NAME, given, request.observers, log_directory=request.log_directory
        ) as reports:
            changes = Runtime(store, reports, make_runtime(request.log_directory))
            subsystems = make_subsystems(request.log_directory)
            update = _Update(request, store, reports, subsystems, changes)
            with recorded(reports, update.record_failure):
                status = update.run()
            reboot = (
                Operation.FINALIZE in request.operations
                and status.servicing_state is ServicingState.AB_UPDATE_FINALIZED
                and not status.spec.internal_params.no_transition
            )
            reports.recorder.operation_done(str(status.servicing_state), reboot=reboot)
            return Outcome(status, reboot)


def preview(
    request: UpdateRequest,
    make_subsystems: MakeSubsystems = Subsystems.for_update,
    make_runtime: MakeSubsystems = Subsystems.for_runtime,
) -> Plan:
    """What `run` would do here: reads disks and the image's metadata, touches nothing."""
    with datastore.opened(request.datastore) as store:
        status = running.status(store)
    if request.configuration is None:
        if runtime.is_staged(status):
            return runtime.finalize_plan(runtime.staged_context(status), make_runtime(None))
        return _finalize_plan(_finalizing(status, None), make_subsystems(None))
    context = select(status, request.configuration)
    if context is None:
        return Plan("nothing to do: the host is what the configuration says", ())
    if context.servicing.is_runtime:
        return runtime.checked_plan(context, make_runtime(None), request.operations)
    with images.opened(context.configuration) as image:
        opened = replace(context, image=image)
        return _checked_plan(opened, make_subsystems(None), request.operations)


def select(status: HostStatus, given: HostConfiguration) -> Context | None:
    """The run that takes a host of this `status` to `given`; None when there is nothing to do.

    Raises for what is invalid, not supported by this version, or cannot be had by an update.
    """
    running.require_updatable(status)
    recorded_status = statuses.recorded(status)
    old = recorded_status.spec
    known_image = diff.with_known_image(given, old)
    new = diff.with_known_paths(diff.with_known_storage(known_image, old), old)
    checks.require_valid(new)
    checks.require_supported(new)
    findings.require_clean(diff.forbidden(old, new))
    selection = diff.select(old, new)
    match selection.servicing:
        case ServicingType.NO_ACTIVE_SERVICING:
            return None
        case ServicingType.RUNTIME_UPDATE:
            return runtime.context(status, new, selection.servicing)
        case _:
            running.require_two_sides(new)
    return Context(
        new,
        ServicingType.AB_UPDATE,
        old_status=recorded_status,
        facts=statuses.facts(recorded_status),
    )


@dataclass(frozen=True)
class _Update:
    """What the halves of one run share."""

    request: UpdateRequest
    store: Datastore
    reports: Reports
    subsystems: Subsystems
    changes: Runtime

    def run(self) -> HostStatus:
        """Stage and finalize as allowed; neither is a successful nothing."""
        status = self.changes.recover(running.status(self.store))
        if Operation.STAGE in self.request.operations:
            return self._stage(status)
        if Operation.FINALIZE not in self.request.operations:
            return status
        if status.servicing_state is ServicingState.RUNTIME_UPDATE_STAGED:
            if self.request.configuration is not None:
                _require_staged(self.request.configuration, status)
            return self.changes.finalize(status)
        return self._finalize(_finalizing(status, self.request.configuration))

    def record_failure(self, error: TridentError) -> HostStatus:
        """Store the error; what is staged or running stays what it is."""
        return self._save(
            running.status(self.store).model_copy(update={"last_error": error.to_status()})
        )

    def _stage(self, status: HostStatus) -> HostStatus:
        if self.request.configuration is None:
            raise TridentError(
                Kind.INVALID_INPUT,
                "read-input-file",
                "an update is staged from a Host Configuration, and none was given",
                hint="name the file of the Host Configuration",
            )
        selected = select(status, self.request.configuration)
        if selected is None:
            return status
        if selected.servicing.is_runtime:
            staged = self.changes.stage(status, selected)
            both = Operation.FINALIZE in self.request.operations
            return self.changes.finalize(staged) if both else staged
        running.require_active(selected)
        checks.await_network(selected.configuration)
        newroot.release_stale()
        self._execute(self.subsystems.hooks.pre_servicing(selected), selected)
        with images.opened(selected.configuration) as image:
            context = replace(
                selected,
                configuration=images.pinned(selected.configuration, image),
                image=image,
                newroot=newroot.choose(),
            )
            planned = _checked_plan(context, self.subsystems, self.request.operations)
            self.store.require_room()
            self._save(statuses.staging(status, context.target_volume, context.configuration))
            return self._carry_out(planned, context)

    def _carry_out(self, planned: Plan, context: Context) -> HostStatus:
        self._execute(planned.phase(Phase.PREPARE), context)
        self._execute(planned.phase(Phase.CREATE), context)
        with newroot.mounted(context):
            self._execute(planned.phase(Phase.PROVISION), context)
            with newroot.chrootable(context.newroot):
                self._execute(planned.phase(Phase.CONFIGURE), context)
            staged = self._save_state(context, ServicingState.AB_UPDATE_STAGED)
            if Operation.FINALIZE not in self.request.operations:
                return staged
            self._execute(planned.phase(Phase.FINALIZE), context)
        return self._save_state(context, ServicingState.AB_UPDATE_FINALIZED)

    def _finalize(self, context: Context) -> HostStatus:
        """Finalize what an earlier run staged."""
        running.require_active(context)
        newroot.release_stale()
        context = replace(context, newroot=newroot.choose())
        planned = _finalize_plan(context, self.subsystems)
        with newroot.mounted(context):
            self._execute(planned.phase(Phase.FINALIZE), context)
        return self._save_state(context, ServicingState.AB_UPDATE_FINALIZED)

    def _execute(self, steps: Sequence[Step], context: Context) -> None:
        execute(steps, context, self.reports.recorder)

    def _save_state(self, context: Context, state: ServicingState) -> HostStatus:
        return self._save(statuses.serviced(context.old_status, statuses.resolved(context), state))

    def _save(self, status: HostStatus) -> HostStatus:
        self.store.append(status)
        return status


def _finalizing(status: HostStatus, given: HostConfiguration | None) -> Context:
    """The run that finalizes what is staged. Raises when that is nothing, or something else."""
    if status.servicing_state is not ServicingState.AB_UPDATE_STAGED:
        raise TridentError(
            Kind.INVALID_INPUT,
            "nothing-staged",
            f"there is no staged update to finalize: the state is {status.servicing_state}",
            hint="allow 'stage' too",
        )
    if given is not None:
        _require_staged(given, status)
    recorded_status = statuses.recorded(status)
    return Context(
        status.spec,
        ServicingType.AB_UPDATE,
        old_status=recorded_status,
        facts=statuses.facts(recorded_status),
    )


def _require_staged(given: HostConfiguration, status: HostStatus) -> None:
    """Raise staged-configuration-changed unless `given` is what is staged."""
    images.require_same(diff.with_known_storage(given, status.spec_old), status.spec)


def _checked_plan(
    context: Context, subsystems: Subsystems, operations: frozenset[Operation]
) -> Plan:
    """Have everything checked against host and image, then collect what will be done."""
    if context.image is None:
        raise TridentError(Kind.INTERNAL, "internal", "an update is planned without an image")
    metadata = context.image.metadata
    running.require_same_os(metadata)
    checks.require_fitting(context, metadata, running.filesystem_uuids(context))
    checks.require_tools(subsystems.ordered, context)
    checks.require_ready(context, subsystems.ordered)
    return plan.build(
        f"A/B update of {context.target_volume} from {context.image.source.url}",
        subsystems.ordered,
        context,
        stage=Operation.STAGE in operations,
        finalize=Operation.FINALIZE in operations,
    )


def _finalize_plan(context: Context, subsystems: Subsystems) -> Plan:
    title = f"finalize the A/B update of {context.target_volume}"
    return plan.build(title, subsystems.ordered, context, stage=False, finalize=True)
