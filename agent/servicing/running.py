"""The running host, as a source of updates: what it is, and whether it may be changed at all."""

from __future__ import annotations

from pathlib import Path

from agent.api import osrelease
from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import HostConfiguration
from agent.api.status import HostStatus, ServicingState
from agent.cosi.metadata import CosiMetadata
from agent.datastore import Datastore
from agent.engine.context import Context
from agent.linux import probe
from agent.servicing import booted
from agent.servicing.booted import Booted
from agent.subsystems.storage.layout import dynamic_error

OS_RELEASE = Path("/etc/os-release")
_UPDATABLE = frozenset(
    (
        ServicingState.PROVISIONED,
        ServicingState.AB_UPDATE_STAGED,
        ServicingState.RUNTIME_UPDATE_STAGED,
        ServicingState.MANUAL_ROLLBACK_AB_STAGED,
        ServicingState.MANUAL_ROLLBACK_RUNTIME_STAGED,
    )
)


def status(store: Datastore) -> HostStatus:
    """The Host Status of an installed host. Raises host-not-provisioned for any other."""
    latest = store.latest()
    if latest is None or latest.is_management_os:
        raise TridentError(
            Kind.INVALID_INPUT,
            "host-not-provisioned",
            f"the datastore {store.path} is not that of an installed host",
            hint="install the host with `trident install` from the servicing image",
        )
    return latest


def require_updatable(status: HostStatus) -> None:
    """Raise unless the host is committed; something staged beside it does not matter."""
    if status.servicing_state in _UPDATABLE:
        return
    raise TridentError(
        Kind.INTERNAL,
        "unexpected-servicing-state",
        f"the host is in the state {status.servicing_state}, which must end first",
        hint="reboot the host; if that was done, see why `trident commit` failed "
        "(`trident get last-error`) and run it again",
        fields={"state": str(status.servicing_state)},
    )


def require_two_sides(configuration: HostConfiguration) -> None:
    """Raise unless the root file system is on an A/B pair."""
    root = next((fs for fs in configuration.storage.filesystems if fs.is_root), None)
    pairs = {pair.id for pair in configuration.storage.volume_pairs}
    if root is None or root.device_id not in pairs:
        raise dynamic_error(
            "root-not-on-ab-volume",
            "this host was installed with one root volume only: it cannot be updated in place",
            "install the host anew, with the root file system on a pair of storage.abUpdate",
        )


def require_active(context: Context) -> None:
    """Raise unless the host runs from the side that its status calls active."""
    if context.old_status.ab_active_volume is None:
        raise TridentError(
            Kind.INTERNAL, "internal", "the Host Status does not say which volume is active"
        )
    if booted.booted(context) is Booted.ACTIVE:
        return
    raise booted.wrong_root(
        booted.expected_root(booted.active(context)),
        "root-device-path-ab-active-volume-mismatch",
        "reboot the machine by its first boot entry; updates start from the committed system only",
    )


def require_booted(context: Context) -> None:
    """Raise unless the host runs from the root that a runtime change is for."""
    booted.require_booted(
        context,
        "root-device-path-ab-active-volume-mismatch",
        "reboot the machine by its first boot entry; only the committed system is changed",
    )


def require_same_os(metadata: CosiMetadata) -> None:
    """Raise mismatched-os-release unless the image is of the host's own OS (ID, VARIANT_ID)."""
    host = osrelease.parse(OS_RELEASE.read_text())
    ours = (host.get("ID", "linux"), host.get("VARIANT_ID"))
    theirs = (metadata.os_id, metadata.variant_id)
    if ours != theirs:
        raise TridentError(
            Kind.INVALID_INPUT,
            "mismatched-os-release",
            f"the image is of {_named(theirs)}, this host runs {_named(ours)}",
            hint="name an image of the same operating system, or install the host anew",
        )


def filesystem_uuids(context: Context) -> dict[str, str]:
    """UUIDs of the file systems on the running side, by A/B pair id; those without are left out."""
    active = booted.active(context)
    found = {}
    for pair in context.configuration.storage.volume_pairs:
        uuid = probe.signature(active.device_path(pair.id)).uuid
        if uuid is not None:
            found[pair.id] = uuid
    return found


def _named(os: tuple[str, str | None]) -> str:
    return f"'{os[0]}'" if os[1] is None else f"'{os[0]}' ({os[1]})"
