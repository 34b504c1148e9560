"""Health checks: the operator's scripts and units that must be active. All run side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import Check, Script, SystemdCheck
from agent.api.status import ServicingType
from agent.engine.context import Context
from agent.linux import systemd
from agent.subsystems import scripts

POLL_S = 0.1
SCRIPT_TIMEOUT_S = 300.0
_PARALLEL = 16


def select(checks: Sequence[Check], servicing: ServicingType) -> tuple[Check, ...]:
    """The checks that take part in this kind of servicing. Pure."""
    return tuple(check for check in checks if scripts.selected(check.run_on, servicing))


def require_healthy(context: Context) -> None:
    """Run all checks of this servicing type to their end.

    Raises health-checks/health-checks-failed with one line for each check that failed.
    """
    checks = select(context.configuration.health.checks, context.servicing)
    if not checks:
        return
    with ThreadPoolExecutor(min(len(checks), _PARALLEL)) as pool:
        verdicts = tuple(pool.map(lambda check: _failure(check, context), checks))
    failures = [verdict for verdict in verdicts if verdict is not None]
    if failures:
        details = "; ".join(failures)
        raise TridentError(
            Kind.HEALTH_CHECKS,
            "health-checks-failed",
            f"{len(failures)} of {len(checks)} health checks failed: {details}",
            hint="see the services and scripts named; `trident get last-error` repeats this",
            fields={"details": details, "servicing-type": context.servicing.label},
        )


def _failure(check: Check, context: Context) -> str | None:
    """What is wrong, None when healthy."""
    match check:
        case Script():
            try:
                text = scripts.content(check, "health.checks")
                scripts.run(
                    context, check, text, code="run-health-check", timeout_s=SCRIPT_TIMEOUT_S
                )
            except TridentError as error:
                return error.message
            return None
        case SystemdCheck():
            inactive = _wait_active(check.systemd_services, check.timeout_seconds)
            if not inactive:
                return None
            names = ", ".join(inactive)
            return f"'{check.name}': not active within {check.timeout_seconds} s: {names}"


def _wait_active(units: Sequence[str], timeout_s: float) -> tuple[str, ...]:
    """Wait until all units are active at the same time; those that are not at the time limit."""
    end = time.monotonic() + timeout_s
    pause = threading.Event()
    while True:
        inactive = tuple(unit for unit in units if not systemd.is_active(unit))
        if not inactive or time.monotonic() >= end:
            return inactive
        pause.wait(POLL_S)
