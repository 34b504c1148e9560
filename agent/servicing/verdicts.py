"""What a boot means for the Host Status. Pure.

`judge` is the state table of `commit`: from the recorded status and the side that came up, never
from what the firmware was told, to what has to be done.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from agent.api.hostconfig import HostConfiguration
from agent.api.status import AbVolume, HostStatus, ServicingState, ServicingType
from agent.servicing import statuses
from agent.servicing.booted import Booted

Change = Callable[[HostStatus], HostStatus]


class Verdict(Enum):
    """What `commit` does at this boot."""

    NOTHING = "nothing is waited for"
    HALF_APPLIED = "a change of the running system was interrupted: take it back"
    SETTLED = "the committed system runs"
    COMMIT = "the new system runs: check it, then make it count"
    RETURNED = "the new system did not come up: the old one runs"
    RETURNED_UNHEALTHY = "the new system was found unhealthy: the old one runs again"
    STILL_UNHEALTHY = "the unhealthy system runs although it should not"


RUNNING = frozenset(
    (
        ServicingState.PROVISIONED,
        ServicingState.RUNTIME_UPDATE_STAGED,
        ServicingState.MANUAL_ROLLBACK_RUNTIME_STAGED,
    )
)
"""States of a committed system that no other is beside."""
_SERVICING = {
    ServicingState.CLEAN_INSTALL_FINALIZED: ServicingType.CLEAN_INSTALL,
    ServicingState.AB_UPDATE_STAGED: ServicingType.AB_UPDATE,
    ServicingState.AB_UPDATE_FINALIZED: ServicingType.AB_UPDATE,
    ServicingState.AB_UPDATE_HEALTH_CHECK_FAILED: ServicingType.AB_UPDATE,
    ServicingState.MANUAL_ROLLBACK_AB_STAGED: ServicingType.MANUAL_ROLLBACK_AB,
    ServicingState.MANUAL_ROLLBACK_AB_FINALIZED: ServicingType.MANUAL_ROLLBACK_AB,
}


def servicing_of(state: ServicingState) -> ServicingType:
    """The servicing that a state belongs to; none for a state that waits for nothing."""
    return _SERVICING.get(state, ServicingType.NO_ACTIVE_SERVICING)


def judge(status: HostStatus, booted: Booted) -> Verdict:
    """What this boot means.

    A staged side that came up was finalized by a run that could not record it any more.
    """
    target = booted is Booted.TARGET
    if status.applying:
        return Verdict.HALF_APPLIED if target else Verdict.NOTHING
    match status.servicing_state:
        case ServicingState.AB_UPDATE_STAGED | ServicingState.MANUAL_ROLLBACK_AB_STAGED:
            return Verdict.COMMIT if target else Verdict.NOTHING
        case (
            ServicingState.CLEAN_INSTALL_FINALIZED
            | ServicingState.AB_UPDATE_FINALIZED
            | ServicingState.MANUAL_ROLLBACK_AB_FINALIZED
        ):
            return Verdict.COMMIT if target else Verdict.RETURNED
        case ServicingState.AB_UPDATE_HEALTH_CHECK_FAILED:
            return Verdict.STILL_UNHEALTHY if target else Verdict.RETURNED_UNHEALTHY
        case ServicingState.PROVISIONED:
            return Verdict.SETTLED if target else Verdict.NOTHING
        case _:
            return Verdict.NOTHING


def unchanged(status: HostStatus) -> HostStatus:
    """A failure that says nothing about the host."""
    return status


def returned(status: HostStatus) -> HostStatus:
    """The new system was not booted: what the host is without it."""
    if status.servicing_state is ServicingState.CLEAN_INSTALL_FINALIZED:
        return unprovisioned(status).model_copy(update={"spec": HostConfiguration()})
    return statuses.recorded(status)


def unprovisioned(status: HostStatus) -> HostStatus:
    """The installation is not healthy."""
    return status.model_copy(update={"servicing_state": ServicingState.NOT_PROVISIONED})


def unhealthy(status: HostStatus) -> HostStatus:
    """The new system failed its health checks; there is an old one to return to."""
    if status.servicing_state is ServicingState.CLEAN_INSTALL_FINALIZED:
        return unprovisioned(status)
    return status.model_copy(
        update={"servicing_state": ServicingState.AB_UPDATE_HEALTH_CHECK_FAILED}
    )


def committed(status: HostStatus, target: AbVolume) -> HostStatus:
    """The new system is the running, healthy one. `target` is the side it is on."""
    flipped = statuses.flipped(status, target)
    if not status.spec.storage.volume_pairs:
        return flipped.model_copy(update={"ab_active_volume": None})
    return flipped
