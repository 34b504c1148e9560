"""What is checked before anything is touched, each check one function that raises."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.api.errors import context as while_doing
from agent.api.hostconfig import HostConfiguration
from agent.check import findings, support
from agent.check.findings import Finding
from agent.check.validate import validate
from agent.cosi import fit
from agent.cosi.metadata import CosiMetadata
from agent.cosi.source import Source, open_source
from agent.engine.context import Context
from agent.engine.subsystem import Subsystem
from agent.linux import architecture, mounts, systemd, tools
from agent.servicing import safety

NETWORKD_PATIENCE_S = 180.0
OPEN_PATIENCE_S = 60.0
"""How long an image server that cannot be reached is retried before the install is refused."""
_NETWORKD = "systemd-networkd.service"
_ALWAYS = ("findmnt", "mount", "umount", "udevadm", "chroot")

log = logging.getLogger(__name__)


def require_valid(configuration: HostConfiguration) -> None:
    """Raise one error with everything that is wrong with the configuration; log what is odd."""
    found = validate(configuration)
    findings.require_clean(found)
    _log_warnings(found)


def require_supported(configuration: HostConfiguration) -> None:
    """Raise unsupported-configuration for what this version cannot do."""
    findings.require_clean(support.unsupported(configuration))


def require_servicing_system() -> None:
    """Raise clean-install-safety-check on a system that runs from a disk."""
    root = mounts.at(Path("/"))
    safety.require_servicing_system(
        safety.CMDLINE.read_text(),
        root.filesystem if root else "rootfs",
        overridden=safety.OVERRIDE.exists(),
    )


def await_network(configuration: HostConfiguration) -> None:
    """With internalParams.waitForSystemdNetworkd, wait until systemd-networkd is online.

    Raises internal/wait-for-systemd-networkd.
    """
    if not configuration.internal_params.wait_for_systemd_networkd:
        return
    try:
        active = systemd.is_active(_NETWORKD)
        if active:
            systemd.await_online(NETWORKD_PATIENCE_S)
    except TridentError as error:
        raise _offline(error.message) from error
    if not active:
        raise _offline(f"{_NETWORKD} does not run on this system")


def source(configuration: HostConfiguration, url: str) -> Source:
    """Open the image's source: it can be reached and read by ranges. Raises load-cosi."""
    timeout_s = configuration.internal_params.http_connection_timeout_seconds
    return open_source(url, connect_timeout_s=timeout_s, open_patience_s=OPEN_PATIENCE_S)


def require_fitting(
    context: Context, metadata: CosiMetadata, active_fs_uuids: Mapping[str, str] | None = None
) -> None:
    """Raise one error with all that keeps the image from configuration and machine.

    `active_fs_uuids`: for an update, file system UUIDs of the running side by A/B pair id.
    """
    found = fit.fit(
        context.configuration,
        metadata,
        servicing=context.servicing,
        architecture=architecture.running(),
        active_fs_uuids=active_fs_uuids,
        active_usr_hash=usr_hash(safety.CMDLINE.read_text()),
    )
    findings.require_clean(found)
    _log_warnings(found)


def usr_hash(cmdline: str) -> str | None:
    """The verity root hash of /usr in a kernel command line; None when there is none. Pure."""
    prefix = "usrhash="
    given = (word.removeprefix(prefix) for word in cmdline.split() if word.startswith(prefix))
    return next(given, None) or None


def require_ready(context: Context, subsystems: Sequence[Subsystem]) -> None:
    """Have every subsystem check the host. Raises what it finds."""
    for subsystem in subsystems:
        with while_doing(f"checking {subsystem.name}"):
            subsystem.validate(context)


def require_tools(subsystems: Sequence[Subsystem], context: Context) -> None:
    """Raise one missing-binary error that names every absent program the run needs."""
    needed = {tool for subsystem in subsystems for tool in subsystem.tools(context)}
    tools.check(needed | set(_ALWAYS))


def _offline(why: str) -> TridentError:
    return TridentError(
        Kind.INTERNAL,
        "wait-for-systemd-networkd",
        f"systemd-networkd is not online: {why}",
        hint="see `networkctl`; where something else runs the network, remove "
        "internalParams.waitForSystemdNetworkd",
    )


def _log_warnings(found: Sequence[Finding]) -> None:
    for finding in found:
        log.warning("%s: %s", finding.path, finding.message)
