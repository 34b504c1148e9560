"""systemd's own tools: reboot, the state of units, machine-id, enabling units in a target."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from agent.linux.run import run

_NOT_ACTIVE = (3, 4)


def reboot() -> None:
    """Flush all file systems and ask the service manager for a reboot; returns before it ends."""
    os.sync()
    run(["systemctl", "reboot"], env={"SYSTEMD_IGNORE_CHROOT": "true"})


def is_active(unit: str) -> bool:
    """Whether a unit of the running system is active."""
    return run(["systemctl", "is-active", "--quiet", unit], ok=(0, *_NOT_ACTIVE)).returncode == 0


def set_up_machine_id(root: Path) -> None:
    """Give the target system below `root` a new random machine-id unless it has one."""
    run(["systemd-firstboot", "--root", root, "--setup-machine-id"])


def enable(units: Sequence[str], root: Path) -> None:
    """Enable units of the target system below `root`."""
    _set("enable", units, root)


def disable(units: Sequence[str], root: Path) -> None:
    """Disable units of the target system below `root`."""
    _set("disable", units, root)


def _set(verb: str, units: Sequence[str], root: Path) -> None:
    if units:
        run(["systemctl", "--root", root, verb, *units])
