"""May the disks of this system be overwritten? Decided from command line and root. Pure.

A system without `root=`, or with one in memory, is a servicing system, unless its root is a
writable kind of file system on a block device after all: the boot loader's own choice of a root
(systemd-gpt-auto-generator) needs no `root=`. A clean install would destroy such a system.
"""

from __future__ import annotations

import shlex
from enum import Enum
from pathlib import Path

from agent.api.errors import Kind, TridentError

CMDLINE = Path("/proc/cmdline")
OVERRIDE = Path("/override-trident-safety-check")
_LIVE_FILESYSTEMS = frozenset(
    {"overlay", "tmpfs", "ramfs", "rootfs", "squashfs", "erofs", "iso9660", "nfs", "nfs4"}
)


class RunningSystem(Enum):
    """Where the running system's root is."""

    RAMDISK = "ramdisk"
    LIVE = "live"
    PERSISTENT = "persistent"


def classify(cmdline: str, root_filesystem: str) -> RunningSystem:
    """What the kernel command line and the type of the file system at / say."""
    try:
        words = shlex.split(cmdline)
    except ValueError:
        words = cmdline.split()
    roots = [word.removeprefix("root=") for word in words if word.startswith("root=")]
    if roots and roots[-1].startswith("live:"):
        return RunningSystem.LIVE
    in_memory = not roots or roots[-1] == "/dev/ram0"
    if in_memory and root_filesystem in _LIVE_FILESYSTEMS:
        return RunningSystem.RAMDISK
    return RunningSystem.PERSISTENT


def require_servicing_system(cmdline: str, root_filesystem: str, *, overridden: bool) -> None:
    """Raise initialization/clean-install-safety-check on a system that runs from a disk."""
    if overridden or classify(cmdline, root_filesystem) is not RunningSystem.PERSISTENT:
        return
    raise TridentError(
        Kind.INITIALIZATION,
        "clean-install-safety-check",
        "this system runs from a disk: a clean install could destroy it",
        hint=f"boot the servicing image and install from there; to install all the same, "
        f"create the file {OVERRIDE}",
    )
