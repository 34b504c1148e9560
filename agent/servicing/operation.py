"""The frame of every servicing operation: root, lock, reports, and the record of a failure."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from agent.api import status as host_status
from agent.api import yamltext
from agent.api.errors import Kind, TridentError
from agent.api.status import HostStatus
from agent.reporting.redaction import Redactor, secrets
from agent.reporting.reports import Reports


class Operation(StrEnum):
    """The two halves of servicing that can be allowed apart."""

    STAGE = "stage"
    FINALIZE = "finalize"


ALL_OPERATIONS = frozenset(Operation)


@dataclass(frozen=True)
class Outcome:
    """How an operation ended. `reboot`: the caller reboots the machine next."""

    status: HostStatus
    reboot: bool = False
    error: TridentError | None = None
    """The failure, stored and reported already, that the reboot answers."""


def require_root() -> None:
    """Raise check-root-privileges unless the process is root's."""
    if os.geteuid() != 0:
        raise TridentError(
            Kind.EXECUTION_ENVIRONMENT,
            "check-root-privileges",
            "servicing needs root privileges",
            hint="run the command as root",
        )


@contextmanager
def recorded(
    reports: Reports, record_failure: Callable[[TridentError], HostStatus | None]
) -> Iterator[None]:
    """Announce the operation; a failure inside goes to the record and to all reports.

    `record_failure` stores the error and returns the status as it is now, None when there is no
    datastore. What is no TridentError becomes one: internal/internal.
    """
    reports.started()
    try:
        yield
    except TridentError as error:
        _report(reports, record_failure, error)
        raise
    except Exception as cause:  # the outermost frame of an operation: nobody above would report it
        defect = TridentError(
            Kind.INTERNAL,
            "internal",
            f"{type(cause).__name__}: {cause}",
            hint="this is a defect of the agent: report it with /var/log/trident-full.log",
        )
        _report(reports, record_failure, defect)
        raise defect from cause


def _report(
    reports: Reports,
    record_failure: Callable[[TridentError], HostStatus | None],
    error: TridentError,
) -> None:
    try:
        status = record_failure(error)
    except TridentError as second:
        error.context.append(f"and recording it failed: {second.message}")
        status = None
    reports.failed(error, public_status(status) if status else None)


def public_status(status: HostStatus) -> str:
    """A Host Status as YAML, fit to leave the host: without secrets."""
    whole = yamltext.parse(host_status.dump(status)).value
    public = Redactor(secrets(whole)).document(whole)
    assert isinstance(public, dict)
    return yamltext.dump(public)
