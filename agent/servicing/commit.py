"""`commit`: run at each boot; finds out what was booted and whether it is healthy, and says so.

Idempotent: the status is written last, and all before it may be done again after a power cut. In
a state that waits for nothing, commit reports that state and succeeds.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import agent
from agent import datastore
from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import DEFAULT_DATASTORE, HostConfiguration
from agent.api.status import AbVolume, HostStatus, ServicingState, ServicingType
from agent.api.storage import ROOT
from agent.datastore import Datastore
from agent.engine.context import Context
from agent.engine.execute import run_step
from agent.engine.subsystem import Phase, Step
from agent.linux import bootvars, efivars, mounts
from agent.reporting.recorder import Observer
from agent.reporting.reports import Reports, reporting
from agent.servicing import lock, statuses
from agent.servicing.interruption import Interrupted
from agent.servicing.operation import Outcome, public_status, recorded, require_root
from agent.subsystems import health
from agent.subsystems.boot import firmware, names

NAME = "commit"

Change = Callable[[HostStatus], HostStatus]


@dataclass(frozen=True)
class CommitRequest:
    """Where the host's memory is, and who watches."""

    datastore: Path = Path(DEFAULT_DATASTORE)
    observers: tuple[Observer, ...] = ()
    log_directory: Path | None = Path("/var/log")


def run(request: CommitRequest) -> Outcome:
    """Commit what was booted. Raises TridentError; the failure is then stored and was reported."""
    require_root()
    with lock.servicing_lock(NAME), datastore.opened(request.datastore) as store:
        status = store.latest() or HostStatus()
        with reporting(
            NAME, status.spec, request.observers, log_directory=request.log_directory
        ) as reports:
            commit = _Commit(status, store, reports)
            with recorded(reports, commit.record_failure):
                committed = commit.run()
            reports.recorder.operation_done(str(committed.servicing_state), reboot=False)
            if committed.servicing_state is ServicingState.PROVISIONED:
                reports.succeeded("provisioning succeeded", public_status(committed))
            return Outcome(committed)


class _Commit:
    """One run of commit: its steps, and what a failure of the current one does to the status."""

    def __init__(self, status: HostStatus, store: Datastore, reports: Reports) -> None:
        self._status = status
        self._store = store
        self._reports = reports
        self._on_failure: Change = unchanged

    def run(self) -> HostStatus:
        """The status after all steps; the one there was when it waits for nothing."""
        match self._status.servicing_state:
            case ServicingState.CLEAN_INSTALL_FINALIZED:
                return self._commit_install()
            case (
                ServicingState.AB_UPDATE_FINALIZED
                | ServicingState.AB_UPDATE_HEALTH_CHECK_FAILED
                | ServicingState.MANUAL_ROLLBACK_AB_FINALIZED
            ):
                raise TridentError(
                    Kind.INTERNAL,
                    "unexpected-servicing-state",
                    f"this version cannot commit the state {self._status.servicing_state}",
                    hint="commit with the agent that started the update",
                )
            case _:
                return self._status

    def record_failure(self, error: TridentError) -> HostStatus:
        """Store what the failure makes of the status. An interrupted commit is done again."""
        interrupted = isinstance(error, Interrupted)
        changed = self._status if interrupted else self._on_failure(self._status)
        failed = changed.model_copy(update={"last_error": error.to_status()})
        self._store.append(failed)
        return failed

    def _commit_install(self) -> HostStatus:
        context = Context(
            self._status.spec,
            ServicingType.CLEAN_INSTALL,
            old_status=self._status,
            newroot=Path("/"),
            facts=statuses.facts(self._status),
        )
        self._step("commit/root", "checking which root was booted", require_booted, context, forget)
        self._step(
            "commit/health", "running health checks", health.require_healthy, context, unprovision
        )
        self._step("commit/boot", "settling the boot order", settle_boot_order, context, unchanged)
        committed = provision(self._status)
        self._store.append(committed)
        return committed

    def _step(
        self,
        name: str,
        message: str,
        act: Callable[[Context], None],
        context: Context,
        on_failure: Change,
    ) -> None:
        self._on_failure = on_failure
        run_step(Step(name, Phase.FINALIZE, message, act), context, self._reports.recorder)
        self._on_failure = unchanged


def unchanged(status: HostStatus) -> HostStatus:
    """A failure that says nothing about the host."""
    return status


def forget(status: HostStatus) -> HostStatus:
    """The wrong root was booted: the installation is not what the status says. Pure."""
    return unprovision(status).model_copy(update={"spec": HostConfiguration()})


def unprovision(status: HostStatus) -> HostStatus:
    """The installation is not healthy. Pure."""
    return status.model_copy(update={"servicing_state": ServicingState.NOT_PROVISIONED})


def provision(status: HostStatus) -> HostStatus:
    """The installation is the running, healthy system. Pure."""
    return status.model_copy(
        update={
            "servicing_state": ServicingState.PROVISIONED,
            "ab_active_volume": AbVolume.A if status.spec.storage.volume_pairs else None,
            "spec_old": HostConfiguration(),
            "last_error": None,
            "trident_version": agent.__version__,
        }
    )


def require_booted(context: Context) -> None:
    """Raise clean-install-reboot-check unless / is on the device that was installed.

    Devices are compared by number: the kernel may know the root by another name.
    """
    expected = _expected_root(context)
    mounted = mounts.at(Path(ROOT))
    source = mounted.source if mounted else "nothing"
    if mounted is not None and mounted.number == device_number(expected):
        return
    raise TridentError(
        Kind.SERVICING,
        "clean-install-reboot-check",
        f"the machine booted from {source}, not from the installed root {expected}",
        hint="correct the boot order in the firmware, or install again",
        fields={"root-device-path": source, "expected-device-path": str(expected)},
    )


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


def device_number(device: Path) -> str:
    """`major:minor` of a block device; empty when there is no such device."""
    try:
        number = device.stat().st_rdev
    except OSError:
        return ""
    return f"{os.major(number)}:{os.minor(number)}"


def _expected_root(context: Context) -> Path:
    root = next((fs for fs in context.configuration.storage.filesystems if fs.is_root), None)
    if root is None or root.device_id is None:
        raise TridentError(
            Kind.INTERNAL, "get-root-block-device-id", "the Host Status names no root file system"
        )
    return context.device_path(root.device_id)
