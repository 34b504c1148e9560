"""Which side of the host is running: the device of / against those of the configuration.

The firmware is never asked: BootNext and BootCurrent say what was tried, not what came up. Devices
are compared by number: the kernel may know the root by another name.
"""

from __future__ import annotations

import os
from dataclasses import replace
from enum import Enum
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.api.status import ServicingType
from agent.api.storage import ROOT
from agent.engine.context import Context
from agent.linux import mounts


class Booted(Enum):
    """What the running root is, seen from a servicing run."""

    TARGET = "target"
    """The side that the run writes."""
    ACTIVE = "active"
    """The side that was running before it."""
    OTHER = "other"
    """Neither."""


def booted(context: Context) -> Booted:
    """Which side is running."""
    running = root_number()
    if running and running == device_number(expected_root(context)):
        return Booted.TARGET
    if running and running == device_number(expected_root(active(context))):
        return Booted.ACTIVE
    return Booted.OTHER


def active(context: Context) -> Context:
    """The same run, seen from the side that the Host Status calls active."""
    return replace(context, servicing=ServicingType.NO_ACTIVE_SERVICING)


def require_booted(context: Context, code: str, hint: str) -> None:
    """Raise servicing/`code` unless / is on the target's root device."""
    if booted(context) is not Booted.TARGET:
        raise wrong_root(expected_root(context), code, hint)


def wrong_root(expected: Path, code: str, hint: str) -> TridentError:
    """The error of a machine that runs from another root than `expected`."""
    mounted = mounts.at(Path(ROOT))
    source = mounted.source if mounted else "nothing"
    return TridentError(
        Kind.SERVICING,
        code,
        f"the machine booted from {source}, not from the installed root {expected}",
        hint=hint,
        fields={"root-device-path": source, "expected-device-path": str(expected)},
    )


def root_number() -> str:
    """`major:minor` of the running root; empty when it is not mounted from anything."""
    mounted = mounts.at(Path(ROOT))
    return mounted.number if mounted else ""


def device_number(device: Path) -> str:
    """`major:minor` of a block device; empty when there is no such device."""
    try:
        number = device.stat().st_rdev
    except OSError:
        return ""
    return f"{os.major(number)}:{os.minor(number)}"


def expected_root(context: Context) -> Path:
    """The device that / is to be on. Raises internal/get-root-block-device-id."""
    root = next((fs for fs in context.configuration.storage.filesystems if fs.is_root), None)
    if root is None or root.device_id is None:
        raise TridentError(
            Kind.INTERNAL, "get-root-block-device-id", "the Host Status names no root file system"
        )
    return context.device_path(root.device_id)
