"""Host Statuses made from what a run knows. Pure."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import agent
from agent.api.status import HostStatus, ServicingState
from agent.engine.context import Context, Facts


def installed(context: Context, state: ServicingState, *, in_target: bool) -> HostStatus:
    """The status of a clean install at `state`.

    `in_target`: the one that is stored in the target, not the servicing system's temporary one.
    """
    facts = context.facts
    return HostStatus(
        spec=context.configuration,
        servicing_state=state,
        partition_paths={id_: PurePosixPath(path) for id_, path in facts.partition_paths.items()},
        disk_uuids=dict(facts.disk_uuids),
        install_index=facts.install_index,
        is_management_os=not in_target,
        trident_version=agent.__version__,
    )


def facts(status: HostStatus) -> Facts:
    """What an earlier run learned."""
    return Facts(
        {id_: Path(path) for id_, path in status.partition_paths.items()},
        dict(status.disk_uuids),
        status.install_index,
    )
