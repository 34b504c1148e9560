"""What machine this is and how it stands, for a diagnostics report. Reads only."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from pydantic import JsonValue

from agent.api.hostconfig import SystemdCheck
from agent.api.status import HostStatus
from agent.linux import block, journalctl, mounts, systemd
from agent.linux.run import run
from agent.reporting.metrics import platform_info

SERVICE = "trident.service"
PCRLOCK = Path("/usr/lib/systemd/systemd-pcrlock")

Attempt = Callable[[str], AbstractContextManager[None]]
"""Makes a block whose failure is noted under a name and goes no further."""


def describe(status: HostStatus | None, attempt: Attempt) -> JsonValue:
    """The description under upstream's keys; what cannot be found out is null."""
    found: dict[str, JsonValue] = {
        "isContainer": False,
        "isVirtual": False,
        "virtType": None,
        "platformInfo": dict(platform_info()),
        "blockdevInfo": None,
        "mountInfo": None,
        "healthCheckStatus": None,
        "pcrlockLog": None,
        "tridentService": None,
    }
    with attempt("virtualization"):
        kind = systemd.virtualization()
        found["isContainer"] = systemd.container() is not None
        found |= {"isVirtual": kind is not None, "virtType": kind}
    with attempt("block devices"):
        found["blockdevInfo"] = json.loads(block.describe()).get("blockdevices")
    with attempt("mounts"):
        found["mountInfo"] = json.loads(mounts.describe())
    if status is not None:
        with attempt("health check status"):
            found["healthCheckStatus"] = _checked_units(status)
    if PCRLOCK.exists():
        with attempt("pcrlock log"):
            found["pcrlockLog"] = json.loads(run([PCRLOCK, "log", "--json=pretty"]).stdout)
    with attempt(SERVICE):
        found["tridentService"] = {
            "status": systemd.status(SERVICE),
            "journal": journalctl.of_unit(SERVICE),
        }
    return found


def _checked_units(status: HostStatus) -> list[JsonValue]:
    """How the units of the health checks stand."""
    units = [
        unit
        for check in status.spec.health.checks
        if isinstance(check, SystemdCheck)
        for unit in check.systemd_services
    ]
    return [
        {
            "service": unit,
            "isActive": systemd.is_active(unit),
            "statusOutput": systemd.status(unit),
        }
        for unit in units
    ]
