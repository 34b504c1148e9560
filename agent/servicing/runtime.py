"""Changing the running system without a reboot: runtime updates, and going back on them.

Order, and what a power cut or a kill leaves behind:

1. what can be checked is checked, extension images are fetched and looked at: nothing was changed;
2. staged: the datastore holds the new configuration beside the old one;
3. finalize stores that it begins, and then changes the system: whoever comes next (`trident commit`
   at the next boot, or any other operation) takes that back, before anything else;
4. the health checks pass, and the new configuration is stored as that of the host.

A failure in 3 or 4 is taken back at once and reported as the failure it is.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.api.errors import context as while_doing
from agent.api.extensions import wanted
from agent.api.hostconfig import HostConfiguration
from agent.api.status import HostStatus, ServicingState, ServicingType
from agent.check import diff
from agent.datastore import Datastore
from agent.engine import plan
from agent.engine.context import Context
from agent.engine.execute import execute, run_step
from agent.engine.plan import Plan
from agent.engine.subsystem import Phase, Step
from agent.reporting.reports import Reports
from agent.servicing import checks, running, statuses
from agent.servicing.operation import Operation, public_status
from agent.servicing.subsystems import Subsystems
from agent.subsystems import network
from agent.subsystems.extensions import subsystem as extensions

RUNNING = Path("/")
_STAGED = {
    ServicingType.RUNTIME_UPDATE: ServicingState.RUNTIME_UPDATE_STAGED,
    ServicingType.MANUAL_ROLLBACK_RUNTIME: ServicingState.MANUAL_ROLLBACK_RUNTIME_STAGED,
}
_SERVICING = {state: servicing for servicing, state in _STAGED.items()}

log = logging.getLogger(__name__)


def is_staged(status: HostStatus) -> bool:
    """Whether a runtime change is staged, or begun."""
    return status.servicing_state in _SERVICING


def context(status: HostStatus, target: HostConfiguration, servicing: ServicingType) -> Context:
    """The run that takes the running system of this `status` to `target`."""
    before = statuses.recorded(status)
    return Context(
        target, servicing, old_status=before, newroot=RUNNING, facts=statuses.facts(before)
    )


def staged_context(status: HostStatus) -> Context:
    """The run whose finalize, or taking back, is due."""
    return context(status, status.spec, _SERVICING[status.servicing_state])


def checked_plan(
    context: Context, subsystems: Subsystems, operations: frozenset[Operation]
) -> Plan:
    """Have everything checked on this host, then collect what will be done. Changes nothing."""
    checks.require_tools(subsystems.ordered, context)
    checks.require_ready(context, subsystems.ordered)
    return plan.build(
        _title(context),
        subsystems.ordered,
        context,
        stage=Operation.STAGE in operations,
        finalize=Operation.FINALIZE in operations,
    )


def finalize_plan(context: Context, subsystems: Subsystems) -> Plan:
    """What is left to do of a staged change."""
    title = f"finalize: {_title(context)}"
    return plan.build(title, subsystems.ordered, context, stage=False, finalize=True)


@dataclass(frozen=True)
class Runtime:
    """Stages, makes and takes back runtime changes of one host."""

    store: Datastore
    reports: Reports
    subsystems: Subsystems

    def recover(self, status: HostStatus) -> HostStatus:
        """Take back what an interrupted finalize has begun; staged is what remains."""
        if not status.applying:
            return status
        log.warning("a runtime change was interrupted: taking it back")
        due = staged_context(status)
        running.require_booted(due)
        self._undo(due)
        return self._save(statuses.applying(status, begun=False))

    def give_up(self, status: HostStatus, error: TridentError) -> HostStatus:
        """As `recover`; the change is then dropped, because of `error`."""
        dropped = statuses.recorded(self.recover(status))
        _tidy()
        return self._save(dropped.model_copy(update={"last_error": error.to_status()}))

    def stage(self, status: HostStatus, context: Context) -> HostStatus:
        """Fetch and look at what is needed. Nothing of the running system is changed."""
        running.require_booted(context)
        stage_only = frozenset([Operation.STAGE])
        planned = checked_plan(context, self.subsystems, stage_only)
        extensions.tidy(keep=[item.sha384 for item in wanted(context.configuration.os)])
        execute(planned.phase(Phase.PREPARE), context, self.reports.recorder)
        state = _STAGED[context.servicing]
        return self._save(statuses.staged_in_place(status, context, state))

    def finalize(self, status: HostStatus) -> HostStatus:
        """Make the staged change and check its health; all of it is taken back on a failure.

        Raises what the failure was. The status is then that of the system as it was before.
        """
        due = staged_context(status)
        running.require_booted(due)
        checks.require_tools(self.subsystems.ordered, due)
        network.tidy()  # what a finished change may have left is not of this one
        self._save(statuses.applying(status, begun=True))
        try:
            execute(finalize_plan(due, self.subsystems).steps, due, self.reports.recorder)
        except BaseException as error:
            self._take_back(status, due, error)
            raise
        done = self._save(statuses.applied(status))
        _tidy()
        self.reports.succeeded(f"{due.servicing.label} succeeded", public_status(done))
        return done

    def _take_back(self, status: HostStatus, due: Context, error: BaseException) -> None:
        """Undo a failed finalize and store what the host is then. What fails here is added."""
        failure = error.to_status() if isinstance(error, TridentError) else None
        try:
            with while_doing("taking the change back"):
                self._undo(due)
        except TridentError as second:
            log.error("%s", second.one_line())
            if isinstance(error, TridentError):
                error.context.append(f"and it could not be taken back: {second.one_line()}")
            return
        self._save(statuses.recorded(status).model_copy(update={"last_error": failure}))
        _tidy()

    def _undo(self, due: Context) -> None:
        """Take back the steps of a finalize, last first: all of them, whatever one raises."""
        failed = None
        for step in reversed(finalize_plan(due, self.subsystems).steps):
            if step.undo is None:
                continue
            undoing = replace(step, message=f"taking back: {step.message}", run=step.undo)
            try:
                run_step(undoing, due, self.reports.recorder)
            except TridentError as error:
                log.error("%s", error.one_line())
                failed = failed or error
            except OSError as error:
                log.exception("%s", step.name)
                failed = failed or _unforeseen(step, error)
        if failed is not None:
            raise failed

    def _save(self, status: HostStatus) -> HostStatus:
        self.store.append(status)
        return status


def _unforeseen(step: Step, error: OSError) -> TridentError:
    return TridentError(
        Kind.SERVICING,
        "take-back-runtime-update",
        f"{step.name}: {error}",
        hint="correct what the message says; `trident commit` tries again",
    )


def _tidy() -> None:
    """Remove what only an unfinished change needs. It is stored that there is none."""
    network.tidy()
    extensions.tidy()


def _title(context: Context) -> str:
    reasons = diff.select(context.old_status.spec, context.configuration).reasons
    verb = "runtime update" if context.servicing is ServicingType.RUNTIME_UPDATE else "rollback"
    return f"{verb} of the running system: {', '.join(reasons) or 'nothing changed'}"
