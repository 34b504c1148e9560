"""Health checks: the operator's scripts and units that must be active. All run side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import Check, Script, SystemdCheck
from agent.api.status import ServicingType
from agent.engine.context import Context
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.linux import systemd
from agent.subsystems import scripts

POLL_S = 0.1
SCRIPT_TIMEOUT_S = 300.0
STOP_S = 5.0
"""How long cancelled checks may take to end."""


class HealthChecks:
    """Runs the checks at the end of a runtime update or rollback; other servicing: at commit."""

    name = "health"

    def tools(self, _: Context) -> Sequence[str]:
        return ()

    def validate(self, _: Context) -> None:
        """Nothing here depends on the host."""

    def stage(self, _: Context) -> Sequence[Step]:
        return ()

    def finalize(self, context: Context) -> Sequence[Step]:
        checks = select(context.configuration.health.checks, context.servicing)
        if not context.servicing.is_runtime or not checks:
            return ()
        return (
            Step(
                "health/checks",
                Phase.FINALIZE,
                "running health checks",
                require_healthy,
                tuple(Effect(Verb.RUN, f"health check {check.name}") for check in checks),
            ),
        )


def select(checks: Sequence[Check], servicing: ServicingType) -> tuple[Check, ...]:
    """The checks that take part in this kind of servicing. Pure.

    Going back at run time is checked like a runtime update; `runOn` has no name of its own for it.
    """
    if servicing is ServicingType.MANUAL_ROLLBACK_RUNTIME:
        servicing = ServicingType.RUNTIME_UPDATE
    return tuple(check for check in checks if scripts.selected(check.run_on, servicing))


def require_healthy(context: Context) -> None:
    """Run all checks of this servicing type to their end.

    Raises health-checks/health-checks-failed with one line for each check that failed.
    """
    checks = select(context.configuration.health.checks, context.servicing)
    if not checks:
        return
    failures = [verdict for verdict in _judge(checks, context) if verdict is not None]
    if failures:
        details = "; ".join(failures)
        raise TridentError(
            Kind.HEALTH_CHECKS,
            "health-checks-failed",
            f"{len(failures)} of {len(checks)} health checks failed: {details}",
            hint="see the services and scripts named; `trident get last-error` repeats this",
            fields={"details": details, "servicing-type": context.servicing.label},
        )


def _judge(checks: Sequence[Check], context: Context) -> list[str | None]:
    """The verdict of each check. An exception in this thread (a signal) ends the checks at once.

    Threads are not joined: an interrupted `Thread.join` takes the thread for ended.
    """
    cancelled = threading.Event()
    finished: SimpleQueue[tuple[int, str | None]] = SimpleQueue()

    def judge(index: int) -> None:
        verdict: str | None = f"'{checks[index].name}' could not be run"
        try:
            verdict = _failure(checks[index], context, cancelled)
        finally:
            finished.put((index, verdict))

    verdicts: dict[int, str | None] = {}
    try:
        for index in range(len(checks)):
            threading.Thread(target=judge, args=(index,), daemon=True).start()
        while len(verdicts) < len(checks):
            verdicts.update([finished.get()])
    except BaseException:
        cancelled.set()
        _await(finished, len(checks) - len(verdicts))
        raise
    return [verdicts[index] for index in range(len(checks))]


def _await(finished: SimpleQueue[tuple[int, str | None]], count: int) -> None:
    """Give cancelled checks STOP_S to end, so that their processes do not outlive the agent."""
    end = time.monotonic() + STOP_S
    for _ in range(count):
        try:
            finished.get(timeout=max(0.0, end - time.monotonic()))
        except Empty:
            return


def _failure(check: Check, context: Context, cancelled: threading.Event) -> str | None:
    """What is wrong, None when healthy."""
    match check:
        case Script():
            try:
                text = scripts.content(check, "health.checks")
                scripts.run(
                    context,
                    check,
                    text,
                    code="run-health-check",
                    timeout_s=SCRIPT_TIMEOUT_S,
                    cancelled=cancelled,
                )
            except TridentError as error:
                return error.message
            return None
        case SystemdCheck():
            inactive = _wait_active(check, cancelled)
            if not inactive:
                return None
            names = ", ".join(inactive)
            return f"'{check.name}': not active within {check.timeout_seconds} s: {names}"


def _wait_active(check: SystemdCheck, cancelled: threading.Event) -> tuple[str, ...]:
    """Wait until all units are active at the same time; those that are not at the time limit."""
    end = time.monotonic() + check.timeout_seconds
    while True:
        units = check.systemd_services
        inactive = tuple(unit for unit in units if not systemd.is_active(unit))
        if not inactive or time.monotonic() >= end or cancelled.wait(POLL_S):
            return inactive
