"""Is this a system whose disks may be overwritten? Decided from the kernel command line. Pure.

A system without `root=`, or with one in memory, is a servicing system. Anything else runs from a
disk, and a clean install would destroy it.
"""

from __future__ import annotations

import shlex
from enum import Enum
from pathlib import Path

from agent.api.errors import Kind, TridentError

CMDLINE = Path("/proc/cmdline")
OVERRIDE = Path("/override-trident-safety-check")


class RunningSystem(Enum):
    """Where the running system's root is."""

    RAMDISK = "ramdisk"
    LIVE = "live"
    PERSISTENT = "persistent"


def classify(cmdline: str) -> RunningSystem:
    """What the kernel command line says of the running system."""
    try:
        words = shlex.split(cmdline)
    except ValueError:
        words = cmdline.split()
    roots = [word.removeprefix("root=") for word in words if word.startswith("root=")]
    if not roots or roots[-1] == "/dev/ram0":
        return RunningSystem.RAMDISK
    if roots[-1].startswith("live:"):
        return RunningSystem.LIVE
    return RunningSystem.PERSISTENT


def require_servicing_system(cmdline: str, *, overridden: bool) -> None:
    """Raise initialization/clean-install-safety-check on a system that runs from a disk."""
    if overridden or classify(cmdline) is not RunningSystem.PERSISTENT:
        return
    raise TridentError(
        Kind.INITIALIZATION,
        "clean-install-safety-check",
        "this system runs from a disk: a clean install could destroy it",
        hint=f"boot the servicing image and install from there; to install all the same, "
        f"create the file {OVERRIDE}",
    )
