"""`install`: turns a Host Configuration into an installed machine. Clean installs only.

Order, and what a power cut leaves behind:

1. everything that can be checked is checked; nothing was touched;
2. the disks are rewritten, the target is configured: the machine boots what it booted before, or
   nothing; the same install can be run again;
3. finalize stores the Host Status in the target, then tells the firmware to boot it: in between
   the machine boots the old way, and the same install can be run again.

The caller reboots: `agent.servicing.reboot.reboot()`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from agent import datastore
from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import DEFAULT_DATASTORE, HostConfiguration
from agent.api.status import HostStatus, ServicingState, ServicingType
from agent.datastore import Datastore
from agent.engine import newroot, plan
from agent.engine.context import Context
from agent.engine.execute import execute
from agent.engine.plan import Plan
from agent.engine.subsystem import Phase, Step, Subsystem
from agent.reporting.recorder import Observer
from agent.reporting.reports import Reports, reporting
from agent.servicing import checks, images, lock, statuses
from agent.servicing.operation import (
    ALL_OPERATIONS,
    Operation,
    Outcome,
    recorded,
    require_root,
)
from agent.servicing.subsystems import Subsystems

NAME = "install"

MakeSubsystems = Callable[[Path | None], Subsystems]
"""Makes the subsystems of one run; the argument is where that run keeps its logs."""


@dataclass(frozen=True)
class InstallRequest:
    """What to install and what is allowed."""

    configuration: HostConfiguration
    operations: frozenset[Operation] = ALL_OPERATIONS
    observers: tuple[Observer, ...] = ()
    """Called with each event, in order, in the thread that works; quick, must not raise."""
    datastore: Path = Path(DEFAULT_DATASTORE)
    """The servicing system's own, temporary datastore."""
    log_directory: Path | None = Path("/var/log")


def run(
    request: InstallRequest, make_subsystems: MakeSubsystems = Subsystems.for_install
) -> Outcome:
    """Install, or the half of it that is allowed. `reboot` is set when the target is to be booted.

    Destroys what is on the disks of the Host Configuration. Leaves the target unmounted.
    Raises TridentError; the failure is then in the datastore and was reported.
    """
    require_root()
    with (
        lock.servicing_lock(NAME),
        reporting(
            NAME,
            request.configuration,
            request.observers,
            log_directory=request.log_directory,
        ) as reports,
        ExitStack() as stack,
    ):
        record = _Record(request.datastore)
        with recorded(reports, record.failure):
            checks.require_valid(request.configuration)
            checks.require_supported(request.configuration)
            checks.require_servicing_system()
            record.open(stack, request)
            checks.await_network(request.configuration)
            subsystems = make_subsystems(request.log_directory)
            status = _run_allowed(_Install(request, record, reports, subsystems))
        reboot = (
            status.servicing_state is ServicingState.CLEAN_INSTALL_FINALIZED
            and not request.configuration.internal_params.no_transition
        )
        reports.recorder.operation_done(str(status.servicing_state), reboot=reboot)
        return Outcome(status, reboot)


def preview(
    configuration: HostConfiguration,
    operations: frozenset[Operation] = ALL_OPERATIONS,
    make_subsystems: MakeSubsystems = Subsystems.for_install,
) -> Plan:
    """What `run` would do here: reads disks and the image's metadata, touches nothing.

    Raises what `run` would raise before its first destructive step, as far as reading tells.
    """
    checks.require_valid(configuration)
    checks.require_supported(configuration)
    with images.opened(configuration) as image:
        context = Context(configuration, ServicingType.CLEAN_INSTALL, image=image)
        checks.require_fitting(context, image.metadata)
        subsystems = make_subsystems(None)
        checks.require_tools(subsystems.ordered, context)
        return _plan(context, subsystems.ordered, operations)


class _Record:
    """The datastore of a run, as far as it is open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._store: Datastore | None = None

    def open(self, stack: ExitStack, request: InstallRequest) -> None:
        """Open the temporary datastore. Raises clean-install-on-provisioned-host."""
        store = stack.enter_context(datastore.created(request.datastore))
        latest = store.latest()
        if latest is not None and not latest.is_management_os:
            raise TridentError(
                Kind.INVALID_INPUT,
                "clean-install-on-provisioned-host",
                f"the datastore {request.datastore} belongs to an installed host",
                hint="boot the servicing image and install from there",
            )
        self._store = store

    def latest(self) -> HostStatus:
        """The status so far; a fresh one when there is none."""
        latest = self._store.latest() if self._store else None
        return latest or HostStatus(is_management_os=True)

    def save(self, status: HostStatus) -> HostStatus:
        if self._store:
            self._store.append(status)
        return status

    def failure(self, error: TridentError) -> HostStatus | None:
        """Store the error with the status; None when the datastore was not reached."""
        if self._store is None:
            return None
        return self.save(self.latest().model_copy(update={"last_error": error.to_status()}))


@dataclass(frozen=True)
class _Install:
    """What the halves of one run share."""

    request: InstallRequest
    record: _Record
    reports: Reports
    subsystems: Subsystems

    def execute(self, steps: Sequence[Step], context: Context) -> None:
        execute(steps, context, self.reports.recorder)

    def save(self, context: Context, state: ServicingState) -> HostStatus:
        return self.record.save(statuses.installed(context, state, in_target=False))


def _run_allowed(install: _Install) -> HostStatus:
    """Stage and finalize as allowed; neither is a successful nothing."""
    if Operation.STAGE in install.request.operations:
        return _stage(install)
    if Operation.FINALIZE in install.request.operations:
        return _finalize_staged(install)
    return install.record.latest()


def _stage(install: _Install) -> HostStatus:
    request, subsystems = install.request, install.subsystems
    newroot.release_stale()
    given = Context(request.configuration, ServicingType.CLEAN_INSTALL)
    install.execute(subsystems.hooks.pre_servicing(given), given)
    with images.opened(request.configuration) as image:
        context = replace(
            given,
            configuration=images.pinned(request.configuration, image),
            image=image,
            newroot=newroot.choose(),
        )
        checks.require_fitting(context, image.metadata)
        checks.require_tools(subsystems.ordered, context)
        planned = _plan(context, subsystems.ordered, request.operations)
        install.save(context, ServicingState.NOT_PROVISIONED)
        install.execute(planned.phase(Phase.PREPARE), context)
        install.execute(planned.phase(Phase.CREATE), context)
        with newroot.mounted(context):
            install.execute(planned.phase(Phase.PROVISION), context)
            with newroot.chrootable(context.newroot):
                install.execute(planned.phase(Phase.CONFIGURE), context)
            staged = install.save(context, ServicingState.CLEAN_INSTALL_STAGED)
            if Operation.FINALIZE not in request.operations:
                return staged
            install.execute(planned.phase(Phase.FINALIZE), context)
    return install.save(context, ServicingState.CLEAN_INSTALL_FINALIZED)


def _finalize_staged(install: _Install) -> HostStatus:
    """Finalize what an earlier run staged. Raises when nothing is staged, or something else."""
    status = install.record.latest()
    _require_staged(status, install.request.configuration)
    newroot.release_stale()
    context = Context(
        status.spec,
        ServicingType.CLEAN_INSTALL,
        newroot=newroot.choose(),
        facts=statuses.facts(status),
    )
    subsystems = install.subsystems.ordered
    planned = plan.build(_title(context), subsystems, context, stage=False, finalize=True)
    with newroot.mounted(context):
        install.execute(planned.phase(Phase.FINALIZE), context)
    return install.save(context, ServicingState.CLEAN_INSTALL_FINALIZED)


def _require_staged(status: HostStatus, configuration: HostConfiguration) -> None:
    if status.servicing_state is not ServicingState.CLEAN_INSTALL_STAGED:
        raise TridentError(
            Kind.INVALID_INPUT,
            "nothing-staged",
            f"there is no staged installation to finalize: the state is {status.servicing_state}",
            hint="allow 'stage' too",
        )
    images.require_same(configuration, status.spec)


def _plan(
    context: Context, subsystems: Sequence[Subsystem], operations: frozenset[Operation]
) -> Plan:
    """Have every subsystem check the host, then collect what each will do."""
    checks.require_ready(context, subsystems)
    return plan.build(
        _title(context),
        subsystems,
        context,
        stage=Operation.STAGE in operations,
        finalize=Operation.FINALIZE in operations,
    )


def _title(context: Context) -> str:
    url = context.configuration.image.url if context.configuration.image else "no image"
    return f"clean install from {url}"
