"""Host Statuses made from what a run knows. Pure."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import agent
from agent.api import extensions
from agent.api.extensions import ExtensionKind
from agent.api.hostconfig import HostConfiguration
from agent.api.status import AbVolume, HostStatus, ServicingState
from agent.engine.context import Context, Facts

VERSION = agent.__version__


def installed(context: Context, state: ServicingState, *, in_target: bool) -> HostStatus:
    """The status of a clean install at `state`.

    `in_target`: the one that is stored in the target, not the servicing system's temporary one.
    """
    facts = context.facts
    return HostStatus(
        spec=resolved(context),
        servicing_state=state,
        partition_paths={id_: PurePosixPath(path) for id_, path in facts.partition_paths.items()},
        disk_uuids=dict(facts.disk_uuids),
        install_index=facts.install_index,
        is_management_os=not in_target,
        trident_version=VERSION,
    )


def staging(status: HostStatus, volume: AbVolume, configuration: HostConfiguration) -> HostStatus:
    """A host that is about to have one side overwritten; an update staged before is forgotten."""
    return recorded(status).model_copy(
        update={
            "overwritten_volume": volume,
            "attempted_spec": configuration,
            "last_error": None,
            "trident_version": VERSION,
        }
    )


def recorded(status: HostStatus) -> HostStatus:
    """The status of the system that is running, without what is staged beside it."""
    if status.servicing_state is ServicingState.PROVISIONED:
        return status
    return status.model_copy(
        update={
            "spec": status.spec_old,
            "spec_old": HostConfiguration(),
            "servicing_state": ServicingState.PROVISIONED,
            "applying": False,
        }
    )


def resolved(context: Context) -> HostConfiguration:
    """The configuration of a run, with the places of extension images that it found out."""
    configuration = context.configuration
    paths = context.facts.extension_paths
    if not paths:
        return configuration
    os = configuration.os
    found = {
        kind.section: tuple(
            one.model_copy(update={"path": paths.get((kind, one.sha384), one.path)})
            for one in extensions.of_kind(os, kind)
        )
        for kind in ExtensionKind
    }
    return configuration.model_copy(update={"os": os.model_copy(update=found)})


def staged_in_place(status: HostStatus, context: Context, state: ServicingState) -> HostStatus:
    """The running system's `status` with a runtime change of it staged."""
    running = recorded(status)
    return running.model_copy(
        update={
            "spec": resolved(context),
            "spec_old": running.spec,
            "servicing_state": state,
            "last_error": None,
            "trident_version": VERSION,
        }
    )


def applying(status: HostStatus, begun: bool) -> HostStatus:
    """A staged runtime change has `begun` to be made, or was taken back and is only staged."""
    return status.model_copy(update={"applying": begun})


def applied(status: HostStatus) -> HostStatus:
    """The staged runtime change was made: the system is what its `spec` says."""
    return status.model_copy(
        update={
            "servicing_state": ServicingState.PROVISIONED,
            "spec_old": HostConfiguration(),
            "applying": False,
            "last_error": None,
            "trident_version": VERSION,
        }
    )


def serviced(
    status: HostStatus, configuration: HostConfiguration, state: ServicingState
) -> HostStatus:
    """The running system's `status` with `configuration` staged (or more) on the other side."""
    running = recorded(status)
    return running.model_copy(
        update={
            "spec": configuration,
            "spec_old": running.spec,
            "servicing_state": state,
            "overwritten_volume": None,
            "attempted_spec": None,
            "last_error": None,
            "trident_version": VERSION,
        }
    )


def flipped(status: HostStatus, volume: AbVolume) -> HostStatus:
    """The new system was booted from `volume` and is the host's system now."""
    return status.model_copy(
        update={
            "servicing_state": ServicingState.PROVISIONED,
            "ab_active_volume": volume,
            "overwritten_volume": None,
            "attempted_spec": None,
            "spec_old": HostConfiguration(),
            "last_error": None,
            "trident_version": VERSION,
        }
    )


def facts(status: HostStatus) -> Facts:
    """What an earlier run learned."""
    return Facts(
        {id_: Path(path) for id_, path in status.partition_paths.items()},
        dict(status.disk_uuids),
        status.install_index,
    )
